"""`make crash`: kills bot, homeserver or both at every point of every step of a removal, and looks what became of it.

For each of the steps: before its intent is stored, between intent and act, in the act, between act and outcome, and
after its outcome is stored. (A step's outcome and the next one's intent are one transaction: "before intent" is after
the answer to the step before, "after outcome" right after that transaction.) A proxy between bot and homeserver sees
the act; the bot's database shows intents and outcomes. Every kill is SIGKILL. After each removal the homeserver itself
is asked; the exit code is 0 only without a violation.

    python -m stress.crash          removals with a kill at every step, then every cell with a removal of its own
    python -m stress.crash --short  a fair sample: each victim and each point, a kill at every other step
    python -m stress.crash --mas    the same on a server whose accounts live in MAS (a stand-in, which isn't killed)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from aiohttp import ClientError, web
from rich.console import Console
from rich.table import Table

from removal.plan import Step
from sandbox.homeserver import Homeserver
from sandbox.mas import StandInMas, synapse_config
from sandbox.mas_scene import MasScene
from sandbox.proxy import Exchange, Proxy
from sandbox.scene import Scene
from sandbox.synapse_process import SynapseFailed
from stress.victims import Accounts, Victim

console = Console(highlight=False, width=140)
WATCH = Path(__file__).with_name("crash_watch.py")
FIRE_WITHIN = 180.0
"""Seconds until a point has to come. Synapse goes on with a redaction that its end interrupted only after a minute."""
DONE_WITHIN = 180.0


class Point(StrEnum):
    """When the kill comes."""

    BEFORE_INTENT = "before intent"
    BEFORE_ACT = "intent → act"
    IN_ACT = "in the act"
    BEFORE_OUTCOME = "act → outcome"
    AFTER = "after outcome"


class Who(StrEnum):
    """Whom it hits."""

    BOT = "bot"
    HOMESERVER = "homeserver"
    BOTH = "both"


ACTS: dict[Step, tuple[str, str]] = {
    Step.SNAPSHOT: ("GET", r"/joined_rooms"),
    Step.HANDOVER: ("POST", r"/make_room_admin"),
    Step.SUSPEND: ("PUT", r"/v1/suspend/"),
    Step.THREEPIDS: ("PUT", r"/v2/users/"),
    Step.REDACT: ("POST", r"/v1/user/.*/redact$"),
    Step.DEACTIVATE: ("POST", r"/v1/deactivate/"),
    Step.WAIT: ("GET", r"/joined_rooms"),
    Step.MEDIA: ("DELETE", r"/media"),
    Step.SSO: ("PUT", r"/v2/users/"),
    Step.RELEASE: ("PUT", r"/v1/suspend/"),
    Step.VERIFY: ("GET", r"/devices"),
}
"""The request that is the act of each step."""
MAS_ACTS: dict[Step, tuple[str, str]] = {
    **ACTS,
    Step.THREEPIDS: ("DELETE", r"/user-emails/"),
    Step.DEACTIVATE: ("POST", r"/admin/v1/users/.*/deactivate$"),
    Step.SSO: ("DELETE", r"/upstream-oauth-links/"),
}
"""The same where the accounts live in MAS."""


@dataclass(frozen=True)
class Kill:
    """One cell of the matrix."""

    step: Step
    point: Point
    who: Who


class Executioner:
    """Waits for one point and kills there, from the proxy's hands or by watching the bot's database."""

    def __init__(self, stage: Scene, acts: dict[Step, tuple[str, str]], *proxies: Proxy) -> None:
        self._stage = stage
        self._acts = acts
        self._kill: Kill | None = None
        self._request_id = 0
        self._fired: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._watcher: asyncio.subprocess.Process | None = None
        for proxy in proxies:
            proxy.on("*", "", self._through)

    @property
    def struck(self) -> bool:
        """Whether the kill that was armed last has come, or can't come any more."""
        return self._fired.done()

    async def arm(self, kill: Kill, request_id: int) -> None:
        """Makes ready for one kill."""
        await self.disarm()
        self._fired = asyncio.get_running_loop().create_future()
        self._kill, self._request_id = kill, request_id
        if self._is_watched(kill):
            moment = "done" if kill.point is Point.AFTER else "confirmed"
            self._watcher = watcher = await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(WATCH), str(self._stage.bot.database), str(request_id), kill.step, moment,
                kill.who, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            await self._says(watcher)
            self._listening = asyncio.create_task(self._listen(watcher, self._fired))
            if self._stage.bot.running and kill.who is Who.HOMESERVER:
                self.tell()

    async def _listen(self, watcher: asyncio.subprocess.Process, fired: asyncio.Future[bool]) -> None:
        said = await self._says(watcher)
        if not fired.done():
            fired.set_result(said == "struck")

    async def _says(self, watcher: asyncio.subprocess.Process) -> str:
        return (await watcher.stdout.readline()).decode().strip() if watcher.stdout else ""

    def tell(self) -> None:
        """Tells the watcher which processes there are now."""
        if self._watcher is not None and self._watcher.stdin is not None:
            pids = f"{self._stage.bot.pid or 0} {self._stage.homeserver.pid or 0}\n"
            self._watcher.stdin.write(pids.encode())

    async def fired(self, timeout: float) -> bool:
        """Waits until the kill has come; False where its point was missed. Raises: TimeoutError."""
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self._fired)

    async def disarm(self) -> None:
        """Nothing is killed any more."""
        self._kill = None
        if self._watcher is not None and self._watcher.returncode is None:
            if self._watcher.stdin is not None:
                self._watcher.stdin.close()  # it ends by that
            await self._watcher.wait()
        self._watcher = None

    # --- from the proxy ---

    async def _through(self, exchange: Exchange) -> web.StreamResponse:
        kill = self._kill
        if kill is None or self._is_watched(kill) or not self._is_act(kill, exchange):
            return exchange.answer(await exchange.pass_on())
        if kill.point is Point.BEFORE_INTENT:  # the answer to the step before is on its way
            response = exchange.answer(await exchange.pass_on())
            asyncio.get_running_loop().call_later(random.uniform(0.0, 0.004), self._strike, kill)  # noqa: S311
            self._kill = None
            return response
        if kill.point is Point.IN_ACT:
            acting = asyncio.create_task(exchange.pass_on())
            await asyncio.sleep(random.uniform(0.0, 0.03))  # noqa: S311 - somewhere in the middle
            self._strike(kill)
            await asyncio.gather(acting, return_exceptions=True)
            return await exchange.cut()
        if kill.point is Point.BEFORE_OUTCOME:
            await exchange.pass_on()
        self._strike(kill)
        return await exchange.cut()

    @staticmethod
    def _is_watched(kill: Kill) -> bool:
        return kill.point is Point.AFTER or (kill.point is Point.BEFORE_INTENT and kill.step is Step.SNAPSHOT)

    def _is_act(self, kill: Kill, exchange: Exchange) -> bool:
        steps = list(self._acts)
        step = steps[steps.index(kill.step) - 1] if kill.point is Point.BEFORE_INTENT else kill.step
        method, pattern = self._acts[step]
        if exchange.method != method or not re.search(pattern, exchange.path.partition("?")[0]):
            return False
        return self.steps().get(step) == "started"

    def steps(self) -> dict[str, str]:
        """How far the request is, as the bot's database says."""
        with closing(sqlite3.connect(f"file:{self._stage.bot.database}?mode=ro", uri=True, timeout=5)) as connection:
            row = connection.execute("SELECT data FROM requests WHERE id = ?", (self._request_id,)).fetchone()
        return {step["step"]: step["state"] for step in json.loads(row[0])["steps"]} if row else {}

    def _strike(self, kill: Kill) -> None:
        self._kill = None
        for pid in self._pids(kill.who):
            os.kill(pid, signal.SIGKILL)
        if not self._fired.done():
            self._fired.set_result(True)

    def _pids(self, who: Who) -> list[int]:
        bot = self._stage.bot.pid if who is not Who.HOMESERVER else None
        homeserver = self._stage.homeserver.pid if who is not Who.BOT else None
        return [pid for pid in (homeserver, bot) if pid is not None]


