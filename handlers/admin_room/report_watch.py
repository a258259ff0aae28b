"""New reports become cards in the admin room (`reports.enabled`): asked for again and again, each shown once.

What was seen is stored with the card, in one transaction: a restart neither repeats nor loses a report.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from handlers.admin_room import alerts
from handlers.context import Context
from homeserver.accounts.reports import PAGE, Report, ReportKind, Reports
from homeserver.client.api import HomeserverError
from storage import alerts as stored
from storage import meta
from texts import Template

log = logging.getLogger(__name__)

CARDS_AT_ONCE = 10
"""So many cards are shown at one look; who is reported beyond them comes with the next."""
SHOWN_EACH = 3
"""So many reports against one account are told in one card; the others are counted."""
BASE = "reports."
"""In `meta`, with the kind: the newest report that was there before anybody looked."""


class ReportWatch:
    """Looks for new reports."""

    def __init__(self, context: Context, source: Reports) -> None:
        self._context = context
        self._source = source

    async def run(self) -> None:
        """Runs until cancelled."""
        every = self._context.settings.reports.poll_every.total_seconds()
        while True:
            try:
                await self.look()
            except HomeserverError as error:
                log.warning("the reports couldn't be asked for: %s", error)
            await asyncio.sleep(every)

    async def look(self) -> None:
        """Shows what is new. At the very first look nothing is, and it's said how many there are.

        Raises:
            HomeserverError: the homeserver doesn't say.
        """
        new: list[Report] = []
        for kind in ReportKind:
            new += await self._new(kind)
        by_target: dict[str, list[Report]] = {}
        for report in sorted(new, key=lambda each: each.received_ts):
            by_target.setdefault(report.target_id, []).append(report)
        for target_id, reports in list(by_target.items())[:CARDS_AT_ONCE]:
            await self._show(target_id, reports)

    async def _new(self, kind: ReportKind) -> list[Report]:
        """The reports of a kind that weren't seen; pages are read until one holds nothing new."""
        async with self._context.units.database.transaction(only_reading=True) as tx:
            base = await meta.get(tx, BASE + kind.value)
        answer = await self._source.page(kind, 0)
        if answer is None:
            return []
        page, total = answer
        if base is None:
            await self._begin(kind, page, total)
            return []
        found: dict[int, Report] = {}
        start = 0
        while page:
            later = {str(report.id): report for report in page if report.id > int(base)}
            async with self._context.units.database.transaction(only_reading=True) as tx:
                unseen = await stored.unseen(tx, kind.value, later)
            found |= {later[key].id: later[key] for key in unseen}
            start += len(page)
            if not unseen or len(page) < PAGE:
                break
            page, _ = await self._source.page(kind, start) or ([], 0)
        return list(found.values())

    async def _begin(self, kind: ReportKind, newest: Sequence[Report], total: int) -> None:
        base = max((report.id for report in newest), default=0)
        async with self._context.units.begin() as unit:
            await meta.put(unit.tx, BASE + kind.value, str(base))
            if total:
                room_id = self._context.authority.admin_room_id
                await unit.messages.post(
                    room_id, Template.ALERT_SAID, BASE + kind.value, what=f"old_{kind.value}", number=total, user=""
                )

    async def _show(self, target_id: str, reports: list[Report]) -> None:
        context = self._context
        local = context.authority.policy.is_local(target_id)
        room = await context.authority.admin_room()
        told: list[dict[str, Any]] = [
            {
                "by": report.reporter_id,
                "reason": report.reason,
                "about": report.kind.value,
                "room": report.room_name or report.room_id,
                # What was said in private is shown only where it stays among the moderators.
                "text": await self._source.text(report) if room.state.encrypted else "",
            }
            for report in reports[:SHOWN_EACH]
        ]
        async with context.units.begin() as unit:
            for report in reports:
                await stored.seen(unit.tx, report.kind.value, [str(report.id)])
            await alerts.show(
                context,
                unit,
                "report",
                target_id if local else None,
                by_reply=context.settings.confirmation.in_writing(encrypted=room.state.encrypted),
                user=target_id,
                number=len(reports),
                told=told,
                rule={},
                named=[],
            )
