"""Fewer calls side by side while the homeserver is slow, in simulated time."""

from __future__ import annotations

import asyncio

import pytest

from engine.pace_keeper import FEWEST, PaceKeeper
from engine.turns import Turns
from homeserver.client.api import HomeserverError
from homeserver.client.pace import Pace
from tests.support.simulated_time import in_simulated_time

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
        ((0.03,), (None,), [MOST]),  # nothing is known of it: there are rests
    ],
)
def test_the_number_of_calls_follows_the_answers(
    answers: tuple[float | None, ...], quiet: tuple[float | None, ...], expected: list[int]
) -> None:
    """At the end everything is let through again."""
    assert in_simulated_time(limits(answers, quiet)) == [*expected, MOST]


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
    answers = (0.01, 0.03, 0.01)
    assert in_simulated_time(rests(answers, at_work=True)) == [True, False, True, False, False]
    assert in_simulated_time(rests(answers, at_work=False)) == [True, True, True, True, False]
    # Nothing is known of it: so it rests, until a rest has shown how quick it is.
    assert in_simulated_time(rests(answers, at_work=True, quiet=None)) == [True, True, True, True, False]
    assert in_simulated_time(seen_in_a_rest()) == [True, False, True]


async def seen_in_a_rest() -> list[bool]:
    """Whether there are rests after one whose answers take 20 ms; after a minute of work with as quick ones; and with
    slower ones. It was measured before as slower, while another wave was at work."""
    server, turns = Server(0.1), Turns()
    keeper = PaceKeeper(Pace(MOST), turns, server.ask)
    await keeper.measure_quiet()
    keeping = asyncio.ensure_future(keeper.run())
    found = []
    for at_work, takes in ((False, 0.02), (True, 0.02), (True, 0.05)):
        server.takes = takes
        if at_work:
            await turns.take(1)
        await asyncio.sleep(60)
        found.append(turns.resting)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    return found


def test_in_a_hurry_all_calls_go_side_by_side() -> None:
    """Whatever the limit is; afterwards it counts again."""

    async def script() -> None:
        pace = Pace(MOST)
        pace.limit = 1
        inside = 0

        async def call() -> None:
            nonlocal inside
            async with pace.slot():
                inside += 1
                await asyncio.sleep(1)
                inside -= 1

        calls = [asyncio.ensure_future(call()) for _ in range(20)]
        await asyncio.sleep(0.5)
        assert inside == 1
        with pace.hurry():
            await asyncio.sleep(0.1)
            assert inside == MOST
        await asyncio.sleep(3)
        assert inside == 1
        await asyncio.gather(*calls)

    in_simulated_time(script())