class Matrix:
    """Runs removals with kills in them, and keeps the score.

    Args:
        mas: the accounts live in MAS, of which a stand-in goes on running: what is killed is the bot and Synapse.
    """

    def __init__(self, mas: StandInMas | None = None) -> None:
        self._mas = mas
        self._mas_proxy: Proxy | None = None
        self.homeserver = Homeserver(config=synapse_config(mas.access.url, mas.secret) if mas else None)
        self.stage = MasScene(self.homeserver, mas) if mas else Scene(self.homeserver)
        self.accounts = Accounts(self.stage)
        self.score: Counter[Kill] = Counter()
        self.kills = 0
        self.missed = 0
        self.removals = 0
        self.violations: list[str] = []
        self.seconds: list[float] = []
        self._confirmed: set[str] = set()
        self._gone: set[str] = set()
        self._proxy: Proxy
        self._executioner: Executioner

    async def set_up(self) -> None:
        """One homeserver, one bot behind a proxy, one encrypted admin room, and a prompt that nobody ever confirms."""
        await self.homeserver.start()
        self._proxy = Proxy(self.homeserver.base_url)
        await self._proxy.start()
        home: dict[str, Any] = {"url": self._proxy.base_url}
        proxies, acts = [self._proxy], ACTS
        if self._mas is not None:
            await self._mas.start(self.homeserver)
            self._mas_proxy = Proxy(self._mas.access.url)
            await self._mas_proxy.start()
            home["mas"] = {**self._mas.access.settings, "url": self._mas_proxy.base_url}
            proxies, acts = [self._proxy, self._mas_proxy], MAS_ACTS
        await self.stage.set_up(
            homeserver=home,
            confirmation={"expires_after": "12h"},
            moderators={"max_removals_per_hour": 100_000},
        )
        await self.accounts.set_up()
        self._executioner = Executioner(self.stage, acts, *proxies)
        moderator = self.stage.moderator
        asked = await moderator.say(self.stage.room, f"!deactivate {self.accounts.bystanders[1].user_id} --erase")
        await moderator.reply_to(asked, containing="to go on")

    async def close(self) -> None:
        """Ends everything."""
        await self._executioner.disarm()
        await self.stage.close()
        await self._proxy.close()
        if self._mas is not None and self._mas_proxy is not None:
            await self._mas_proxy.close()
            await self._mas.close()
        await self.homeserver.close()

    async def removal(self, kills: list[Kill]) -> None:
        """One removal, killed at each of these points in turn, and looked at when it is said to be done."""
        victim, moderator = await self.accounts.victim(), self.stage.moderator
        where = ", ".join(f"{k.step}/{k.point}/{k.who}" for k in kills[:2]) + (" …" if len(kills) > 2 else "")
        began = time.monotonic()
        try:
            command = await moderator.say(
                self.stage.room,
                f"!deactivate {victim.user_id} --erase --redact --media --forget-sso "
                f"--handover {self.accounts.successor.user_id}",
            )
            prompt = await moderator.reply_to(command, containing="to go on", timeout=60)
            request_id = int(prompt.body.lstrip("R").split()[0])
            await self._executioner.arm(kills[0], request_id)
            self._executioner.tell()
            self._confirmed.add(victim.user_id)
            await moderator.react(self.stage.room, prompt.event_id, "✅")
            for kill, following in itertools.zip_longest(kills, kills[1:]):
                struck = await self._executioner.fired(FIRE_WITHIN)
                # The intent may have been quicker than the kill.
                late = kill.point is Point.BEFORE_INTENT and self._executioner.steps()[kill.step] != "pending"
                if struck and not late:
                    self.score[kill] += 1
                    self.kills += 2 if kill.who is Who.BOTH else 1
                else:
                    self.missed += 1
                if following is not None:  # before anything runs again: it may be past that point in a moment
                    await self._executioner.arm(following, request_id)
                if struck:
                    await self._raise_the_dead(kill.who)
                else:
                    self._executioner.tell()
            await moderator.reply_to(command, containing="Read back from the homeserver", timeout=DONE_WITHIN)
            await self._check(victim, request_id, where)
        except (AssertionError, TimeoutError, ClientError, RuntimeError, SynapseFailed) as error:
            self.violations.append(f"{where}: {error!r}"[:600] + "\n" + self._last_words())
            await self._executioner.disarm()
            await self._raise_the_dead(Who.BOTH)
        self.removals += 1
        self.seconds.append(time.monotonic() - began)

    def _last_words(self) -> str:
        """The end of the bot's log, without what passes at every sync."""
        return "\n".join([line for line in self.stage.bot.log.splitlines() if " DEBUG " not in line][-25:])

    async def _raise_the_dead(self, who: Who) -> None:
        """Starts again what was killed; where the next kill comes meanwhile, that one's turn is next."""
        try:
            if who is not Who.BOT:
                await self.homeserver.kill()  # reaps it
                await self.homeserver.start()
            if who is not Who.HOMESERVER:
                await self.stage.bot.kill()
                starting = asyncio.create_task(self.stage.bot.start(timeout=60))
                while self.stage.bot.pid is None and not starting.done():  # noqa: ASYNC110 - nothing tells us
                    await asyncio.sleep(0.005)
                self._executioner.tell()
                await starting
            self._executioner.tell()
        except (RuntimeError, SynapseFailed):
            if not self._executioner.struck:
                raise

    async def _check(self, victim: Victim, request_id: int, where: str) -> None:
        wrong = await self.accounts.wrong_with(victim)
        wrong += await self.accounts.bystanders_changed()
        self._gone = await self.accounts.deactivated()
        if self._gone != self._confirmed:
            wrong.append(f"confirmed and gone differ: {sorted(self._gone ^ self._confirmed)}")
        with closing(sqlite3.connect(f"file:{self.stage.bot.database}?mode=ro", uri=True, timeout=5)) as database:
            (data,) = database.execute("SELECT data FROM requests WHERE id = ?", (request_id,)).fetchone()
        request = json.loads(data)
        proofs = request["steps"][-1]["answer"].get("proofs", {})
        if request["state"] != "done" or not proofs or not all(proofs.values()):
            wrong.append(f"the request is {request['state']} with proofs {proofs}")
        wrong += await self._doubled()
        self.violations += [f"{where}: R{request_id}: {each}" for each in wrong]

    async def _doubled(self) -> list[str]:
        """Messages of the bot that the room has and the bot doesn't know of, or that say the same again."""
        said = [
            event
            for event in self.stage.moderator.timeline.events
            if event.sender == self.stage.bot_id
            and event.room_id == self.stage.room
            and event.type in ("m.room.message", "m.reaction")
        ]
        for _ in range(50):  # the room may have one a moment before the bot has noted it
            known = self._sent()
            unknown = [event for event in said if event.event_id not in known]
            if not unknown:
                break
            await asyncio.sleep(0.1)
        wrong = [f"in the room and not in the outbox: {event}" for event in unknown]
        bodies = Counter((e.replies_to, e.body) for e in said if e.type == "m.room.message" and e.replaces is None)
        wrong += [f"said {count} times: {body[:80]!r}" for (_, body), count in bodies.items() if count > 1]
        return wrong

    def _sent(self) -> set[str]:
        with closing(sqlite3.connect(f"file:{self.stage.bot.database}?mode=ro", uri=True, timeout=5)) as database:
            return {row[0] for row in database.execute("SELECT event_id FROM outbox WHERE status = 'sent'")}

    # --- the report ---

    def report(self, began: float) -> None:
        """Prints the table and the figures."""
        table = Table(title="Kills, by step and point: bot / homeserver / both")
        table.add_column("step")
        for point in Point:
            table.add_column(point.value, justify="center")
        for step in ACTS:
            cells = [" / ".join(str(self.score[Kill(step, point, who)]) for who in Who) for point in Point]
            table.add_row(step.value, *cells)
        console.print(table)
        minutes = (time.monotonic() - began) / 60
        console.print(
            f"{self.kills} kills (SIGKILL) in {self.removals} removals, {minutes:.1f} minutes. A removal took "
            f"{sorted(self.seconds)[len(self.seconds) // 2]:.1f} s in the middle, {max(self.seconds):.1f} s at most.\n"
            f"Accounts confirmed: {len(self._confirmed)}; gone, by the homeserver: {len(self._gone)}"
            f"{', the same ones' if self._gone == self._confirmed else ''}. Violations: {len(self.violations)}; points "
            f"missed by a hair and not counted: {self.missed}"
        )


