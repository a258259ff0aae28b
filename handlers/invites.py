"""Invitations: the admin room's, and direct messages of one local person. All others are declined, with the reason."""

from __future__ import annotations

import logging
from typing import Protocol

from handlers import second_factor
from handlers.admin_room.policy_watch import PolicyWatch
from handlers.admin_room.upgrade import Upgrade
from handlers.context import Context
from handlers.direct.rules import alone_together
from handlers.throttle import Throttle
from homeserver.client.api import Forbidden, NotFound
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from removal.plan import Kind
from storage import conversations, requests
from texts import Template, plain

log = logging.getLogger(__name__)

INVITES_PER_10_MINUTES = 3
"""More invitations of one person are left alone."""


class Client(Protocol):
    """What is needed of the Matrix client."""

    async def join(self, room_id: str) -> None: ...

    async def leave(self, room_id: str, reason: str = "") -> None: ...


class Invites:
    """Answers invitations."""

    def __init__(self, context: Context, client: Client, upgrade: Upgrade, policies: PolicyWatch | None = None) -> None:
        self._context = context
        self._client = client
        self._upgrade = upgrade
        self._policies = policies
        self._throttle = Throttle(INVITES_PER_10_MINUTES, 600_000, context.units.clock)

    async def answer(self, event: Incoming) -> bool:
        """Answers one invitation; True once it needs no more attention. Raises: HomeserverError."""
        try:
            if event.room_id == self._context.authority.admin_room_id:
                await self._client.join(event.room_id)
                log.info("joined the admin room %s, invited by %s", event.room_id, event.sender)
                await self._audit(event, AuditAction.INVITE_ACCEPTED)
            elif not self._throttle.allows(event.sender):
                await self._audit(event, AuditAction.INVITE_LEFT_ALONE)
            elif await self._wanted(event):
                await self._audit(event, AuditAction.INVITE_ACCEPTED)
            else:
                await self._direct(event)
        except (Forbidden, NotFound) as error:
            log.info("the invitation to %s by %s is no longer valid: %s", event.room_id, event.sender, error)
            await self._audit(event, AuditAction.INVITE_VOID)
        return True

    async def _wanted(self, event: Incoming) -> bool:
        """Whether this is a watched policy list or the admin room's successor; the bot is in it then."""
        if self._policies is not None and await self._policies.invited(event.room_id):
            return True
        return await self._upgrade.invited(event)

    async def _direct(self, event: Incoming) -> None:
        refusal = await self._refusal(event)
        if refusal is not None:
            texts = await self._context.units.texts_for(event.sender)
            why = plain(str(texts.word("declined", refusal, server=self._context.server_name)))
            await self._client.leave(event.room_id, why)
            await self._audit(event, AuditAction.INVITE_DECLINED, refusal)
            return
        # Known as a conversation before the bot is in it: what is said right after the join finds its way.
        async with self._context.units.begin() as unit:
            await conversations.open_with(unit.tx, event.room_id, event.sender, unit.now)
        try:
            await self._client.join(event.room_id)
        except (Forbidden, NotFound):
            async with self._context.units.begin() as unit:
                await conversations.close(unit.tx, event.room_id)
            raise
        async with self._context.units.begin(event) as unit:
            await unit.messages.post(event.room_id, Template.OWN_GREETING, event.room_id)
            for request in await requests.open_for(unit.tx, event.sender):
                if request.kind is Kind.OWN:
                    await unit.messages.show_again(request, event)
            await unit.audit(AuditAction.CONVERSATION_OPENED, actor=event.sender)

    async def _refusal(self, event: Incoming) -> str | None:
        if not self._context.authority.policy.is_local(event.sender):
            return "remote"
        if not self._context.settings.self_service.enabled and not await self._gives_codes(event.sender):
            return "switched_off"
        # Joined and invited together, from the homeserver itself: an invitation's own state shows nobody.
        state = await self._context.authority.members_before_joining(event.room_id)
        if not alone_together(state, self._context.bot_id, event.sender):
            return "not_alone"
        return None

    async def _gives_codes(self, user_id: str) -> bool:
        """Whether this person needs a direct message for the codes of a second factor."""
        if not second_factor.wanted(self._context):
            return False
        return (await self._context.authority.admin_room()).is_moderator(user_id)

    async def _audit(self, event: Incoming, action: AuditAction, because: str = "") -> None:
        async with self._context.units.begin(event) as unit:
            await unit.audit(action, actor=event.sender, room=event.room_id, because=because)
