"""The simulation itself: a seed is always the same life, time passes by itself, and a bot that lies is found out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import simulation.network  # noqa: F401 - declares the routes
from simulation.loop import SimulatedLoop, Stuck
from simulation.model.routes import answer
from simulation.model.server import Server
from simulation.wave_witness import WaveWitness
from simulation.witness import Witness

ROOT = Path(__file__).parents[3]
TRACE = """
from simulation.world import play
for seed in {}:
    o = play(seed)
    print(seed, o.trace, o.requests, o.kills, o.seconds, o.faults)
"""
BOT, MODERATOR, TARGET = "@lethe:model.test", "@mod:model.test", "@target:model.test"


def loop() -> SimulatedLoop:
    return SimulatedLoop(random.Random(1))  # noqa: S311 - the order is to be the same each time


def test_time_passes_at_once_and_only_when_all_wait() -> None:
    """A year of sleep takes no time; who waits for nothing is told."""
    clock = loop()

    async def sleepers() -> list[float]:
        done: list[float] = []

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(seconds)
            done.append(asyncio.get_running_loop().time())

        await asyncio.gather(sleep(31_536_000), sleep(1), sleep(60))
        return done

    assert clock.run_until_complete(sleepers()) == [1, 60, 31_536_000]
    with pytest.raises(Stuck):
        clock.run_until_complete(asyncio.Event().wait())
    clock.close()


def lives_of(*seeds: int) -> dict[str, str]:
    """What became of these seeds in one process of its own: seed → its trace, its numbers, its faults."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", TRACE.format(list(seeds))]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True)  # noqa: S603
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_a_seed_is_always_the_same_life() -> None:
    """In two processes the same happens, whatever was played before, event for event and request for request; and
    nothing is wrong with it."""
    first, second = lives_of(33, 32, 5), lives_of(5, 33, 32)
    assert first == second
    assert len(first) == 3 and all(life.endswith("[]") for life in first.values())


def test_lives_that_once_were_called_wrong() -> None:
    """A stop that was cancelled in the middle; people who had left their rooms when the bot spoke or acted."""
    assert all(life.endswith("[]") for life in lives_of(420, 780, 871, 951).values())


