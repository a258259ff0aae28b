"""Moderators' cross-signing identities: remembered at the first look, and a change is said and, if so set, refused.

Whoever takes over an account resets its identity, so that new devices are signed again. So does a person who lost all
devices. The bot can't tell the two apart, but another moderator can.
"""

from __future__ import annotations

import logging
from typing import Protocol

from handlers.context import Context, ModeratorCommand
from removal.audit_action import AuditAction
from removal.incoming import DeviceTrust, Incoming
from removal.request import Request
from storage import identities
from storage.identities import Known
from texts import Template

log = logging.getLogger(__name__)


class Client(Protocol):
    """What is needed of the Matrix client."""

    async def identity_of(self, user_id: str) -> str | None:
        """Somebody's master key as it is now. Raises: HomeserverError."""


class ModeratorIdentities:
    """Compares a moderator's cross-signing identity with the accepted one."""

    def __init__(self, context: Context, client: Client) -> None:
        self._context = context
        self._client = client

    @property
    def required(self) -> bool:
        """Whether moderators must have an identity, and their devices be signed with it."""
        return self._context.settings.require_cross_signed_moderators

    @property
    def trusted(self) -> frozenset[DeviceTrust]:
        """What an encrypted event must come from to be obeyed."""
        if self.required:
            return frozenset({DeviceTrust.SIGNED})
        return frozenset({DeviceTrust.SIGNED, DeviceTrust.UNSIGNED})

    async def refusal(self, event: Incoming) -> str | None:
        """Why this moderator's message or reaction doesn't count, None where it does. A change is said in the room.

        A reaction is clear text: all that can be asked of its sender is to have an identity, and still the same.

        Raises:
            HomeserverError: it can't be told.
        """
        key = event.identity_key
        if not event.encrypted and self.required:
            key = await self._client.identity_of(event.sender)
        if key is None:
            return "missing" if self.required else None
        return await self._changed(event.sender, key)

    async def lets_count(self, event: Incoming, request: Request | None = None) -> bool:
        """Whether a moderator's reaction counts; where it doesn't, that is said, and the reaction is handled.

        Args:
            request: what it is about; then the audit holds a refusal too.

        Raises:
            HomeserverError: it can't be told.
        """
        what = await self.refusal(event)
        if what is None:
            return True
        async with self._context.units.begin(event) as unit:
            await unit.messages.reply(event, Template.IDENTITY, what=what, user=event.sender, key="", required=True)
            if request is not None:
                action = AuditAction.REACTION_REFUSED
                await unit.audit(action, request, actor=event.sender, because="identity", detail=what)
        return False

    async def _changed(self, user_id: str, key: str) -> str | None:
        room_id = self._context.authority.admin_room_id
        async with self._context.units.database.transaction() as tx:
            known = await identities.known(tx, user_id)
        if known == Known(key, key):
            return None
        async with self._context.units.begin() as unit:
            if known is None:
                await unit.audit(AuditAction.IDENTITY_FIRST_SEEN, actor=user_id, key=key)
            elif known.seen != key and known.accepted != key:
                log.warning("the cross-signing identity of %s was reset", user_id)
                once = f"identity {user_id} {key} {unit.now}"
                await unit.messages.post(
                    room_id, Template.IDENTITY, once, what="changed", user=user_id, key=key, required=self.required
                )
                await unit.audit(AuditAction.IDENTITY_CHANGED, actor=user_id, key=key)
            # Where no identity is required, the change is only announced in the room.
            refused = self.required and known is not None and known.accepted != key
            accepted = known.accepted if known is not None and refused else key
            await identities.save(unit.tx, user_id, Known(accepted, key))
        return "refused" if refused else None


async def accept(context: Context, asked: ModeratorCommand) -> None:
    """`!accept @user`: another moderator knows that the new identity is that person's."""
    user_id = str(asked.parsed.user("user"))
    async with context.units.begin(asked.event) as unit:
        what = "own" if user_id == asked.by else "nothing"
        if what == "nothing" and await identities.accept(unit.tx, user_id):
            what = "accepted"
            await unit.audit(AuditAction.IDENTITY_ACCEPTED, actor=asked.by, target=user_id)
        await unit.messages.reply(asked.event, Template.IDENTITY, what=what, user=user_id, key="", required=True)
