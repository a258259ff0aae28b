"""Encrypted messages whose key is missing: read once it comes; after a while people are asked to send them again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from engine.receiver import Receiver
from engine.unit_of_work import UnitOfWork
from handlers.context import Context
from homeserver.client.api import HomeserverError
from removal.incoming import Incoming
from storage import conversations, inbox
from texts import Template

log = logging.getLogger(__name__)

PATIENCE_MS = 60_000
ONCE_IN_MS = 600_000
"""One person is asked at most once in this time."""
LOOK_EVERY = 10.0

Decrypt = Callable[[Incoming], Awaitable[Incoming | None]]


class Undecryptable:
    """Looks after the events that couldn't be read."""

    def __init__(self, context: Context, receiver: Receiver, decrypt: Decrypt, patience_ms: int = PATIENCE_MS) -> None:
        """
        Args:
            decrypt: gives the event decrypted, still `undecryptable`, or None where it is forged.
            patience_ms: how long a key may take before its sender is asked to send the message again.
        """
        self._context = context
        self._receiver = receiver
        self._decrypt = decrypt
        self._patience_ms = patience_ms

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self._receiver.new_keys.clear()
            async with self._context.units.database.transaction() as tx:
                waiting = await inbox.undecryptable(tx)
            for received_ts, event in waiting:
                await self._look_at(event, received_ts)
            try:
                async with asyncio.timeout(LOOK_EVERY if waiting else None):
                    await self._receiver.new_keys.wait()
            except TimeoutError:
                pass

    async def _look_at(self, event: Incoming, received_ts: int) -> None:
        try:
            read = await self._decrypt(event)
        except HomeserverError as error:
            log.info("event %s can't be read yet: %s", event.event_id, error)
            return
        except Exception:  # whatever somebody sent, the others are read
            log.exception("event %s can't be read", event.event_id)
            read = None
        async with self._context.units.begin() as unit:
            if read is None:
                await inbox.handled(unit.tx, event.event_id)
            elif not read.undecryptable:
                await inbox.decrypted(unit.tx, replace(read, undecryptable=False))
            elif unit.now - received_ts > self._patience_ms:
                await inbox.handled(unit.tx, event.event_id)
                if await self._is_meant_for_us(unit, event):
                    once_per = f"{event.room_id} {event.sender} {unit.now // ONCE_IN_MS}"
                    await unit.messages.reply(event, Template.UNREADABLE, once_per=once_per)

    async def _is_meant_for_us(self, unit: UnitOfWork, event: Incoming) -> bool:
        """Whether it was said in the admin room, or in a direct message by the person whose it is."""
        if event.room_id == self._context.authority.admin_room_id:
            return True
        return await conversations.with_whom(unit.tx, event.room_id) == event.sender
