"""From the inbox to a handler: the gates, in order, the table of commands, and the error boundary.

Events of one room are handled one after the other, rooms side by side. An event is done once a handler's entry is
committed; where the homeserver can't be asked, it stays and is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets

from authority import AdminRoom
from events import DeviceTrust, Incoming
from handlers import confirmation
from handlers.command import Place, UsageError, parse
from handlers.commands import Commands
from handlers.desk import Asked, Desk
from handlers.invites import Invites
from handlers.words import Message, read
from homeserver.api import BadToken, Forbidden, HomeserverError, Refused
from receiver import INVITE
from storage import inbox

log = logging.getLogger(__name__)

ROOMS_SIDE_BY_SIDE = 8
LONGEST_WAIT = 30.0
"""Seconds between attempts to handle an event while the homeserver can't be asked."""


class Dispatcher:
    """Takes events from the inbox, in order, and sees each one handled."""

    def __init__(self, desk: Desk, commands: Commands, invites: Invites) -> None:
        self._desk = desk
        self._invites = invites
        self._commands = commands
        self._busy: set[str] = set()
        self._slots = asyncio.Semaphore(ROOMS_SIDE_BY_SIDE)

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        async with asyncio.TaskGroup() as tasks:
            while True:
                async with self._desk.ledger.database.transaction() as tx:
                    waiting = await inbox.pending(tx)
                rooms: dict[str, list[Incoming]] = {}
                for _, event in waiting:
                    if event.room_id not in self._busy:
                        rooms.setdefault(event.room_id, []).append(event)
                for room_id, events in rooms.items():
                    self._busy.add(room_id)
                    tasks.create_task(self._handle_room(room_id, events))
                seen = await self._desk.ledger.wait_for_change(seen, None)

    async def _handle_room(self, room_id: str, events: list[Incoming]) -> None:
        try:
            async with self._slots:
                for event in events:
                    await self._until_handled(event)
        finally:
            self._busy.discard(room_id)
            await self._desk.ledger.notify()

    async def _until_handled(self, event: Incoming) -> None:
        wait = 0.5
        while not await self._attempt(event):
            await asyncio.sleep(wait * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
            wait = min(wait * 2, LONGEST_WAIT)

    async def _attempt(self, event: Incoming) -> bool:
        """Whether the event needs no further attempt."""
        try:
            return await self._handle(event)
        except Refused as error:
            if not isinstance(error, BadToken):
                return await self._incident(event, error)
            log.warning("event %s waits for a token that works: %s", event.event_id, error)
            return False
        except HomeserverError as error:
            log.warning("event %s waits: %s", event.event_id, error)
            return False
        except Exception as error:
            return await self._incident(event, error)

    async def _incident(self, event: Incoming, error: Exception) -> bool:
        """People get a reference, the log gets the cause, and the event is done: it would fail again."""
        incident = f"E-{secrets.token_hex(3).upper()}"
        log.error("%s: event %s in %s", incident, event.event_id, event.room_id, exc_info=error)
        async with self._desk.ledger.entry(event) as entry:
            if event.type == "m.room.message" and not isinstance(error, Forbidden):
                await entry.reply(event, "error", incident=incident)
            await entry.audit("Incident", actor=event.sender, incident=incident)
        return True

    async def _handle(self, event: Incoming) -> bool:
        """Gate one: where was it said, and by whom? Everything that isn't ours ends here without a word."""
        if event.type == INVITE:
            return await self._invites.answer(event)
        if event.sender != self._desk.bot_id and event.room_id == self._desk.authority.admin_room_id:
            if event.type == "m.room.message":
                return await self._said_in_admin_room(event)
            if event.type == "m.reaction":
                return await confirmation.reacted(self._desk, event, await self._desk.authority.admin_room())
        async with self._desk.ledger.entry(event):
            return True

    async def _said_in_admin_room(self, event: Incoming) -> bool:
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
        await self._obey(event, message, room)
        return True

    def _gate(self, event: Incoming, message: Message, room: AdminRoom) -> tuple[str, dict[str, str]] | None:
        """The gates of the admin room, in order: the first that is shut gives the answer."""
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

    async def _obey(self, event: Incoming, message: Message, room: AdminRoom) -> None:
        name = message.command or ""
        found = self._commands.find(name, Place.ADMIN)
        if found is None:
            near = self._commands.nearest(name, Place.ADMIN)
            async with self._desk.ledger.entry(event) as entry:
                await entry.reply(event, "unknown_command", typed=name, nearest=near)
            return
        command, handler = found
        parsed = parse(command, message, self._desk.server_name)
        if isinstance(parsed, UsageError):
            usage = self._commands.usage(command)
            async with self._desk.ledger.entry(event) as entry:
                await entry.reply(event, "usage_error", e=parsed, command=command.name, usage=usage)
            return
        await handler(self._desk, Asked(event, parsed, room))
