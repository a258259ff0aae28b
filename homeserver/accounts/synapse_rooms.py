"""Rooms by Synapse's admin API: a part of `homeserver.accounts.synapse.Synapse`."""

from __future__ import annotations

from typing import Any

from homeserver.accounts.models import Capabilities, RoomDetails, RoomMembers, StateEvents, read
from homeserver.accounts.synapse_looks import SLOW
from homeserver.client.api import Api

_ROOM = "/_synapse/admin/v1/rooms/{}"


class RoomAdmin:
    """Looks at rooms, joined by the bot or not, and gives power in them."""

    _api: Api

    async def room_details(self, room_id: str) -> RoomDetails:
        """Name, version and sizes of a room: `GET v1/rooms/{room_id}`.

        Raises:
            NotFound: this homeserver doesn't know the room.
        """
        return read(RoomDetails, "the details of a room", await self._api.call("GET", _ROOM, room_id))

    async def room_versions(self) -> frozenset[str]:
        """The room versions that this homeserver knows: `GET /_matrix/client/v3/capabilities`."""
        answer = await self._api.call("GET", "/_matrix/client/v3/capabilities")
        return read(Capabilities, "the capabilities", answer).room_versions

    async def room_members(self, room_id: str) -> list[str]:
        """Who is joined, from here and elsewhere: `GET v1/rooms/{room_id}/members`.

        Raises:
            NotFound: this homeserver doesn't know the room.
        """
        answer = await self._api.call("GET", _ROOM + "/members", room_id, timeout=SLOW)
        return read(RoomMembers, "the members of a room", answer).members

    async def room_state(self, room_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
        """The state of any room this homeserver is in, joined or not: `GET v1/rooms/{room_id}/state?type=…`.

        For `homeserver.client.rooms.RoomState.from_events` (all types) or removal.power.

        Args:
            room_id: the room.
            event_type: only state events of this type; None for all.

        Raises:
            NotFound: this homeserver doesn't know the room.
        """
        params = {"type": event_type} if event_type else None
        answer = await self._api.call("GET", _ROOM + "/state", room_id, params=params, timeout=SLOW)
        return read(StateEvents, "the state of a room", answer).state

    async def make_room_admin(self, room_id: str, user_id: str) -> None:
        """Gives a user the power of the room's most powerful local member: `POST v1/rooms/{room_id}/make_room_admin`.

        INVITES whoever isn't in the room: look at the members first. Read the power back afterwards. In room version 12
        a creator passes on 100 at most.

        Raises:
            Forbidden: the local admin is suspended (`M_USER_SUSPENDED`), or may not do it.
            Refused: no local member has any power, or the homeserver isn't in the room.
        """
        await self._api.call("POST", _ROOM + "/make_room_admin", room_id, json={"user_id": user_id}, timeout=SLOW)
