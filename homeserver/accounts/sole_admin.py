"""Searches the rooms where an account is the only admin: bounded in time and load, and resumable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.models import RoomDetails
from homeserver.client.api import HomeserverError, NotFound
from removal.power import CREATE, POWER_LEVELS, Power, sole_admin_among

SEARCHERS = 8
"""So many rooms are looked at at the same time."""


@dataclass(frozen=True, slots=True)
class SoleAdminRooms:
    """How far a search went. It is complete when `rest` is empty; else search again in `rest`."""

    found: tuple[RoomDetails, ...]
    counted: int
    """So many rooms were looked at."""
    rest: tuple[str, ...]
    """Rooms not looked at: the time was over, or `problem` came in between."""
    problem: HomeserverError | None = None

    @property
    def complete(self) -> bool:
        """Whether all rooms were looked at."""
        return not self.rest


async def sole_admin_rooms(
    accounts: AccountBackend, user_id: str, rooms: Sequence[str], seconds: float
) -> SoleAdminRooms:
    """Searches rooms where this account is the only joined member, local or remote, who may change the power levels.

    Rooms of one or two joined members aren't reported (see `removal.power.sole_admin`). Asks for the power levels and
    the create event of each room, and for the members only where the account is an admin.

    Args:
        accounts: who keeps the accounts.
        user_id: the account.
        rooms: where to look, usually `joined_rooms` or the `rest` of an earlier answer.
        seconds: how long to search.

    Returns:
        What was found until the time was over or the homeserver failed. Raises nothing for the homeserver's sake:
        `problem` holds the error, and what wasn't seen is in `rest`.
    """
    asked = list(dict.fromkeys(rooms))
    waiting = deque(asked)
    seen: set[str] = set()
    found: dict[str, RoomDetails] = {}
    problems: list[HomeserverError] = []

    async def search() -> None:
        while waiting and not problems:
            room_id = waiting.popleft()
            try:
                if await _is_sole_admin(accounts, room_id, user_id):
                    found[room_id] = await accounts.room_details(room_id)
            except HomeserverError as error:
                deleted_meanwhile = isinstance(error, NotFound) and error.errcode == "M_NOT_FOUND"
                if not deleted_meanwhile:
                    problems.append(error)
                    return
            seen.add(room_id)

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(min(SEARCHERS, len(asked))):
                group.create_task(search())
    except TimeoutError:
        pass  # `rest` says so
    return SoleAdminRooms(
        found=tuple(found[room_id] for room_id in asked if room_id in found),
        counted=len(seen),
        rest=tuple(room_id for room_id in asked if room_id not in seen),
        problem=problems[0] if problems else None,
    )


async def _is_sole_admin(accounts: AccountBackend, room_id: str, user_id: str) -> bool:
    known = await accounts.room_state(room_id, POWER_LEVELS) + await accounts.room_state(room_id, CREATE)
    power = Power.from_state(known)
    if not power.is_admin(user_id):
        return False
    return sole_admin_among(power, await accounts.room_members(room_id), user_id)
