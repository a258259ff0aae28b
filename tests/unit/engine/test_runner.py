"""What the runner does while the homeserver can't be asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from engine.messages import CurrentAdminRoom
from engine.runner import Runner
from engine.steps import Steps
from engine.unit_of_work import UnitsOfWork
from homeserver.client.api import Unreachable
from homeserver.client.backoff import Backoff
from removal.request import Request, State
from storage.database import Database
from tests.support.made_requests import NOW, own
from texts import Texts


async def test_a_removal_that_cannot_begin_waits_and_is_tried_when_the_homeserver_is_back(tmp_path: Path) -> None:
    """A person's removal is due and the homeserver is away: it is asked, then with pauses; `nudge` ends one."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    units = UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom("!admin:example.org"))
    asked: asyncio.Queue[Request] = asyncio.Queue()

    async def away(request: Request) -> bool:
        await asked.put(request)
        raise Unreachable("nobody is there")

    async with units.begin() as unit:
        await unit.open(own(id=0, state=State.SCHEDULED, due_ts=NOW - 1, reminded_ts=NOW - 1))
    runner = Runner(units, cast(Steps, None), away, lambda: NOW, lambda: Backoff(first=1000, limit=1000))
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(3):
            request = await asked.get()
            assert request.state is State.SCHEDULED
            runner.nudge()
            await units.notify()
            await asked.get()
        assert asked.empty()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()
