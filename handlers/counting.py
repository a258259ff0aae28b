"""Counts that would keep a prompt waiting are finished here, beside everything else, and put into the prompt."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from handlers.desk import Desk
from homeserver.api import HomeserverError
from removal.request import UNCONFIRMED
from storage import requests

log = logging.getLogger(__name__)

COUNT_SECONDS = 300.0
"""How long one count may take here."""
AGAIN_SECONDS = 60.0
"""After a count that came to no end, until the next one."""
SIDE_BY_SIDE = 2
"""So many accounts are counted at the same time: each count is many questions to the homeserver."""


class Counting:
    """Counts the rooms where an account is the only admin, for every open prompt that lacks the number."""

    def __init__(self, desk: Desk, again_seconds: float = AGAIN_SECONDS) -> None:
        self._desk = desk
        self._again_seconds = again_seconds
        self._begun: set[int] = set()
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def run(self) -> None:
        """Runs until cancelled. What a stop interrupted is counted anew at the next start."""
        seen = -1
        async with asyncio.TaskGroup() as tasks:
            while True:
                async with self._desk.ledger.database.transaction() as tx:
                    unconfirmed = [request for state in UNCONFIRMED for request in await requests.in_state(tx, state)]
                for request in unconfirmed:
                    if request.facts.only_admin_in is None and request.id not in self._begun:
                        self._begun.add(request.id)
                        tasks.create_task(self._count(request.id, request.target_id))
                seen = await self._desk.ledger.wait_for_change(seen, None)

    async def _count(self, request_id: int, target_id: str) -> None:
        try:
            while True:
                if await self._counted(request_id, target_id):
                    return
                await asyncio.sleep(self._again_seconds)
        finally:
            self._begun.discard(request_id)

    async def _counted(self, request_id: int, target_id: str) -> bool:
        """Whether nothing is left to be counted: it is shown now, or nobody is asked any more."""
        names = None
        async with self._slots:
            if await self._is_open(request_id):
                try:
                    names = await self._desk.authority.only_admin_in(target_id, seconds=COUNT_SECONDS)
                except HomeserverError as error:
                    log.warning("the rooms of request %d can't be counted yet: %s", request_id, error)
        async with self._desk.ledger.entry() as entry:
            request = await entry.request(request_id)
            if request.state not in UNCONFIRMED:
                return True
            if names is None:
                return False
            await entry.store_facts(request, replace(request.facts, only_admin_in=names))
        return True

    async def _is_open(self, request_id: int) -> bool:
        async with self._desk.ledger.database.transaction() as tx:
            request = await requests.get(tx, request_id)
        return request is not None and request.state in UNCONFIRMED
