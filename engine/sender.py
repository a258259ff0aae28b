"""Sends what waits in the outbox: in order within a room, rooms independently of each other."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from engine.about import about
from engine.messages import LEAVE, REDACT, CurrentAdminRoom, out_of_thread
from engine.unit_of_work import UnitsOfWork
from homeserver.client.api import BadToken, Forbidden, HomeserverError, NotFound, RateLimited, Refused
from homeserver.client.backoff import Outage
from removal.ids import reference
from storage import outbox
from storage.outbox import Outgoing

log = logging.getLogger(__name__)

LONGEST_WAIT = 60.0
"""Seconds between attempts while the homeserver can't be reached."""


class Sender(Protocol):
    """What the outbox sender needs of the Matrix client."""

    async def send(self, room_id: str, event_type: str, content: dict[str, Any], txn_id: str) -> str:
        """Sends one event and returns its event_id."""

    async def redact(self, room_id: str, event_id: str, txn_id: str) -> str:
        """Redacts an event; returns the redaction's event_id."""

    async def leave(self, room_id: str) -> None:
        """Leaves a room."""

    async def forget(self, room_id: str) -> None:
        """Forgets a room that was left."""


Where = Callable[[Outgoing], Awaitable[str | None]]


async def where_it_was_put(message: Outgoing) -> str | None:
    """Every message goes to the room it was written for."""
    return message.room_id


