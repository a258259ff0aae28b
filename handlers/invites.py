"""Invitations: the admin room's is accepted, all others are declined."""

from __future__ import annotations

import logging
from typing import Protocol

from events import Incoming
from handlers.desk import Desk
from homeserver.api import Forbidden, NotFound

log = logging.getLogger(__name__)


class Door(Protocol):
    """What is needed of the Matrix door."""

    async def join(self, room_id: str) -> None: ...

    async def leave(self, room_id: str) -> None: ...


class Invites:
    """Answers invitations."""

    def __init__(self, desk: Desk, door: Door) -> None:
        self._desk = desk
        self._door = door

    async def answer(self, event: Incoming) -> bool:
        """Answers one invitation; True once it needs no more attention. Raises: HomeserverError."""
        wanted = event.room_id == self._desk.authority.admin_room_id
        try:
            if wanted:
                await self._door.join(event.room_id)
                log.info("joined the admin room %s, invited by %s", event.room_id, event.sender)
            else:
                await self._door.leave(event.room_id)
                log.info("declined an invitation to %s by %s", event.room_id, event.sender)
        except (Forbidden, NotFound) as error:
            log.warning("the invitation to %s is void: %s", event.room_id, error)
        async with self._desk.ledger.entry(event) as entry:
            await entry.audit("InviteAccepted" if wanted else "InviteDeclined", actor=event.sender, room=event.room_id)
        return True
