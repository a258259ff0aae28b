"""The admin room's gates, in order, and what lies behind them: commands and reactions of moderators."""

from __future__ import annotations

from authority import AdminRoom
from events import DeviceTrust, Incoming
from handlers import confirmation
from handlers.commands import Commands
from handlers.desk import Asked, Desk
from handlers.words import Message, read


class AdminRoomGate:
    """Hears everything that is said in the admin room."""

    def __init__(self, desk: Desk, commands: Commands[Asked]) -> None:
        self._desk = desk
        self._commands = commands

    async def heard(self, event: Incoming) -> bool:
        """Handles one event; False where it has to wait. Raises: HomeserverError."""
        if event.type == "m.room.message":
            return await self._said(event)
        if event.type == "m.reaction":
            room = await self._desk.authority.admin_room()
            return await confirmation.reacted(self._desk, event, room)
        async with self._desk.ledger.entry(event):
            return True

    async def _said(self, event: Incoming) -> bool:
        message = read(event.content, self._desk.settings.command_prefix)
        if message is None or message.command is None:
            async with self._desk.ledger.entry(event):
                return True
        room = await self._desk.authority.admin_room()
        refusal = self._gate(event, message, room)
        if refusal is not None:
            template, values = refusal
            async with self._desk.ledger.entry(event) as entry:
                await entry.reply(event, template, **values)
                await entry.audit("CommandRefused", actor=event.sender, because=template)
            return True
        found = await self._commands.understood(self._desk, event, message)
        if found is not None:
            handler, parsed = found
            await handler(self._desk, Asked(event, parsed, room))
        return True

    def _gate(self, event: Incoming, message: Message, room: AdminRoom) -> tuple[str, dict[str, str]] | None:
        """The first gate that is shut gives the answer."""
        if message.is_edit:
            return "edited", {}
        if room.state.encrypted and not event.encrypted:
            return "clear_text", {}
        if event.encrypted and event.trust not in self._trusted():
            return "untrusted_device", {"trust": event.trust.value}
        if not room.policy.allow_remote and not room.policy.is_local(event.sender):
            return "not_local", {"server": self._desk.server_name}
        if not room.is_moderator(event.sender):
            return "not_moderator", {}
        return None

    def _trusted(self) -> frozenset[DeviceTrust]:
        if self._desk.settings.require_cross_signed_moderators:
            return frozenset({DeviceTrust.SIGNED})
        return frozenset({DeviceTrust.SIGNED, DeviceTrust.UNSIGNED})
