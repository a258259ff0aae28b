"""Stores what a sync brought, in one transaction with the sync token. Nothing is acted on here."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from engine.unit_of_work import UnitsOfWork
from removal.incoming import Incoming, Invite, SyncBatch
from storage import conversations, inbox, meta, requests, waves
from storage.database import Transaction

SINCE = "since"
CLOCKS_DIFFER_MS = 1_000
"""Milliseconds that the homeserver's clock may be behind ours before a reaction in time counts as late."""
POLL_MS = 30_000
"""Milliseconds that a sync may wait for events, where no deadline comes earlier."""
SHORTEST_POLL_MS = 250
INVITE = "lethe.invite"
"""The type under which an invite waits in the inbox; no homeserver sends it in a timeline."""


class Receiver:
    """Fills the inbox. The sync loop calls `store` for every batch."""

    def __init__(self, units: UnitsOfWork, bot_id: str) -> None:
        self._units = units
        self._bot_id = bot_id
        self.new_keys = asyncio.Event()
        """Set where keys arrived with which an event may be read that couldn't be before, and where such an event
        arrived."""

    async def since(self) -> str | None:
        """The token to go on from; None before the first sync."""
        async with self._units.database.transaction() as tx:
            return await meta.get(tx, SINCE)

    async def store(self, batch: SyncBatch) -> None:
        """Stores a batch. Raises: StorageError; then nothing of it was stored and it will be brought again."""
        async with self._units.begin() as unit:
            # What was sent before the bot's first sync isn't meant for it.
            events = [] if batch.first else await self._meant_for_us(unit.tx, batch.events)
            for event in events:
                if self._matters(event):
                    await inbox.add(unit.tx, self._timed(event, unit.now), unit.now)
            for invite in batch.invites:
                await self._add_invite(unit.tx, invite, batch.since, unit.now)
            await meta.put(unit.tx, SINCE, batch.since)
        if batch.new_sessions or any(event.undecryptable for event in events):
            self.new_keys.set()

    async def poll_ms(self) -> int:
        """How long the next sync may wait: not much beyond the end of a prompt, which is told once we've heard all
        that was said until then."""
        async with self._units.database.transaction() as tx:
            times = (await requests.next_expiry(tx), await waves.next_wake(tx, 0))
        expires_ts = min((ts for ts in times if ts is not None), default=None)
        if expires_ts is None:
            return POLL_MS
        left = expires_ts + CLOCKS_DIFFER_MS + 50 - self._units.clock()
        if left <= 0:
            # One look more is needed. Where the prompt stays open even so, something else holds it up: no hurry then.
            left = max(SHORTEST_POLL_MS, -left)
        return min(left, POLL_MS)

    def _matters(self, event: Incoming) -> bool:
        return event.sender != self._bot_id or event.state_key is not None

    def _timed(self, event: Incoming, now: int) -> Incoming:
        """The event with a time that can be believed: another server could have put any into `origin_server_ts`, so
        that an answer would be in time whenever it is given. What comes from there counts from its arrival here."""
        local = event.sender.partition(":")[2] == self._bot_id.partition(":")[2]
        return event if local else replace(event, origin_server_ts=now)

    async def _meant_for_us(self, tx: Transaction, events: list[Incoming]) -> list[Incoming]:
        """Drops events sent in a room before the bot joined it: a server shows some of it to newcomers.

        In a direct message, what was said since the invitation is meant for the bot too.
        """
        begins: dict[str, int] = {}
        invited: dict[str, int] = {}
        for position, event in enumerate(events):
            if event.type != "m.room.member" or event.state_key != self._bot_id:
                continue
            membership = event.content.get("membership")
            if membership == "invite":
                invited[event.room_id] = position
            elif membership == "join" and event.prev_membership != "join":  # else it's a new name or picture only
                direct = await conversations.with_whom(tx, event.room_id) is not None
                begins[event.room_id] = invited.get(event.room_id, position) if direct else position
        return [event for position, event in enumerate(events) if position >= begins.get(event.room_id, 0)]

    async def _add_invite(self, tx: Transaction, invite: Invite, since: str, now: int) -> None:
        event_id = invite.event_id or f"invite {invite.room_id} {since}"
        event = Incoming(event_id, invite.room_id, invite.inviter, INVITE, {}, now)
        await inbox.add(tx, event, now)