class OutboxSender:
    """Empties the outbox for as long as it runs."""

    def __init__(
        self,
        units: UnitsOfWork,
        sender: Sender,
        admin_room: CurrentAdminRoom,
        where: Where = where_it_was_put,
        outage: Outage | None = None,
    ) -> None:
        """
        Args:
            admin_room: its messages are never given up.
            where: asked before each message: which room it goes to by now, None where it means nothing to anybody.
            outage: how long to leave a homeserver alone that doesn't answer.
        """
        self._units = units
        self._sender = sender
        self._where = where
        self._admin_room = admin_room
        self._paused_until: dict[str, float] = {}
        self._waits: dict[str, float] = {}
        self._busy: set[str] = set()
        self._all_paused_until = 0.0
        self._outage = outage or Outage()

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        async with asyncio.TaskGroup() as tasks:
            while True:
                loop_time = asyncio.get_running_loop().time()
                now = self._units.clock()
                async with self._units.database.transaction() as tx:
                    waiting = await outbox.heads(tx, now)
                    delayed = await outbox.next_ts(tx, now)
                next_try = None if delayed is None else loop_time + (delayed - now) / 1000
                for message in waiting:
                    ready = max(self._paused_until.get(message.room_id, 0.0), self._all_paused_until)
                    if message.room_id in self._busy:
                        continue
                    if self._outage.on:
                        if self._busy:
                            continue  # one attempt is enough to find out; when it ends, this loop wakes up
                        ready = max(ready, loop_time + self._outage.seconds())
                    if ready > loop_time:
                        next_try = min(next_try or ready, ready)
                        continue
                    self._busy.add(message.room_id)
                    tasks.create_task(self._deliver(message))
                timeout = None if next_try is None else max(0.05, next_try - loop_time)
                seen = await self._units.wait_for_change(seen, timeout, "outbox")

    async def emptied(self) -> None:
        """Waits until nothing is being sent, and nothing waits that could be sent now."""
        seen = -1
        while True:
            now = asyncio.get_running_loop().time()
            async with self._units.database.transaction(only_reading=True) as tx:
                waiting = await outbox.heads(tx, self._units.clock())
            possible = self._all_paused_until <= now and self._outage.seconds() <= 0
            ready = possible and any(self._paused_until.get(each.room_id, 0.0) <= now for each in waiting)
            if not self._busy and not ready:
                return
            seen = await self._units.wait_for_change(seen, 0.2, "outbox")

    async def _deliver(self, message: Outgoing) -> None:
        about(reference(message.request_id) if message.request_id else "")
        try:
            await self._try(message)
        except HomeserverError as error:
            await self._failed(message, error)
        except asyncio.CancelledError:
            raise
        except Exception:
            # A message that can't be built must not block the others.
            log.exception("message %s to %s can't be sent", message.purpose, message.room_id)
            await self._give_up(message)
        finally:
            self._busy.discard(message.room_id)
            self._units.notify("outbox")

    async def _try(self, message: Outgoing) -> None:
        content = message.content
        room_id = await self._where(message)
        if room_id is None:
            await self._give_up(message)
            return
        if room_id != message.room_id and message.request_id is not None:
            async with self._units.database.transaction() as tx:
                await outbox.move(tx, message.request_id, message.room_id, room_id)
            return
        async with self._units.database.transaction() as tx:
            if message.relates_to is not None:
                related = await outbox.event_id_of(tx, message.relates_to)
                if related is None:  # what it refers to was never sent
                    await outbox.dropped(tx, message.seq)
                    return
                relation = {**content.get("m.relates_to", {}), "event_id": related}
                content = {**content, "m.relates_to": relation}
            if not await outbox.trying(tx, message.seq):
                return
        if message.event_type == LEAVE:
            await self._leave(message)
            return
        if message.event_type == REDACT:
            event_id = await self._sender.redact(message.room_id, content["m.relates_to"]["event_id"], message.txn_id)
        else:
            event_id = await self._sender.send(message.room_id, message.event_type, content, message.txn_id)
        async with self._units.database.transaction() as tx:
            await outbox.sent(tx, message.seq, event_id)
        self._waits.pop(message.room_id, None)
        self._outage.answered()

    async def _leave(self, message: Outgoing) -> None:
        await self._sender.leave(message.room_id)
        await self._sender.forget(message.room_id)
        async with self._units.database.transaction() as tx:
            await outbox.dropped(tx, message.seq)

    async def _failed(self, message: Outgoing, error: HomeserverError) -> None:
        now = asyncio.get_running_loop().time()
        self._outage.failed(error)
        if isinstance(error, RateLimited):
            # Synapse counts messages per sender, not per room.
            wait = error.retry_after if error.retry_after is not None else 5.0
            self._all_paused_until = max(self._all_paused_until, now + wait + 0.05)
            log.info("the homeserver is rate-limiting the bot: waiting %.1f s", wait)
            return
        # An invalid token says nothing about the message: it is sent once there is a new one.
        lasting = isinstance(error, Refused) and not isinstance(error, Forbidden | NotFound | BadToken)
        outside = out_of_thread(message.content) if lasting else None
        if outside is not None:
            # Its sender alone says which event began a thread, and a server takes no message into one that isn't there.
            log.info("message %s to %s was sent outside its thread: %s", message.purpose, message.room_id, error)
            async with self._units.database.transaction() as tx:
                await outbox.refused(tx, message.seq, outside)
            return
        gone = isinstance(error, Forbidden | NotFound) and message.room_id != self._admin_room.room_id
        if lasting or gone:
            log.error("gave up on message %s to %s: %s", message.purpose, message.room_id, error)
            await self._give_up(message)
            return
        wait = min(self._waits.get(message.room_id, 0.5) * 2, LONGEST_WAIT)
        self._waits[message.room_id] = wait
        self._paused_until[message.room_id] = now + wait * random.uniform(0.7, 1.3)  # noqa: S311 - jitter
        log.warning("message %s to %s couldn't be sent yet: %s", message.purpose, message.room_id, error)

    async def _give_up(self, message: Outgoing) -> None:
        async with self._units.database.transaction() as tx:
            await outbox.dropped(tx, message.seq)

    def nudge(self) -> None:
        """The homeserver answers again: all waits end now."""
        self._paused_until.clear()
        self._waits.clear()
        self._outage.answered()
