"""What is said of clocks that differ: once, and once when they agree again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.clock_watch import ClockWatch
from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from homeserver.client.clock import HomeserverClock
from removal.lifecycle import Approved, Cancelled, Confirmed, ConfirmedByLogIn, Declined, Event, MatrixIDTyped, NoChange
from removal.request import Request, State
from storage.database import Database
from tests.support.made_requests import LEAVER, MODERATOR, NOW, moderation, own
from texts import Texts

ROOM = CurrentAdminRoom("!admins:example.org")


class Stage:
    """A watch over clocks that a test sets."""

    def __init__(self, database: Database) -> None:
        self.offset_ms = 0
        stage = self

        class Compared(HomeserverClock):
            @property
            def offset_ms(self) -> int:
                return stage.offset_ms

        self.compared = Compared(lambda: NOW)
        self.database = database
        self.units = UnitsOfWork(database, Texts(), lambda: NOW + self.offset_ms, ROOM, self.compared)
        self.watch = ClockWatch(self.units, self.compared, ROOM)

    async def looks(self, offset_ms: int) -> list[str]:
        """What is said at this offset."""
        before = await self._said()
        self.offset_ms = offset_ms
        await self.watch.look()
        return (await self._said())[len(before) :]

    async def _said(self) -> list[str]:
        async with self.database.transaction() as tx:
            return [str(row["content"]) for row in await tx.all("SELECT content FROM outbox ORDER BY seq")]


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """With a database of its own."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    yield Stage(database)
    await database.close()


async def test_said_once_for_each_outage_even_after_a_restart(stage: Stage) -> None:
    """From 30 seconds on, again where it gets so bad that nothing is obeyed, and when it is over."""
    assert await stage.looks(29_999) == []
    (said,) = await stage.looks(31_000)
    assert "31 seconds behind the homeserver" in said and "act on no" not in said
    assert await stage.looks(45_000) == []
    assert await stage.looks(29_000) == []
    assert await stage.looks(31_000) == []
    (said,) = await stage.looks(-3_600_000)
    assert "1 hour ahead of the homeserver" in said and "I act on no" in said
    stage.watch = ClockWatch(stage.units, stage.compared, ROOM)
    assert await stage.looks(-3_600_000) == []
    (said,) = await stage.looks(32_000)
    assert "32 seconds behind the homeserver" in said and "act on no" not in said
    assert await stage.looks(31_000) == []
    (said,) = await stage.looks(1_000)
    assert "agree again" in said
    assert await stage.looks(0) == []


async def test_a_refusal_that_is_over_is_taken_back(stage: Stage) -> None:
    """Well below its limit: near it, each look could say something else. Nobody takes a ✅ for harmless that counts."""
    (said,) = await stage.looks(360_000)
    assert "act on no" in said
    assert await stage.looks(295_000) == []
    (said,) = await stage.looks(120_000)
    assert "2 minutes behind the homeserver" in said and "act on no" not in said


@pytest.mark.parametrize(
    ("request_", "event"),
    [
        (moderation(), Confirmed(MODERATOR, NOW, "$yes")),
        (own(), Confirmed(LEAVER, NOW, "$yes")),
        (own(state=State.AWAITING_MATRIX_ID), MatrixIDTyped(LEAVER, NOW)),
        (own(state=State.AWAITING_LOG_IN), ConfirmedByLogIn(LEAVER, NOW)),
        (own(state=State.AWAITING_APPROVAL), Approved(MODERATOR)),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(("offset_ms", "counts"), [(299_000, True), (300_000, False), (-300_000, False)])
async def test_no_consent_counts_while_the_clocks_differ_much(
    stage: Stage, request_: Request, event: Event, offset_ms: int, counts: bool
) -> None:
    """Of no kind; the request stays as it was, and the audit has it."""
    async with stage.units.begin() as unit:
        stored = await unit.open(request_)
    stage.offset_ms = offset_ms
    stage.units.clock = lambda: NOW
    async with stage.units.begin() as unit:
        decision = await unit.apply(await unit.request(stored.id), event, actor=MODERATOR)
        row = await unit.tx.one("SELECT action, public FROM audit ORDER BY id DESC LIMIT 1")
    assert (decision.refusal is None) is counts
    assert (decision.request.state == request_.state) is not counts
    if not counts:
        assert decision.refusal is NoChange.CLOCK_WRONG
        assert row is not None and row["action"].endswith("Refused") and "clock_wrong" in row["public"]


async def test_stopping_always_counts(stage: Stage) -> None:
    """❌ and `!cancel` need no clock."""
    for event in (Declined(MODERATOR), Cancelled(MODERATOR)):
        async with stage.units.begin() as unit:
            stored = await unit.open(moderation())
        stage.offset_ms = 3_600_000
        async with stage.units.begin() as unit:
            assert not (await unit.apply(await unit.request(stored.id), event, actor=MODERATOR)).refusal


def test_a_date_is_reached_by_both_clocks(stage: Stage) -> None:
    """Whichever of them is wrong."""
    stage.offset_ms = 3_600_000
    assert stage.units.reached(NOW) and not stage.units.reached(NOW + 1)
    stage.offset_ms = -3_600_000
    assert stage.units.reached(NOW - 3_600_000) and not stage.units.reached(NOW)
