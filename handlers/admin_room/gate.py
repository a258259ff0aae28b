"""The checks that every event of the admin room must pass, in order; then moderators' commands and answers."""

from __future__ import annotations

from typing import Any

from handlers import second_factor, yes_no
from handlers.address import hear
from handlers.admin_room import confirmation, wave_answers
from handlers.admin_room.moderators import ModeratorIdentities
from handlers.admin_room.shared import Said, Whose, begins_with, whose
from handlers.admin_room.upgrade import Upgrade
from handlers.admin_room.watch import WATCHED, Watch
from handlers.authority import AdminRoom
from handlers.command_set import Commands
from handlers.context import Context, ModeratorCommand
from handlers.message import Message
from handlers.throttle import Throttle
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from removal.plan import Kind
from removal.request import Request
from storage import requests
from texts import Template

ANSWERS_PER_10_MINUTES = 5
"""Answers that somebody who isn't a moderator gets within ten minutes; further messages are ignored."""
TEN_MINUTES_MS = 600_000

Refusal = tuple[Template, dict[str, Any]]
"""An answer that says why something isn't done, and its values."""


class AdminRoomGate:
    """Handles the events of the admin room."""

    def __init__(
        self,
        context: Context,
        commands: Commands[ModeratorCommand],
        identities: ModeratorIdentities,
        watch: Watch,
        upgrade: Upgrade,
    ) -> None:
        self._context = context
        self._commands = commands
        self._identities = identities
        self._watch = watch
        self._upgrade = upgrade
        self._throttle = Throttle(ANSWERS_PER_10_MINUTES, TEN_MINUTES_MS, context.units.clock)

    async def heard(self, event: Incoming) -> bool:
        """Handles one event; False where it has to wait. Raises: HomeserverError."""
        if event.state_key is not None:
            return await self._changed(event)
        if event.sender in self._context.authority.policy.other_bots:
            return await self._context.done(event)
        if event.type == "m.room.message":
            return await self._said(event)
        if event.type == "m.reaction" and not event.encrypted:  # clients never encrypt them
            return await confirmation.reacted(self._context, event, self._identities, self._run)
        return await self._context.done(event)

    async def _changed(self, event: Incoming) -> bool:
        """Handles a state event. Its content isn't used: the room's state is read from the homeserver."""
        joined = event.type == "m.room.member" and event.state_key == self._context.bot_id
        if joined or event.type in WATCHED:
            await self._watch.look()
        if joined or event.type == "m.room.tombstone":
            await self._upgrade.look()
        return await self._context.done(event)

    async def _said(self, event: Incoming) -> bool:
        message = await hear(self._context, self._commands, event)
        if message is None:
            return await self._context.done(event)
        if await second_factor.in_room(self._context, event, message):
            return True
        answered = await self._answered(message)
        wave = await wave_answers.meant(self._context, event, message)
        if message.command is None and answered is None and wave is None:
            return await self._context.done(event)
        if self._context.settings.shared_admin_room.other_bots and not await self._ours(event, message):
            return True
        room = await self._context.authority.admin_room()
        # A prompt that asks for an encrypted answer asked in an encrypted room: it can't have become a plain one.
        by_reply = answered is not None or (wave is not None and wave.wave.rules.by_reply)
        refusal = self._shut(event, message, room, encrypted=room.state.encrypted or by_reply)
        refusal = refusal or await self._other_identity(event)
        if refusal is not None:
            return await self._refuse(event, room, *refusal)
        if answered is not None:
            await confirmation.answered(self._context, event, room, *answered)
            return True
        if wave is not None:
            await wave_answers.answered(self._context, event, room, wave)
            return True
        name = message.command or ""
        if self._commands.knows(name) and not room.may(event.sender, name):
            return await self._refuse(event, room, Template.NOT_YOURS, {"what": name})
        await self._run(event, room, message)
        return True

    async def _run(self, event: Incoming, room: AdminRoom, message: Message) -> None:
        """A command that passed the gates."""
        found = await self._commands.understood(self._context, event, message)
        if found is not None:
            handler, parsed = found
            await handler(self._context, ModeratorCommand(event, parsed, room, message))

    async def _ours(self, event: Incoming, message: Message) -> bool:
        """Whether this bot answers, of several in the room; where none does, one of them says why.

        Raises:
            HomeserverError: it can't be told what a message replies to.
        """
        context, shared = self._context, self._context.settings.shared_admin_room
        begins, replied = begins_with(event.content), None
        if message.reply_to is not None and begins is None:
            replied = await context.event(event.room_id, message.reply_to)
        names = {begins, None if replied is None else replied.sender}
        said = Said(context.bot_id in names, bool(names & set(shared.other_bots)))
        if message.command is None:
            found = Whose.OURS if said.names_us else Whose.OTHERS if said.names_other else Whose.NUMBER
        else:
            found = whose(self._commands.named(message.command), message, said, context.server_name, shared)
        if found is Whose.OURS:
            return True
        async with context.units.begin(event) as unit:
            if found is not Whose.OTHERS and shared.answers_for_others:
                await unit.messages.reply(event, Template.SHARED_ROOM, what=found.value, bot=context.bot_id)
        return False

    async def _answered(self, message: Message) -> tuple[Request, bool] | None:
        """The prompt that `yes R7` answers, and whether it says yes; None where no prompt asks for such an answer."""
        found = yes_no.typed(message)
        if found is None:
            return None
        async with self._context.units.database.transaction() as tx:
            request = await requests.get(tx, found[0])
        if request is None or request.kind is not Kind.MODERATION or not request.rules.by_reply:
            return None
        return request, found[1]

    def _shut(self, event: Incoming, message: Message, room: AdminRoom, *, encrypted: bool) -> Refusal | None:
        """The answer of the first check that fails; None where all pass."""
        if message.is_edit:
            return Template.EDITED, {}
        if encrypted and not event.encrypted:
            return Template.CLEAR_TEXT, {}
        if event.encrypted and event.trust not in self._identities.trusted:
            return Template.UNTRUSTED_DEVICE, {"trust": event.trust.value}
        if not room.policy.allow_remote and not room.policy.is_local(event.sender):
            return Template.NOT_LOCAL, {"server": self._context.server_name}
        if not room.is_moderator(event.sender):
            return Template.NOT_MODERATOR, {}
        if self._identities.required and not event.encrypted:
            return Template.IDENTITY, {"what": "plain", "user": event.sender}
        return None

    async def _other_identity(self, event: Incoming) -> Refusal | None:
        what = await self._identities.refusal(event)
        return None if what is None else (Template.IDENTITY, {"what": what, "user": event.sender})

    async def _refuse(self, event: Incoming, room: AdminRoom, template: Template, values: dict[str, Any]) -> bool:
        if not room.is_moderator(event.sender) and not self._throttle.allows(event.sender):
            return await self._context.done(event)
        async with self._context.units.begin(event) as unit:
            await unit.messages.reply(event, template, **values)
            await unit.audit(
                AuditAction.COMMAND_REFUSED, actor=event.sender, because=template, detail=values.get("what", "")
            )
        return True
