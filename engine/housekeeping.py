"""Deletes what has reached the end of its retention: sent files, old event ids, personal values in the audit."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Protocol

from engine.unit_of_work import UnitsOfWork
from homeserver.client.api import HomeserverError
from storage import audit, inbox, links, log_ins, outbox, uploads, visits

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
KEEP_TRACE_DAYS = 30
"""How long handled events and sent messages that belong to no request leave a trace (their ids, not their content)."""
LOOK_EVERY = 60.0
"""Seconds between two checks for expired files."""


class Files(Protocol):
    """What is needed of homeserver.client.files."""

    async def delete(self, uri: str) -> None:
        """Deletes a file from the server; a file that is already gone is not an error."""


class Housekeeping:
    """Runs the clean-up once a day, and the deletion of files every minute."""

    def __init__(self, units: UnitsOfWork, files: Files, retention: timedelta | None) -> None:
        """Args: retention: how long the audit keeps names; None is for ever."""
        self._units = units
        self._files = files
        self._retention = retention
        self._pruned_ts: int | None = None
        self._failed_until: int = 0

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        while True:
            now = self._units.clock()
            if self._pruned_ts is None or now >= self._pruned_ts + DAY_MS:
                self._pruned_ts = now
                await self._prune(now)
            await self._take_off_files(now)
            seen = await self._units.wait_for_change(seen, LOOK_EVERY)

    async def _prune(self, now: int) -> None:
        before = now - KEEP_TRACE_DAYS * DAY_MS
        async with self._units.database.transaction() as tx:
            await inbox.prune(tx, before)
            await outbox.prune(tx, before)
            await uploads.prune(tx, before)
            await links.prune(tx, now)
            await visits.prune(tx, now)
            await log_ins.prune(tx, now - DAY_MS)
            if self._retention is not None:
                await audit.forget_before(tx, now - int(self._retention.total_seconds() * 1000))

    async def _take_off_files(self, now: int) -> None:
        if now < self._failed_until:
            return
        async with self._units.database.transaction() as tx:
            due = await uploads.due(tx, now)
        for uri in due:
            try:
                await self._files.delete(uri)
            except HomeserverError as error:
                log.warning("%s can't be taken off the server yet: %s", uri, error)
                self._failed_until = now + int(LOOK_EVERY * 1000)
                return
            async with self._units.database.transaction() as tx:
                await uploads.deleted(tx, uri)
