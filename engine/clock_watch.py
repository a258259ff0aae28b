"""Says when this machine's clock and the homeserver's differ, once, and once when they agree again."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum

from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from homeserver.client.clock import REFUSE_MS, WARN_MS, HomeserverClock
from removal.audit_action import AuditAction
from storage import meta
from texts import Template

log = logging.getLogger(__name__)

KEY = "clock"
"""In `meta`: what was said last, so that a restart doesn't say it again."""
LOOK_EVERY = 5.0
"""Seconds."""
AGREE_MS = WARN_MS // 2
"""Below this the clocks agree again: at the limit itself, each look could say something else."""
HELD_MS = 10_000
"""So far below its limit the refusal is taken back, for the same reason."""


class Clocks(StrEnum):
    """How far the two are apart."""

    RIGHT = "right"
    OFF = "off"
    REFUSING = "refusing"


class ClockWatch:
    """Looks for as long as it runs."""

    def __init__(self, units: UnitsOfWork, clock: HomeserverClock, admin_room: CurrentAdminRoom) -> None:
        self._units = units
        self._clock = clock
        self._admin_room = admin_room
        self._said: Clocks | None = None

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Compares the clocks, and says what is new. Between two limits, what was said last stands."""
        offset_ms = self._clock.offset_ms
        if self._said is None:
            async with self._units.database.transaction() as tx:
                self._said = Clocks(await meta.get(tx, KEY) or Clocks.RIGHT)
        now = said = self._said
        if abs(offset_ms) >= REFUSE_MS:
            now = Clocks.REFUSING
        elif abs(offset_ms) >= WARN_MS and said is Clocks.RIGHT:
            now = Clocks.OFF
        elif AGREE_MS <= abs(offset_ms) < REFUSE_MS - HELD_MS and said is Clocks.REFUSING:
            now = Clocks.OFF  # ✅ counts again, and what was said before is no longer true
        elif abs(offset_ms) < AGREE_MS:
            now = Clocks.RIGHT
        if now is said:
            return
        log.warning("This machine's clock differs from the homeserver's by %+.1f s: %s", -offset_ms / 1000, now)
        async with self._units.begin() as unit:
            await meta.put(unit.tx, KEY, now)
            await unit.audit(AuditAction.CLOCKS_COMPARED, clocks=now.value, homeserver_ahead_ms=offset_ms)
            room_id, key = self._admin_room.room_id, f"clock {now} {unit.now}"
            await unit.messages.post(room_id, Template.CLOCK, key, clocks=now, offset_ms=self._clock.about_ms)
        self._said = now
