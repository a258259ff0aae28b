"""Turns and rests, in simulated time."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine.turns import GOING, LONGEST_ROUND, REST, ROUND, Turns
from tests.support.simulated_time import in_simulated_time

TAKES = 0.4
"""Seconds in which an account is deactivated and leaves its rooms."""


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

    in_simulated_time(script())


def test_with_rests_the_homeserver_is_quiet_more_often_than_not() -> None:
    """Whoever is in a hurry doesn't wait for them; they end when they are switched off."""

    async def script() -> None:
        turns = Turns()
        turns.resting = True
        assert 0.35 < await remove(turns, 200) < 0.5
        assert await remove(turns, 100, hurry=True) == pytest.approx(1.0)
        turns.resting = False
        assert await remove(turns, 100) == pytest.approx(1.0)

    in_simulated_time(script())


def test_the_first_rest_is_as_long_as_what_was_done_since() -> None:
    """However long the wave has been at work before there are rests."""

    async def script() -> None:
        turns, clock = Turns(), asyncio.get_running_loop().time
        await remove(turns, 10_000)
        turns.resting = True
        began = clock()
        await remove(turns, 50)
        assert clock() - began < 50 * TAKES * (1 + REST) + LONGEST_ROUND

    in_simulated_time(script())


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

    in_simulated_time(script())


def test_a_pause_in_the_work_is_a_rest() -> None:
    """Who comes after it doesn't wait once more; and whoever rests goes on as soon as there are no rests."""

    async def script() -> None:
        turns, clock = Turns(), asyncio.get_running_loop().time
        turns.resting = True
        await remove(turns, 10)
        await asyncio.sleep(3600)
        began = clock()
        await turns.take(1)
        assert clock() == began
        await asyncio.sleep(ROUND)
        waiting = asyncio.ensure_future(turns.take(2))
        turns.end(1)
        await asyncio.sleep(0.1)
        assert not waiting.done()
        turns.resting = False
        await waiting
        assert clock() == pytest.approx(began + ROUND + 0.1)

    in_simulated_time(script())


def test_whoever_is_in_a_hurry_has_all_places_while_others_rest() -> None:
    """Who waits for the rest to be over holds none of them."""

    async def script() -> None:
        turns = Turns()
        turns.resting = True
        await turns.take(0)
        await asyncio.sleep(ROUND)
        waiting = asyncio.ensure_future(turns.take(1))
        await asyncio.sleep(0)
        turns.end(0)
        await asyncio.sleep(0.1)
        for number in range(10, 10 + GOING):
            await asyncio.wait_for(turns.take(number, hurry=True), 1)
        assert not waiting.done()
        waiting.cancel()

    in_simulated_time(script())


@pytest.mark.parametrize("seed", range(20))
def test_who_gives_up_waiting_takes_no_place_away(seed: int) -> None:
    """At whatever moment, in a rest or not: afterwards all places are there, and nobody who gave up has one."""

    async def script() -> None:
        chance, turns = random.Random(seed), Turns()  # noqa: S311 - the same each time
        waiting: dict[int, asyncio.Future[None]] = {}
        for number in range(200):
            turns.resting = chance.random() < 0.7
            waiting[number] = asyncio.ensure_future(turns.take(number, hurry=chance.random() < 0.2))
            await asyncio.sleep(chance.choice((0, 0, 0.3, 3)))
            turns.end(chance.randrange(number + 1))
            waiting[chance.randrange(number + 1)].cancel()
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)
        assert all(task.done() for task in waiting.values())
        for number in range(200):
            turns.end(number)
        assert not turns.working
        turns.resting = False
        for number in range(GOING):
            await asyncio.wait_for(turns.take(number), 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(turns.take(GOING), 60)

    in_simulated_time(script())


def test_a_wait_can_be_given_up_at_the_very_moment_it_ends() -> None:
    """Whoever stops the bot right then isn't overheard."""

    async def script(ticks: int) -> None:
        turns = Turns()
        turns.resting = True
        await turns.take(0)
        await asyncio.sleep(ROUND)
        waiting = asyncio.ensure_future(turns.take(1))
        await asyncio.sleep(1)
        turns.end(0)
        for _ in range(ticks):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()

    for ticks in range(6):
        in_simulated_time(script(ticks))
