"""The step that waits until the account is in no room any more, and what is known of the rooms that it can't leave.

Synapse leaves rooms after a deactivation, one by one, in the background; a room that it fails to leave is passed over
with a line in its log ("Failed to part user"), and no API says so.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from engine.failures import Problem
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.models import JOIN_STATES
from homeserver.client.api import NotFound
from removal.request import Failure, Request

NAMED = 20
"""So many of the rooms that are left over are looked at and named."""
FIRST_LOOK, LAST_LOOK, LATER = 0.1, 5.0, 1.5
"""Seconds until it is looked again at first and at most, and how much later each look without progress is."""
LEARNS = 0.2
"""How much of the newest look goes into the expected speed, 0 to 1."""
QUIET = 2.0
"""Seconds without progress after which it is looked whether it is a lasting one."""


@dataclass(slots=True)
class Speed:
    """How fast accounts leave rooms, as the looks at them tell: so that the next look comes when it is likely over."""

    a_room: float = 0.1
    """Seconds."""

    def seen(self, rooms: int, seconds: float) -> None:
        """So many rooms were left in so many seconds."""
        if rooms > 0:
            # A homeserver that was away for a moment says nothing about the next account.
            self.a_room += (min(seconds / rooms, 4 * self.a_room) - self.a_room) * LEARNS

    def until_out_of(self, rooms: int) -> float:
        """Seconds until so many rooms are left, likely."""
        return rooms * self.a_room


@dataclass(frozen=True, slots=True)
class Looks:
    """How an account is watched that leaves its rooms."""

    speed: Speed | None = None
    """By which the looks go; without it they come soon, then later and later."""
    quiet: float = QUIET
    among: AbstractAsyncContextManager[object] = field(default_factory=nullcontext)
    """Entered while it is watched."""


async def leave_all(
    accounts: AccountBackend, request: Request, *, pause: float, stalled: float, looks: Looks | None = None
) -> dict[str, Any]:
    """Waits until all rooms are left, and still are a moment later: a profile change shortly before a deactivation can
    make the account join rooms again that it had left. A second deactivation repairs that.

    Where it doesn't get on, the second deactivation is asked for, and what is still open is returned: what follows
    needn't wait for it, and the last step reads it back.

    Args:
        pause: seconds after which the rooms are looked at again.
        stalled: seconds without any progress.

    Returns:
        `rooms`: in how many it still is. `left_over`: of these, `[room_id, name, version]`, the version where this
        homeserver doesn't know it any more. `lasting`: each of them has such a version.

    Raises:
        Problem, HomeserverError: it can't be told yet.
    """
    repairs = 0
    looks = looks or Looks()
    await until_deactivated(accounts, request, stalled)
    while True:
        left_over = await until_in_no_room(accounts, request.target_id, stalled, looks)
        if left_over:
            return {**await still_in(accounts, request, left_over), "repairs": repairs}
        await asyncio.sleep(pause)
        tasks = await accounts.scheduled_tasks(request.target_id, JOIN_STATES)
        if not await accounts.joined_rooms(request.target_id):
            if all(task.status.over for task in tasks):
                return {"rooms": 0, "repairs": repairs}
            continue
        repairs += 1
        if repairs > 3:
            raise Problem(Failure.NOT_YET, "the account keeps coming back to rooms it left")
        await accounts.deactivate(request.target_id, erase=request.options.erase)


async def still_in(accounts: AccountBackend, request: Request, left_over: list[str]) -> dict[str, Any]:
    """What is to be remembered of an account that doesn't get out of these rooms; it is asked to leave once more."""
    await accounts.deactivate(request.target_id, erase=request.options.erase)
    named = [await _named(accounts, room_id) for room_id in left_over[:NAMED]]
    lasting = len(left_over) == len(named) and all(version for _, _, version in named)
    return {"rooms": len(left_over), "repairs": 0, "left_over": named, "lasting": lasting}


async def until_deactivated(accounts: AccountBackend, request: Request, stalled: float) -> None:
    """Where accounts live in MAS, the answer to a deactivation only means that it is queued."""
    if not accounts.deactivates_later:
        return
    since, delay = asyncio.get_running_loop().time(), 0.1
    while True:
        user = await accounts.user(request.target_id)
        if user is None or (user.deactivated and (user.erased or not request.options.erase)):
            return
        if asyncio.get_running_loop().time() - since > stalled:
            await accounts.deactivate(request.target_id, erase=request.options.erase)
            raise Problem(Failure.NOT_YET, "the deactivation isn't in force yet")
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, 5.0)


async def until_in_no_room(accounts: AccountBackend, user_id: str, stalled: float, looks: Looks) -> list[str]:
    """The rooms that aren't left; none where all are."""
    async with looks.among:
        return await _watch(accounts, user_id, stalled, looks)


async def _watch(accounts: AccountBackend, user_id: str, stalled: float, looks: Looks) -> list[str]:
    clock = asyncio.get_running_loop().time
    fewest, since, delay, looked = None, clock(), FIRST_LOOK, False
    while rooms := await accounts.joined_rooms(user_id):
        quiet = clock() - since
        if fewest is None or len(rooms) < fewest:
            if looks.speed is not None:
                looks.speed.seen((fewest or 0) - len(rooms), quiet)
                delay = min(max(looks.speed.until_out_of(len(rooms)), FIRST_LOOK), LAST_LOOK)
            fewest, since = len(rooms), clock()
        elif quiet > stalled:
            break
        elif quiet > looks.quiet and not looked and len(rooms) <= NAMED:
            looked = True  # once for each number of rooms would be often
            if all(version for _, _, version in [await _named(accounts, room_id) for room_id in rooms]):
                break
        await asyncio.sleep(delay)
        delay = min(delay * LATER, LAST_LOOK)
    if looks.speed is not None and not rooms:
        # It was over some time between the last two looks: half of it, or nobody would see that it goes faster now.
        looks.speed.seen(fewest or 0, (clock() - since) / 2)
    return rooms


async def _named(accounts: AccountBackend, room_id: str) -> tuple[str, str, str]:
    """A room's id, its name, and its version where the homeserver doesn't know that any more: nobody can leave it."""
    try:
        room = await accounts.room_details(room_id)
    except NotFound:
        return room_id, "", ""
    known = await accounts.room_versions()
    return room_id, room.name or room.canonical_alias or "", "" if room.version in known else room.version or ""
