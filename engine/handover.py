"""The step that gives rooms another admin before their only one goes.

Source: AccountBackend admin API, `POST /_synapse/admin/v1/rooms/{room_id}/make_room_admin`.
"""

from __future__ import annotations

from typing import Any

from engine.failures import Problem
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.sole_admin import sole_admin_rooms
from homeserver.client.api import Refused
from removal.plan import ALL_ROOMS, Step
from removal.power import CREATE, POWER_LEVELS, Power
from removal.request import Failure, Request

SEARCH_SECONDS = 600.0


async def only_admin(accounts: AccountBackend, user_id: str, rooms: list[str]) -> list[str]:
    """The rooms where the account is the only admin; never direct messages and rooms of two.

    Raises:
        Problem: not all of them could be looked at.
    """
    search = await sole_admin_rooms(accounts, user_id, rooms, SEARCH_SECONDS)
    if not search.complete:
        raise Problem(Failure.PASSING, f"the rooms couldn't all be looked at: {search.problem or 'it took too long'}")
    return [room.room_id for room in search.found]


async def hand_over(accounts: AccountBackend, request: Request) -> dict[str, Any]:
    """Makes the named successors admins of the rooms where the account was the only one at the snapshot.

    Nobody is invited: a successor who isn't joined is passed over, and the room is listed in what this returns. Safe
    to repeat: a room that has its successor already counts as handed over.

    Raises:
        HomeserverError: as in homeserver.client.api.
    """
    snapshot = request.record(Step.SNAPSHOT)
    successors = dict(request.options.handover)
    handed: list[str] = []
    left: list[str] = []
    for room_id in snapshot.answer.get("only_admin", []) if snapshot else []:
        successor = successors.get(room_id) or successors.get(ALL_ROOMS)
        done = successor is not None and await _make_admin(accounts, room_id, successor)
        (handed if done else left).append(room_id)
    return {"handed": handed, "left": left, "handed_count": len(handed), "left_count": len(left)}


async def _make_admin(accounts: AccountBackend, room_id: str, successor: str) -> bool:
    """Whether the successor is admin now, by the room's state and not by the answer."""
    try:
        if successor not in await accounts.room_members(room_id):
            return False
        if await _is_admin(accounts, room_id, successor):
            return True
        await accounts.make_room_admin(room_id, successor)
    except Refused:
        return False
    return await _is_admin(accounts, room_id, successor)


async def _is_admin(accounts: AccountBackend, room_id: str, user_id: str) -> bool:
    state = await accounts.room_state(room_id, POWER_LEVELS) + await accounts.room_state(room_id, CREATE)
    return Power.from_state(state).is_admin(user_id)
