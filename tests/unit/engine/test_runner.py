"""What the runner does while the homeserver can't be asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

from engine.messages import CurrentAdminRoom
from engine.runner import Runner
from engine.steps import Steps
from engine.unit_of_work import UnitsOfWork
from homeserver.client.api import Unreachable
from homeserver.client.backoff import Backoff
from removal.incoming import Incoming
from removal.request import Request, State
from storage import inbox
from storage.database import Database
from tests.support.made_requests import DAY, MODERATOR, NOW, moderation, own
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
            units.notify()
            await asked.get()
        assert asked.empty()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()


async def test_a_prompt_that_cannot_end_yet_is_looked_at_once_a_second(tmp_path: Path) -> None:
    """Its time is over and an event still waits: the looks don't follow each other without a pause."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    looks = 0

    def clock() -> int:
        nonlocal looks
        looks += 1
        return NOW

    units = UnitsOfWork(database, Texts(), clock, CurrentAdminRoom("!admin:example.org"))
    async with units.begin() as unit:
        await unit.open(moderation(id=0, expires_ts=NOW - 1))
        await inbox.add(unit.tx, Incoming("$waits", "!admin:example.org", MODERATOR, "m.room.message", {}, NOW), NOW)
    runner = Runner(units, cast(Steps, None), lambda request: asyncio.sleep(0, True), lambda: NOW)
    running = asyncio.create_task(runner.run())
    try:
        await asyncio.sleep(0.5)
        assert looks < 10
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()


async def test_the_last_look_waits_until_the_homeserver_was_heard(tmp_path: Path) -> None:
    """A removal is due, and what was sent until then isn't received yet: the account isn't looked at again and again
    meanwhile, but once the homeserver was heard."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    units = UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom("!admin:example.org"))
    looked: asyncio.Queue[Request] = asyncio.Queue()
    heard_ts = NOW - 20 * DAY

    async def look(request: Request) -> bool:
        await looked.put(request)
        return False

    waits = own(id=0, state=State.SCHEDULED, due_ts=NOW - 1)
    async with units.begin() as unit:
        await unit.open(replace(waits, rules=replace(waits.rules, wait_for_reminder=True)))
    runner = Runner(units, cast(Steps, None), look, lambda: heard_ts)
    running = asyncio.create_task(runner.run())
    try:
        await asyncio.sleep(1.5)
        assert looked.empty()
        heard_ts = NOW
        async with asyncio.timeout(5):
            await looked.get()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()
