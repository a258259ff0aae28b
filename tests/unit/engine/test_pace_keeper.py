"""Fewer calls side by side while the homeserver is slow, in simulated time."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine.pace_keeper import FEWEST, PaceKeeper
from engine.turns import Turns
from homeserver.client.api import HomeserverError
from homeserver.client.pace import Pace
from simulation.loop import SimulatedLoop

MOST = 4


class Server:
    """One that answers after so many seconds; None fails."""

    def __init__(self, takes: float | None) -> None:
        self.takes = takes

    async def ask(self) -> None:
        if self.takes is None:
            raise HomeserverError("broken")
        await asyncio.sleep(self.takes)


async def limits(answers: tuple[float | None, ...], quiet: tuple[float | None, ...]) -> list[int]:
    """How many calls are let through after half a minute of each of these answers, and when it is over."""
    server, pace = Server(quiet[0]), Pace(MOST)
    turns = Turns()
    keeper = PaceKeeper(pace, turns, server.ask)
    await turns.take(1)
    for seconds in quiet:
        server.takes = seconds
        await keeper.measure_quiet()
    keeping = asyncio.ensure_future(keeper.run())
    found = []
    for takes in answers:
        server.takes = takes
        await asyncio.sleep(30)
        found.append(pace.limit)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    return [*found, pace.limit]


@pytest.mark.parametrize(
    ("answers", "quiet", "expected"),
    [
        ((0.01, 0.03, 0.01), (0.01,), [MOST, FEWEST, MOST]),
        ((0.017, 0.017), (0.01,), [MOST, MOST]),  # a little slower is no reason
        ((0.03, 0.017), (0.01,), [FEWEST, FEWEST]),  # nor is that quick again
        ((0.03, None, 0.01), (0.01,), [FEWEST, FEWEST, MOST]),  # an error tells nothing
        ((0.03,), (0.01, 0.03), [MOST]),  # another wave on another day: the homeserver is a slower one by now
        ((0.0015,), (0.0005,), [MOST]),  # so quick that nobody notices
        ((0.03,), (None,), [MOST]),  # nothing is known of it
    ],
)
def test_the_number_of_calls_follows_the_answers(
    answers: tuple[float | None, ...], quiet: tuple[float | None, ...], expected: list[int]
) -> None:
    """At the end everything is let through again."""
    loop = SimulatedLoop(random.Random(1))  # noqa: S311 - the same each time
    try:
        found = loop.run_until_complete(limits(answers, quiet))
    finally:
        loop.end()
    assert found == [*expected, MOST]


async def rests(answers: tuple[float, ...], *, at_work: bool, quiet: float | None = 0.01) -> list[bool]:
    """Whether there are rests at the beginning, after half a minute of each of these answers, and when it is over."""
    server, turns = Server(quiet), Turns()
    keeper = PaceKeeper(Pace(MOST), turns, server.ask)
    await keeper.measure_quiet()
    if at_work:
        await turns.take(1)
    keeping = asyncio.ensure_future(keeper.run())
    await asyncio.sleep(0.1)
    found = [turns.resting]
    for takes in answers:
        server.takes = takes
        await asyncio.sleep(30)
        found.append(turns.resting)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    return [*found, turns.resting]


def test_it_rests_until_nobody_is_disturbed() -> None:
    """That is, until it is quick at work, too: how quick it is in a rest tells nothing."""
    loop = SimulatedLoop(random.Random(1))  # noqa: S311 - the same each time
    try:
        play, answers = loop.run_until_complete, (0.01, 0.03, 0.01)
        assert play(rests(answers, at_work=True)) == [True, False, True, False, False]
        assert play(rests(answers, at_work=False)) == [True, True, True, True, False]
        assert play(rests(answers, at_work=True, quiet=None)) == [False] * 5  # nothing is known of it
    finally:
        loop.end()