def test_tasks_have_the_order_of_their_making() -> None:
    """A set of tasks, as asyncio keeps it, doesn't depend on places in memory: a group ends in the same order."""
    clock = loop()

    async def group() -> list[int]:
        ended: list[int] = []

        async def wait(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(number)

        async def fail() -> None:
            await asyncio.sleep(1)
            raise ValueError

        with contextlib.suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as tasks:
                for number in range(20):
                    tasks.create_task(wait(number))
                tasks.create_task(fail())
        return ended

    clock._order.random = lambda: 1.0  # type: ignore[method-assign] # nothing is mixed
    ended = clock.run_until_complete(group())
    clock.end()
    assert sorted(ended) == list(range(20))
    start = ended.index(0)
    assert ended[start:] + ended[:start] == list(range(20))


def test_nobody_outlives_a_run() -> None:
    """Whoever still waits when a loop ends, ends with it: also who begins something new meanwhile."""
    clock = loop()
    ended = []

    async def wait(again: bool) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(again)
            if again:
                asyncio.ensure_future(wait(False))  # noqa: RUF006 - nobody holds it

    async def begin() -> None:
        asyncio.ensure_future(wait(True))  # noqa: RUF006 - nobody holds it
        await asyncio.sleep(1)

    clock.run_until_complete(begin())
    clock.end()
    assert ended == [True, False] and clock.is_closed()


async def test_a_file_is_taken_whatever_it_begins_with() -> None:
    """An encrypted one begins with the brace of JSON once in 256 times, by a key that no seed decides."""
    server = Server("model.test", lambda: 0, random.Random(1))  # noqa: S311
    server.register("person")
    for data in (b"{\xb0", b"{}", b"", b"\xff"):
        path = "/_matrix/media/v3/upload/model.test/media1"
        assert await answer(server, "PUT", path, "token of @person:model.test", data) == (200, {})


class Stage:
    """An admin room that is watched."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000
        self.server = Server("model.test", lambda: self.now, random.Random(1))  # noqa: S311
        for name in ("lethe", "mod", "target"):
            self.server.register(name, admin=name == "lethe")
        self.room = self.server.create_room(MODERATOR, invite=[BOT])
        self.server.join(BOT, self.room.room_id)
        self.witness = Witness(
            self.server, BOT, self.room.room_id, lambda: self.now, power_level=50, expires_after_ms=600_000,
            needs_matrix_id=True, needs_approval=False, waves=WaveWitness(self.server, BOT, True, True),
        )  # fmt: skip
        for event in self.room.timeline:
            self.witness.event(event)
        self.server.seen.append(self.witness.event)

    def said(self, sender: str, body: str, txn_id: str, answers: str = "") -> str:
        content = {"body": body, "m.relates_to": {"m.in_reply_to": {"event_id": answers}}}
        return self.server.send(sender, self.room.room_id, "m.room.message", content, txn_id)

    def asked(self, command: str = f"!deactivate {TARGET}") -> str:
        return self.said(BOT, f"{TARGET}?", "lethe.0a.R1.card", self.said(MODERATOR, command, "1"))

    def react(self, card: str, key: str = "✅", by: str = MODERATOR) -> None:
        content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": card, "key": key}}
        self.server.send(by, self.room.room_id, "m.reaction", content, f"{by} {key}")

    def looked(self, card: str) -> None:
        path = f"/_matrix/client/v1/rooms/{self.room.room_id}/relations/{card}/m.annotation/m.reaction"
        self.witness.requested("GET", path, b"", 200, {})

    def deactivated(self, erase: str = "false") -> None:
        path = f"/_synapse/admin/v1/deactivate/{TARGET}"
        self.witness.requested("POST", path, f'{{"erase": {erase}}}'.encode(), 200, {})


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_removal_that_was_agreed_to_is_no_fault(stage: Stage) -> None:
    """Asked, shown, confirmed, looked at again, done."""
    card = stage.asked()
    stage.react(card)
    stage.looked(card)
    stage.deactivated()
    assert stage.witness.faults == []


def test_a_removal_without_a_look_at_the_confirmation_is_a_fault(stage: Stage) -> None:
    """A ✅ that the bot didn't read again, and one beside a moderator's ❌."""
    card = stage.asked()
    stage.react(card)
    stage.deactivated()
    assert "nobody entitled agreed" in stage.witness.faults.pop()
    stage.react(card, "❌")
    stage.looked(card)
    stage.deactivated()
    assert "nobody entitled agreed" in stage.witness.faults.pop()


def test_another_removal_than_the_one_agreed_to_is_a_fault(stage: Stage) -> None:
    """Nobody said `--erase`."""
    card = stage.asked()
    stage.react(card)
    stage.looked(card)
    stage.deactivated("true")
    assert "erase=True" in stage.witness.faults.pop()


def test_done_is_a_fault_where_it_is_not(stage: Stage) -> None:
    """The account is still there."""
    stage.asked()
    stage.said(BOT, "done", "lethe.0a.R1.done.7")
    assert "was said to be done" in stage.witness.faults.pop()


def test_the_same_answer_twice_is_a_fault(stage: Stage) -> None:
    """With another transaction id it is another event."""
    asked = stage.said(MODERATOR, "!help", "1")
    stage.said(BOT, "help", "lethe.0a.12.help", asked)
    assert stage.witness.faults == []
    stage.said(BOT, "help", "lethe.0a.13.help", asked)
    assert "said twice" in stage.witness.faults.pop()


def test_words_in_front_of_a_stranger_are_a_fault(stage: Stage) -> None:
    """In a direct message in which a third person has been for long."""
    room = stage.server.create_room(TARGET, invite=[BOT, MODERATOR])
    stage.server.join(BOT, room.room_id)
    stage.now += 3_600_000
    stage.server.send(BOT, room.room_id, "m.room.message", {"body": "R1"}, "lethe.0a.R1.status.1")
    assert "somebody else" in stage.witness.faults.pop()
