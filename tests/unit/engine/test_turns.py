"""Turns and rests, in simulated time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from engine.turns import GOING, LONGEST_ROUND, REST, ROUND, Turns
from simulation.loop import SimulatedLoop

TAKES = 0.4
"""Seconds in which an account is deactivated and leaves its rooms."""


def in_simulated_time(script: Callable[[], Awaitable[None]]) -> None:
    loop = SimulatedLoop(random.Random(1))  # noqa: S311 - the same each time
    try:
        loop.run_until_complete(script())
    finally:
        loop.end()


async def remove(turns: Turns, accounts: int, *, hurry: bool = False, first: int = 0) -> float:
    """Removes so many accounts, as a homeserver does that takes one after the other; how much of the time it worked,
    0 to 1."""
    one = asyncio.Lock()
    worked = 0.0

    async def account(number: int) -> None:
        nonlocal worked
        await turns.take(number, hurry=hurry)
        async with one:
            await asyncio.sleep(TAKES)
            worked += TAKES
        turns.end(number)

    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(account(first + number) for number in range(accounts)))
    return worked / (asyncio.get_running_loop().time() - began)


def test_without_rests_the_homeserver_never_waits() -> None:
    """And never more than a few accounts have a turn at once."""

    async def script() -> None:
        turns = Turns()
        assert await remove(turns, 100) == pytest.approx(1.0)
        for number in range(GOING):
            await turns.take(number)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(turns.take(GOING), 600)
        turns.end(0)
        turns.end(0)  # it has none any more: nothing is given back twice
        await turns.take(GOING)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(turns.take(GOING + 1), 600)

    in_simulated_time(script)


def test_with_rests_the_homeserver_is_quiet_more_often_than_not() -> None:
    """Whoever is in a hurry doesn't wait for them; they end when they are switched off."""

    async def script() -> None:
        turns = Turns()
        turns.resting = True
        assert 0.35 < await remove(turns, 200) < 0.5
        assert await remove(turns, 100, hurry=True) == pytest.approx(1.0)
        turns.resting = False
        assert await remove(turns, 100) == pytest.approx(1.0)

    in_simulated_time(script)


def test_the_first_rest_is_as_long_as_what_was_done_since() -> None:
    """However long the wave has been at work before there are rests."""

    async def script() -> None:
        turns, clock = Turns(), asyncio.get_running_loop().time
        await remove(turns, 10_000)
        turns.resting = True
        began = clock()
        await remove(turns, 50)
        assert clock() - began < 50 * TAKES * (1 + REST) + LONGEST_ROUND

    in_simulated_time(script)


def test_one_account_that_does_not_get_out_holds_up_nobody_for_long() -> None:
    """The rest comes without it, and then the others go on."""

    async def script() -> None:
        turns, clock = Turns(), asyncio.get_running_loop().time
        turns.resting = True
        await turns.take(999)
        await asyncio.sleep(ROUND)
        began = clock()
        await turns.take(1)
        assert clock() - began == pytest.approx(LONGEST_ROUND - ROUND + REST * LONGEST_ROUND)
        assert turns.working

    in_simulated_time(script)
