"""Half an hour of a busy server: thousands of commands and messages, and memory that has to stay flat.

    python -m stress.soak [--minutes 30] [--number 5000]

A real Synapse, one bot, a moderator in an encrypted admin room, and five people in encrypted direct messages. Each
command must get its answer, and each confirmed removal its receipt. Ends with 1 where one is missing, or where memory
grew.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from dataclasses import dataclass, field

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from sandbox.usage import Usage, usage

PEOPLE = 5
LOOK_EVERY = 5.0
"""Seconds between two looks at the process."""
PATIENCE = 180.0
"""Seconds until an answer counts as missing: the machine may be busy."""
FLAT = 0.03
"""Memory may end so much above the middle of the run, as a share of it, and still be called flat."""
MB = 1024**2

IN_ADMIN_ROOM = ("!help", "!requests", "!status R1", "!audit --since 1d", "!requests --all", "!help deactivate")
IN_DIRECT_MESSAGE = ("!help", "!status", "hello there", "!help deactivate")


@dataclass
class Soak:
    """One run."""

    stage: Scene
    began: float = 0.0
    seen: list[tuple[float, Usage]] = field(default_factory=list)
    asked: int = 0
    answered: int = 0
    chatter: int = 0
    removals: int = 0
    missing: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    speaking: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def run(self, seconds: float, number: int) -> None:
        """Says `number` things, spread evenly over `seconds`, and waits for all answers."""
        people = [await self._person() for _ in range(PEOPLE)]
        first = await self._removal()  # so that R1 is there
        if first is not None:
            raise RuntimeError(first)
        self.began = time.monotonic()
        looking = asyncio.create_task(self._look())
        said = set()
        for index in range(number):
            await asyncio.sleep(max(0.0, self.began + index * seconds / number - time.monotonic()))
            said.add(asyncio.create_task(self._one(index, people)))
            said = {task for task in said if not task.done()}
        await asyncio.gather(*said)
        await asyncio.sleep(max(0.0, self.began + seconds - time.monotonic()))
        looking.cancel()

    async def _person(self) -> tuple[Person, str]:
        person = await self.stage.person("somebody")
        room = await person.dm(self.stage.bot_id)
        await person.wait_for(
            lambda e: (
                e.type == "m.room.member" and e.state_key == self.stage.bot_id and e.content["membership"] == "join"
            )
        )
        return person, room

    async def _one(self, index: int, people: list[tuple[Person, str]]) -> None:
        """Says the next thing, and waits for what has to follow."""
        kind, moderator, room = index % 10, self.stage.moderator, self.stage.room
        if index % 50 == 49:
            missing = await self._removal()
        elif kind < 3:
            await self._say_to(moderator, room, f"Something that isn't for the bot, number {index}.")
            self.chatter += 1
            return
        elif kind in (7, 8):
            person, direct = people[index % PEOPLE]
            text = IN_DIRECT_MESSAGE[index // 10 % len(IN_DIRECT_MESSAGE)]
            missing = await self._answer(person, direct, text, sure=text.startswith("!"))
        else:
            missing = await self._answer(moderator, room, IN_ADMIN_ROOM[index % len(IN_ADMIN_ROOM)])
        if missing is not None:
            self.missing.append(missing)

    async def _say_to(self, person: Person, room: str, text: str) -> str:
        """One message of a person after the other: the client's room key isn't made for two at once."""
        async with self.speaking.setdefault(person.user_id, asyncio.Lock()):
            return await person.say(room, text)

    async def _answer(self, person: Person, room: str, text: str, *, sure: bool = True) -> str | None:
        """Says something; returns what is missing where no answer comes. Args: sure: whether one has to come."""
        event_id = await self._say_to(person, room, text)
        if not sure:  # a hint is given once in ten minutes
            self.chatter += 1
            return None
        self.asked += 1
        began = time.monotonic()
        try:
            await person.reply_to(event_id, PATIENCE)
        except AssertionError:
            return f"an answer to {text}"
        self.answered += 1
        self.waits.append(time.monotonic() - began)
        return None

    async def _removal(self) -> str | None:
        """A whole removal: command, prompt, ✅, receipt."""
        moderator, room = self.stage.moderator, self.stage.room
        target = await self.stage.account("leaver")
        self.asked += 1
        command = await self._say_to(moderator, room, f"!deactivate {target} --erase")
        try:
            prompt = await moderator.reply_to(command, PATIENCE, containing="to go on")
            await moderator.reacted(prompt.event_id, "✅", by=self.stage.bot_id, timeout=PATIENCE)
            await moderator.react(room, prompt.event_id, "✅")
            await moderator.reply_to(command, PATIENCE, containing="Read back from the homeserver")
        except AssertionError:
            return f"the end of {target}"
        if not (await self.stage.user(target))["deactivated"]:
            return f"the deactivation of {target}"
        self.answered += 1
        self.removals += 1
        return None

    async def _look(self) -> None:
        while True:
            if self.stage.bot.pid is None:
                self.missing.append("the bot: it ended")
                return
            self.seen.append((time.monotonic() - self.began, usage(self.stage.bot.pid)))
            if len(self.seen) % 60 == 1:
                self._say(*self.seen[-1])
            await asyncio.sleep(LOOK_EVERY)

    def _say(self, at: float, seen: Usage) -> None:
        said = f"{self.asked} asked, {self.answered} answered, {self.chatter} other messages"
        print(f"  {at / 60:5.1f} min: {seen.memory / MB:.1f} MB, {seen.files} open files; {said}", flush=True)

    def memory(self, first: float, last: float) -> float:
        """The median between two shares of the run, in MB."""
        until = self.seen[-1][0]
        return statistics.median(seen.memory for at, seen in self.seen if first * until <= at <= last * until) / MB

    def verdict(self) -> bool:
        """Prints the figures; returns whether nothing is missing and memory was flat."""
        middle, end = self.memory(0.4, 0.6), self.memory(0.85, 1.0)
        (began, one), (ended, other) = self.seen[0], self.seen[-1]
        print(f"{self.asked + self.chatter} commands and messages, {self.removals} removals among them")
        print(f"  answers: {self.answered} of {self.asked}, the median after {statistics.median(self.waits):.2f} s")
        first = self.memory(0.1, 0.25)
        print(f"  memory: {first:.1f} MB in the first quarter, {middle:.1f} in the middle, {end:.1f} at the end")
        print(f"  open files: {one.files} → {other.files}")
        print(f"  processor: {(other.cpu - one.cpu) / (ended - began) * 100:.1f} % of one core")
        kept = sum(path.stat().st_size for path in self.stage.bot.data_dir.rglob("*") if path.is_file())
        print(f"  data_dir: {kept / MB:.1f} MB")
        for each in self.missing[:10]:
            print(f"  missing: {each}")
        return not self.missing and end <= middle * (1 + FLAT)


async def main(minutes: float, number: int) -> int:
    """Runs it; returns the exit code."""
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        try:
            # One moderator confirms a hundred removals in half an hour, more than the usual limit lets pass.
            await stage.set_up(log={"level": "info"}, moderators={"max_removals_per_hour": 1000})
            soak = Soak(stage)
            await soak.run(minutes * 60, number)
            good = soak.verdict()
            errors = [line for line in stage.bot.log.splitlines() if " ERROR " in line]
            print(f"  errors in its log: {len(errors)}", *errors[:5], sep="\n    ")
            return 0 if good and not errors else 1
        finally:
            await stage.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--number", type=int, default=5000)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.minutes, options.number)))
