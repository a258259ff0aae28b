"""The step that gives rooms another admin before their only one goes.

Source: Synapse admin API, `POST /_synapse/admin/v1/rooms/{room_id}/make_room_admin`.
"""

from __future__ import annotations

from typing import Any

from homeserver.api import Refused
from homeserver.only_admin import only_admin_rooms
from homeserver.synapse import Synapse
from removal.plan import ALL_ROOMS, Step
from removal.power import CREATE, POWER_LEVELS, Power
from removal.request import Failure, Request
from runner.problem import Problem

SEARCH_SECONDS = 600.0


async def hand_over(synapse: Synapse, request: Request) -> dict[str, Any]:
    """Makes the named successors admins of the rooms where the account is the only one.

    Nobody is invited: a successor who isn't joined is passed over, and the room is listed in what this returns. Direct
    messages and rooms of two are never handed over.

    Raises:
        Problem: the search for such rooms couldn't be finished.
        HomeserverError: as in homeserver.api.
    """
    snapshot = request.record(Step.SNAPSHOT)
    rooms = list(snapshot.answer.get("rooms", [])) if snapshot else []
    search = await only_admin_rooms(synapse, request.target_id, rooms, SEARCH_SECONDS)
    if not search.complete:
        raise Problem(Failure.PASSING, f"the rooms couldn't all be looked at: {search.problem or 'it took too long'}")
    successors = dict(request.options.handover)
    handed: list[str] = []
    left: list[str] = []
    for room in search.found:
        successor = successors.get(room.room_id) or successors.get(ALL_ROOMS)
        done = successor is not None and await _make_admin(synapse, room.room_id, successor)
        (handed if done else left).append(room.room_id)
    # A second attempt doesn't find the rooms that the first one handed over.
    record = request.record(Step.HANDOVER)
    before = list(record.answer.get("handed", [])) if record else []
    handed = list(dict.fromkeys([*before, *handed]))
    return {"handed": handed, "left": left, "handed_count": len(handed), "left_count": len(left)}


async def _make_admin(synapse: Synapse, room_id: str, successor: str) -> bool:
    """Whether the successor is admin now, by the room's state and not by the answer."""
    if successor not in await synapse.room_members(room_id):
        return False
    try:
        await synapse.make_room_admin(room_id, successor)
    except Refused:
        return False
    state = await synapse.room_state(room_id, POWER_LEVELS) + await synapse.room_state(room_id, CREATE)
    return Power.from_state(state).is_admin(successor)
