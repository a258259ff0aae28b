"""The checks that every event of a direct message must pass, in order; then the person's commands and answers."""

from __future__ import annotations

from handlers import second_factor
from handlers.address import hear
from handlers.admin_room import second_factor as codes
from handlers.command_set import Commands
from handlers.context import Context, DirectCommand
from handlers.direct import confirmation
from handlers.direct.intent import asks_for_removal
from handlers.direct.rules import somebody_else
from handlers.message import Message
from handlers.throttle import Throttle
from homeserver.client.api import Forbidden
from homeserver.client.rooms import RoomState
from removal.audit_action import AuditAction
from removal.incoming import DeviceTrust, Incoming
from removal.lifecycle import Cancelled
from removal.plan import Kind
from removal.request import UNCONFIRMED, WAITING
from storage import conversations, requests
from texts import Template, own_reason

SAID_PER_MINUTE = 20
"""More messages and reactions of one person aren't heard; those that stop a removal are counted apart."""
HINT_ONCE_IN_MS = 600_000
STOPPABLE = UNCONFIRMED | WAITING
TRUSTED = frozenset({DeviceTrust.SIGNED, DeviceTrust.UNSIGNED})


class DirectGate:
    """Handles the events of direct messages."""

    def __init__(self, context: Context, commands: Commands[DirectCommand]) -> None:
        self._context = context
        self._commands = commands
        self._throttle = Throttle(SAID_PER_MINUTE, 60_000, context.units.clock)
        self._stops = Throttle(SAID_PER_MINUTE, 60_000, context.units.clock)

    async def heard(self, event: Incoming, user_id: str) -> bool:
        """Handles one event of the direct message with this person; False where it has to wait.

        Raises:
            HomeserverError: the room's state, or the account, can't be read.
        """
        if event.type == "m.room.member":
            return await self._membership(event, user_id)
        if event.type not in ("m.room.message", "m.reaction") or event.sender != user_id:
            return await self._context.done(event)
        # Counted apart: a flood by a stolen session must not keep the person from cancelling.
        stops = confirmation.stops(self._context, event)
        if not (self._stops if stops else self._throttle).allows(user_id):
            return await self._context.done(event)
        try:
            state = await self._context.authority.room(event.room_id)
        except Forbidden:
            return await self._over(event)  # the bot may not look into it any more
        # Whoever has left since was there when this was said: it is heard, and nobody else is taken to be there.
        if somebody_else(state, self._context.bot_id, user_id):
            return await self._not_alone(event, user_id)
        if event.type == "m.reaction":
            return await confirmation.reacted(self._context, event)
        return await self._said(event, state)

    async def _said(self, event: Incoming, state: RoomState) -> bool:
        message = await hear(self._context, self._commands, event)
        if message is None or (message.is_edit and message.command is None):
            return await self._context.done(event)
        shut = self._shut(event, message, state)
        if shut is not None:
            async with self._context.units.begin(event) as unit:
                await unit.messages.reply(event, shut, trust=event.trust.value)
            return True
        asks = asks_for_removal(message, await self._context.units.texts_for(event.sender))
        if message.command is not None and (self._commands.knows(message.command) or not asks):
            found = await self._commands.understood(self._context, event, message)
            if found is not None:
                handler, parsed = found
                await handler(
                    self._context, DirectCommand(event, parsed, state.encrypted, second_factor.wanted(self._context))
                )
            return True
        code = second_factor.code_in(message) if second_factor.wanted(self._context) else None
        if code is not None:
            await codes.given(self._context, event, *code, encrypted=state.encrypted)
            return True
        if not await confirmation.typed(self._context, event, message, encrypted=state.encrypted):
            async with self._context.units.begin(event) as unit:
                once_per = f"{event.room_id} {unit.now // HINT_ONCE_IN_MS}"
                await unit.messages.reply(
                    event, Template.OWN_HOW if asks else Template.OWN_HINT, once_per=None if asks else once_per
                )
        return True

    def _shut(self, event: Incoming, message: Message, state: RoomState) -> Template | None:
        """The answer of the first check that fails; None where all pass."""
        if message.is_edit:
            return Template.EDITED
        if state.encrypted and not event.encrypted:
            return Template.CLEAR_TEXT
        if event.encrypted and event.trust not in TRUSTED:
            return Template.UNTRUSTED_DEVICE
        return None

    async def _membership(self, event: Incoming, user_id: str) -> bool:
        """Handles a change of membership."""
        membership, who = event.content.get("membership"), event.state_key
        if who in (user_id, self._context.bot_id):
            return await self._over(event) if membership in ("leave", "ban") else await self._context.done(event)
        if membership in ("join", "invite", "knock"):
            return await self._not_alone(event, user_id)
        return await self._context.done(event)

    async def _not_alone(self, event: Incoming, user_id: str) -> bool:
        """A third person is in the room: the bot says nothing more here, and cancels requests that haven't begun."""
        async with self._context.units.begin(event) as unit:
            await unit.messages.post(event.room_id, Template.OWN_NOT_ALONE, event.room_id, mention=user_id)
            for request in await requests.open_for(unit.tx, user_id):
                if request.kind is Kind.OWN and request.room_id == event.room_id and request.state in STOPPABLE:
                    await unit.apply(request, Cancelled(self._context.bot_id, own_reason(Template.OWN_THIRD_PERSON)))
            await unit.messages.leave(event.room_id)
            await unit.audit(AuditAction.CONVERSATION_STOPPED, actor=event.sender, target=user_id)
        return True

    async def _over(self, event: Incoming) -> bool:
        """The person left, or the bot was removed. A request that was confirmed goes on; a new message shows it."""
        async with self._context.units.begin(event) as unit:
            if await conversations.with_whom(unit.tx, event.room_id) is not None:  # else it was closed meanwhile
                await unit.messages.leave(event.room_id)
        return True
