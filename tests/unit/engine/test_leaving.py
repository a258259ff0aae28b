"""How often an account is looked at that leaves its rooms, in simulated time."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from engine.leaving import Looks, Speed, until_in_no_room
from homeserver.accounts.backend import AccountBackend
from tests.support.simulated_time import in_simulated_time

ROOMS = 8
SOMEBODY = "@somebody:lethe.test"


class Leaving:
    """Somebody who leaves a room every so many seconds."""

    def __init__(self, seconds_a_room: float) -> None:
        self._began = asyncio.get_running_loop().time()
        self._seconds_a_room = seconds_a_room
        self.looks = 0

    async def joined_rooms(self, user_id: str) -> list[str]:
        self.looks += 1
        left = int((asyncio.get_running_loop().time() - self._began) / self._seconds_a_room)
        return [f"!{number}" for number in range(left, ROOMS)]


async def watch(speed: Speed | None, seconds_a_room: float) -> tuple[int, float]:
    """How often somebody was looked at until it was seen that no room is left, and how long that took."""
    somebody, began = Leaving(seconds_a_room), asyncio.get_running_loop().time()
    assert await until_in_no_room(cast(AccountBackend, somebody), SOMEBODY, 30.0, Looks(speed)) == []
    return somebody.looks, asyncio.get_running_loop().time() - began


async def one_after_another(speed: Speed, *seconds_a_room: float) -> list[tuple[int, float]]:
    """The same for several accounts."""
    return [await watch(speed, seconds) for seconds in seconds_a_room]


@pytest.mark.parametrize("seconds_a_room", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("before", [0.02, 0.1, 0.5])
def test_the_looks_follow_the_speed_that_was_seen(seconds_a_room: float, before: float) -> None:
    """After a few accounts two or three looks are enough, and none comes much too late; whatever went before."""
    found = in_simulated_time(one_after_another(Speed(), *[before] * 20, *[seconds_a_room] * 40))
    for looks, took in found[-10:]:
        assert looks <= 4
        assert took <= ROOMS * seconds_a_room * 1.5 + 0.1


def test_a_single_account_is_looked_at_soon() -> None:
    """Nothing is known of the speed, and somebody waits for the answer."""
    looks, took = in_simulated_time(watch(None, 0.02))
    assert looks <= 4
    assert took < 0.3
