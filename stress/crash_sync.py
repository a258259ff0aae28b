"""`make crash-sync`: kills the bot at random while encrypted commands arrive, and counts what became of them.

Most commands come with a room key of their own, so that keys are on their way to the bot whenever it dies. In the end
every command must have been answered exactly once, and none must have stayed unreadable.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import time
from collections import Counter

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene

FRESH_KEY = 0.7
"""The share of commands that come with a room key of their own."""
UNANSWERED = 40
"""So many commands may wait for their answer: a bot that is dead most of the time can't keep up with more."""
PATIENCE = 60.0
"""Seconds without another answer after which no more is expected, once nobody kills any more."""


class Figures:
    """What happened."""

    def __init__(self) -> None:
        self.kills = 0
        self.fresh_keys = 0
        self.sent: list[str] = []
        self.started = time.monotonic()


async def kill_on(stage: Scene, figures: Figures, kills: int) -> None:
    """Kills the bot at random moments, the first seconds of its life included, and starts it again."""
    while figures.kills < kills:
        await asyncio.sleep(random.uniform(0.0, 1.0))  # noqa: S311 - the moment is the test
        await stage.bot.kill()
        figures.kills += 1
        # Often before it is ready: a start is a moment for losing something too.
        ready = random.random() < 0.8  # noqa: S311
        await stage.bot.start(until="Lethe is running" if ready else "", timeout=120.0)


async def command_on(stage: Scene, person: Person, figures: Figures, commands: int, done: asyncio.Event) -> None:
    """Sends encrypted commands, at least so many, for as long as the bot is being killed."""
    while len(figures.sent) < commands or not done.is_set():
        if len(figures.sent) - len(answers(stage, figures)) > UNANSWERED:
            await asyncio.sleep(0.2)
            continue
        if random.random() < FRESH_KEY:  # noqa: S311
            forget_session(person, stage.room)
            figures.fresh_keys += 1
        figures.sent.append(await person.say(stage.room, f"!status R{random.randint(1, 99)}"))  # noqa: S311
        await asyncio.sleep(random.uniform(0.0, 0.3))  # noqa: S311


def forget_session(person: Person, room_id: str) -> None:
    """The next message gets a Megolm session of its own, and everybody its key."""
    if person._encryption is not None:
        person._encryption._olm.outbound_group_sessions.pop(room_id, None)


def answers(stage: Scene, figures: Figures) -> Counter[str]:
    """How many answers each command has had, as the moderator's client could read them."""
    sent = set(figures.sent)
    return Counter(
        event.replies_to
        for event in stage.moderator.timeline.events
        if event.sender == stage.bot_id and event.type == "m.room.message" and event.replies_to in sent
    )


async def run(kills: int, commands: int) -> int:
    """Plays it; returns the exit code."""
    figures = Figures()
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        await stage.set_up()
        other = await stage.add_moderator()
        done = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                killing = tasks.create_task(kill_on(stage, figures, kills))
                killing.add_done_callback(lambda _: done.set())
                for person in (stage.moderator, other):
                    tasks.create_task(command_on(stage, person, figures, commands, done))
            if not stage.bot.running:
                await stage.bot.start()
            while (count := len(answers(stage, figures))) < len(figures.sent):
                await stage.moderator.until(
                    lambda: len(answers(stage, figures)) > count,
                    PATIENCE,
                    "an answer to each command",
                )
        except AssertionError as error:
            print(error, file=sys.stderr)
        finally:
            failed = report(stage, figures)
            await stage.close()
    return failed


def report(stage: Scene, figures: Figures) -> int:
    """Prints the figures; 1 where anything was lost or done twice."""
    answered = answers(stage, figures)
    unreadable = sum(
        "its key never arrived" in event.body
        for event in stage.moderator.timeline.events
        if event.sender == stage.bot_id
    )
    missing = [event_id for event_id in figures.sent if not answered[event_id]]
    twice = [event_id for event_id, times in answered.items() if times > 1]
    print(f"kills (SIGKILL):                     {figures.kills}")
    print(f"encrypted commands:                  {len(figures.sent)}, {figures.fresh_keys} with a key of their own")
    print(f"answered exactly once:               {sum(times == 1 for times in answered.values())}")
    print(f"answered more than once:             {len(twice)}")
    print(f"never answered:                      {len(missing)}")
    print(f"said to be unreadable:               {unreadable}")
    print(f"seconds:                             {time.monotonic() - figures.started:.0f}")
    return int(bool(missing or twice or unreadable))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--commands", type=int, default=400)
    options = parser.parse_args()
    logging.getLogger("nio").setLevel(logging.ERROR)  # nio of the moderators warns of each device without a channel yet
    return asyncio.run(run(options.kills, options.commands))


if __name__ == "__main__":
    sys.exit(main())
