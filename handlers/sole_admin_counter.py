"""Finishes slow counts of rooms with a sole admin in the background, and adds the result to the prompt."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from handlers.context import Context
from homeserver.client.api import HomeserverError
from removal.request import UNCONFIRMED
from storage import requests

log = logging.getLogger(__name__)

COUNT_SECONDS = 300.0
"""How long one count may take here."""
AGAIN_SECONDS = 60.0
"""After a count that came to no end, until the next one."""
SIDE_BY_SIDE = 2
"""So many accounts are counted at the same time: each count is many questions to the homeserver."""


class SoleAdminCounter:
    """Counts the rooms where an account is the only admin, for every open prompt that lacks the number."""

    def __init__(self, context: Context, again_seconds: float = AGAIN_SECONDS) -> None:
        self._context = context
        self._again_seconds = again_seconds
        self._counts: dict[int, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def run(self) -> None:
        """Runs until cancelled. What a stop interrupted is counted anew at the next start."""
        seen = -1
        async with asyncio.TaskGroup() as tasks:
            while True:
                async with self._context.units.database.transaction() as tx:
                    unconfirmed = [request for state in UNCONFIRMED for request in await requests.in_state(tx, state)]
                wanted = {r.id: r.target_id for r in unconfirmed if r.facts.only_admin_in is None}
                for request_id in self._counts.keys() - wanted.keys():
                    self._counts.pop(request_id).cancel()  # answered or given up: others wait for the slot
                for request_id in wanted.keys() - self._counts.keys():
                    self._counts[request_id] = tasks.create_task(self._count(request_id, wanted[request_id]))
                seen = await self._context.units.wait_for_change(seen, None, "requests")

    async def _count(self, request_id: int, target_id: str) -> None:
        while True:
            names = await self._names(request_id, target_id)
            if names is not None:
                break
            await asyncio.sleep(self._again_seconds)
        async with self._context.units.begin() as unit:
            request = await unit.request(request_id)
            if request.state in UNCONFIRMED:
                await unit.store_facts(request, replace(request.facts, only_admin_in=names))

    async def _names(self, request_id: int, target_id: str) -> tuple[str, ...] | None:
        """One count; None where it came to no end."""
        async with self._slots:
            try:
                return await self._context.authority.only_admin_in(target_id, seconds=COUNT_SECONDS)
            except HomeserverError as error:
                log.warning("the rooms of request %d can't be counted yet: %s", request_id, error)
                return None
            except Exception:  # a failed count must not stop the bot
                log.exception("the rooms of request %d can't be counted", request_id)
                return None