def every_cell() -> list[list[Kill]]:
    """Each cell of the matrix once, one kill in each removal."""
    return [[Kill(step, point, who)] for point, who, step in itertools.product(Point, Who, ACTS)]


def at_every_step() -> list[list[Kill]]:
    """For each point and each victim one removal with a kill at every step."""
    return [[Kill(step, point, who) for step in ACTS] for point, who in itertools.product(Point, Who)]


def sample(number: int) -> list[list[Kill]]:
    """A few removals in which all points, all victims and all steps occur."""
    steps, points, who = list(ACTS), list(Point), list(Who)
    return [
        [
            Kill(step, points[(position + turn) % len(points)], who[(position // 2 + turn) % len(who)])
            for position, step in enumerate(steps)
            if position % number == turn
        ]
        for turn in range(number)
    ]


async def main(short: bool, rounds: int, with_mas: bool) -> int:
    """Runs it; returns the exit code."""
    began = time.monotonic()
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # with a report, as after Ctrl-C
    matrix = Matrix(StandInMas() if with_mas else None)
    plans = sample(2) if short else (at_every_step() + every_cell()) * rounds
    try:
        await matrix.set_up()
        for number, kills in enumerate(plans, 1):
            before = len(matrix.violations)
            await matrix.removal(kills)
            mark = "✓" if len(matrix.violations) == before else "✗"
            names = f"{kills[0].step} · {kills[0].point} · {kills[0].who}" if len(kills) == 1 else f"{len(kills)} kills"
            console.print(f"{mark} {number}/{len(plans)} {names}: {matrix.seconds[-1]:.1f} s", markup=False)
            for violation in matrix.violations[before:]:
                console.print(f"  {violation}", markup=False)
    finally:
        if matrix.seconds:
            matrix.report(began)
        await matrix.close()
    return 1 if matrix.violations else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Kills bot and homeserver at every point of a removal.")
    parser.add_argument("--short", action="store_true", help="a fair sample")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--mas", action="store_true", help="on a server whose accounts live in MAS")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.short, options.rounds, options.mas)))
