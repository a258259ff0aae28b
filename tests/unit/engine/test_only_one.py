"""What a bot makes of the notes of others that run with its account."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.messages import CurrentAdminRoom
from engine.only_one import AnotherRuns, OnlyOne
from engine.unit_of_work import UnitsOfWork
from homeserver.client.running import Running
from storage.database import Database
from tests.support.made_requests import NOW
from texts import Texts

OLDER = Running("older", "elsewhere", NOW - 1_000)
YOUNGER = Running("younger", "elsewhere", NOW + 1_000)


class Note:
    """The account's note on the homeserver."""

    def __init__(self) -> None:
        self.stands: Running | None = None
        self.written = 0

    async def read(self) -> Running | None:
        return self.stands

    async def write(self, running: Running) -> None:
        self.stands = running
        self.written += 1


async def listening(tmp_path: Path, heard: Running, *, stands: Running | None) -> tuple[str, int, int]:
    """A bot at work hears a note, while another stands on the homeserver; None: its own.

    Returns:
        What it stopped for, empty where it runs on; how often it has written its own note since; how many messages it
        has for the admin room.
    """
    note, database = Note(), Database(tmp_path / "lethe.db")
    await database.open()
    units = UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom("!admins:lethe.test"))
    one = OnlyOne(note, lambda: NOW)
    await one.begin(None)
    note.written = 0
    note.stands = stands or note.stands
    task = asyncio.create_task(one.listen(units, CurrentAdminRoom("!admins:lethe.test")))
    one.heard(heard)
    await asyncio.sleep(0.1)
    task.cancel()
    stopped_for = ""
    with suppress(asyncio.CancelledError):
        try:
            await task
        except AnotherRuns as another:
            stopped_for = str(another)
    async with database.transaction() as tx:
        said = len(await tx.all("SELECT 1 FROM outbox"))
    await database.close()
    return stopped_for, note.written, said


async def test_it_stops_for_an_older_one_that_answers(tmp_path: Path) -> None:
    """Two would do everything twice."""
    stopped_for, written, said = await listening(tmp_path, OLDER, stands=OLDER)
    assert "on elsewhere since" in stopped_for and (written, said) == (0, 0)


async def test_it_answers_a_younger_one(tmp_path: Path) -> None:
    """And the admin room is told."""
    assert await listening(tmp_path, YOUNGER, stands=YOUNGER) == ("", 1, 1)


@pytest.mark.parametrize("heard", [OLDER, YOUNGER])
async def test_an_old_answer_of_the_homeserver_stops_nobody(tmp_path: Path, heard: Running) -> None:
    """A run is killed with its first sync not stored; the next one gets the same answer, from Synapse's memory: with
    the dead run's note in it. The one that stands there is our own."""
    assert await listening(tmp_path, heard, stands=None) == ("", 0, 0)


async def test_one_that_has_ended_stops_nobody(tmp_path: Path) -> None:
    """Its farewell is overwritten by our own note, and nobody is told."""
    assert await listening(tmp_path, OLDER, stands=replace(OLDER, ended=True)) == ("", 1, 0)
