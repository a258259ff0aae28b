"""Where a person is told about their own removal: in the direct message where they are now, or a new one.

Whoever got hold of a session could leave the direct message, so that the reminder is read by nobody. So what matters
finds the person, and an invitation rings on all of their sessions.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol

from handlers.context import Context
from handlers.direct.rules import alone_together
from homeserver.client.api import Forbidden, NotFound
from removal.audit_action import AuditAction
from removal.plan import Kind
from removal.request import Request
from storage import conversations, requests
from storage.outbox import Outgoing

log = logging.getLogger(__name__)

_ONLY_THERE = ("question.", "matrix_id_asked.", "log_in_asked.", "expired.", "status.", "card")
"""Messages that mean something only where the person is talking with the bot right now."""


NO_ROOM = "nowhere yet: {}"
"""In the place of a room's id: a request of this person began on the page, and no direct message is found yet."""


class Opener(Protocol):
    """What is needed of the Matrix client."""

    async def open_direct(self, user_id: str, name: str) -> str: ...


class DirectRoomFinder:
    """Asked before each message is sent: which room it goes to."""

    def __init__(self, context: Context, client: Opener) -> None:
        self._context = context
        self._client = client

    async def __call__(self, message: Outgoing) -> str | None:
        """The room; None where nobody is there any more to whom it would mean anything.

        Raises:
            HomeserverError: it can't be told.
        """
        if message.request_id is None:
            return message.room_id
        async with self._context.units.database.transaction() as tx:
            request = await requests.get(tx, message.request_id)
        if request is None or request.kind is not Kind.OWN or message.room_id == self._context.authority.admin_room_id:
            return message.room_id
        if await self._is_here(message.room_id, request.requester_id):
            return message.room_id
        edit_or_reaction = message.relates_to is not None
        if request.confirmed_ts is None or edit_or_reaction or message.purpose.startswith(_ONLY_THERE):
            return None
        return await self._elsewhere(request)

    async def _is_here(self, room_id: str, user_id: str) -> bool:
        """Whether a room holds the bot and this person (or an invitation for them) and nobody else."""
        if room_id == NO_ROOM.format(user_id):
            return False
        try:
            state = await self._context.authority.room(room_id)
        except (Forbidden, NotFound):
            return False
        return alone_together(state, self._context.bot_id, user_id) and self._context.bot_id in state.joined()

    async def _elsewhere(self, request: Request) -> str | None:
        """Another direct message with this person; a new one where there is none. None where the account is gone."""
        user_id = request.requester_id
        async with self._context.units.database.transaction() as tx:
            known = await conversations.rooms_with(tx, user_id)
        for room_id in known:
            if await self._is_here(room_id, user_id):
                break
        else:
            account = await self._context.accounts.user(user_id)
            if account is None or account.deactivated:
                return None
            texts = await self._context.units.texts_for(user_id)
            name = texts.word("own_room", "name", reference=request.reference)
            room_id = await self._client.open_direct(user_id, str(name))
            log.info("%s: opened the direct message %s", request.reference, room_id)
        async with self._context.units.begin() as unit:
            await conversations.open_with(unit.tx, room_id, user_id, unit.now)
            request = await unit.request(request.id)
            await requests.save(unit.tx, replace(request, room_id=room_id, command_event_id="", thread_root=""))
            await unit.audit(AuditAction.PERSON_SOUGHT, request, actor=self._context.bot_id)
        return room_id
