"""Deletes what has reached the end of its retention: sent files, old event ids, ended requests, the audit."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from engine.unit_of_work import UnitsOfWork
from homeserver.client.api import HomeserverError
from storage import audit, inbox, links, log_ins, outbox, retention, uploads, visits
from storage.database import Transaction

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
KEEP_TRACE_DAYS = 30
"""How long handled events and sent messages that belong to no request leave a trace (their ids, not their content)."""
LOOK_EVERY = 60.0
"""Seconds between two checks for expired files."""


AUDIT_PIECE = 5_000
"""Rows that are removed from the audit in one transaction."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How long what is over is kept; None is for ever."""

    names: timedelta | None = None
    """In the audit."""
    requests: timedelta | None = None
    entries: timedelta | None = None
    """Of the audit."""


class Files(Protocol):
    """What is needed of homeserver.client.files."""

    async def delete(self, uri: str) -> None:
        """Deletes a file from the server; a file that is already gone is not an error."""


class Housekeeping:
    """Runs the clean-up once a day, and the deletion of files every minute."""

    def __init__(self, units: UnitsOfWork, files: Files, kept: Kept) -> None:
        self._units = units
        self._files = files
        self._kept = kept
        self._pruned_ts: int | None = None
        self._expired_ts: int = 0
        self._failed_until: int = 0

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        while True:
            now = self._units.clock()
            if self._pruned_ts is None or now >= self._pruned_ts + DAY_MS:
                self._pruned_ts = now
                await self._prune(now)
            if now >= self._expired_ts + int(LOOK_EVERY * 1000):
                self._expired_ts = now
                await self._prune_expired(now)
            await self._take_off_files(now)
            seen = await self._units.wait_for_change(seen, LOOK_EVERY, "uploads")

    async def _prune_expired(self, now: int) -> None:
        """Links and visits live for a quarter of an hour, and hold who somebody is: they don't stay for a day."""
        async with self._units.database.transaction() as tx:
            await links.prune(tx, now)
            await visits.prune(tx, now)

    async def _prune(self, now: int) -> None:
        before = now - KEEP_TRACE_DAYS * DAY_MS
        async with self._units.database.transaction() as tx:
            await inbox.prune(tx, before)
            await outbox.prune(tx, before)
            await uploads.prune(tx, before)
            await log_ins.prune(tx, before)
            if self._kept.names is not None:
                await audit.forget_before(tx, _before(now, self._kept.names))
        if self._kept.requests is not None:
            before = _before(now, self._kept.requests)
            await self._piece_by_piece(lambda tx, after: retention.forget_requests(tx, before, after))
            await self._piece_by_piece(lambda tx, after: retention.forget_waves(tx, before, after))
        if self._kept.entries is not None:
            await self._shorten_audit(now, _before(now, self._kept.entries))

    async def _piece_by_piece(self, forget: Callable[[Transaction, int], Awaitable[int | None]]) -> None:
        after: int | None = 0
        while after is not None:
            async with self._units.database.transaction() as tx:
                after = await forget(tx, after)

    async def _shorten_audit(self, now: int, before: int) -> None:
        async with self._units.database.transaction(only_reading=True) as tx:
            needed = await audit.first_needed(tx)
        removed = AUDIT_PIECE
        while removed == AUDIT_PIECE:
            async with self._units.database.transaction() as tx:
                removed = await audit.shorten(tx, before, needed, now, AUDIT_PIECE)

    async def _take_off_files(self, now: int) -> None:
        if now < self._failed_until:
            return
        while due := await self._due(now):
            for uri in due:
                try:
                    await self._files.delete(uri)
                except HomeserverError as error:
                    log.warning("%s can't be deleted from the server yet: %s", uri, error)
                    self._failed_until = now + int(LOOK_EVERY * 1000)
                    return
                async with self._units.database.transaction() as tx:
                    await uploads.deleted(tx, uri)

    async def _due(self, now: int) -> list[str]:
        async with self._units.database.transaction() as tx:
            return await uploads.due(tx, now)


def _before(now: int, kept: timedelta) -> int:
    return now - int(kept.total_seconds() * 1000)
