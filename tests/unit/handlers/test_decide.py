"""What a person's decision about a request is answered with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from handlers.decide import decide_for
from removal.incoming import Incoming
from removal.lifecycle import Approved, Cancelled, Event, RetryAsked
from removal.request import State
from storage.database import FILE, Database
from tests.support.made_requests import MODERATOR, NOW, in_state
from texts import Texts

ROOM = "!admins"


@pytest.fixture
async def units(tmp_path: Path) -> AsyncIterator[UnitsOfWork]:
    """Units of work on an empty database."""
    database = Database(tmp_path / FILE)
    await database.open()
    yield UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom(ROOM))
    await database.close()


async def decided(units: UnitsOfWork, state: State, decision: Event) -> tuple[bool, list[str]]:
    """Whether the decision changed a request in this state, and the answers to the message that said it."""
    asked = Incoming("$asked", ROOM, MODERATOR, "m.room.message", {"body": "!command"}, NOW)
    async with units.begin() as unit:
        request = await unit.open(replace(in_state(state), id=0, version=0, room_id=ROOM))
        changed = await decide_for(unit, asked, request, decision)
        rows = await unit.tx.all("SELECT purpose FROM outbox WHERE purpose LIKE 'reply.%'")
    return changed, [row["purpose"] for row in rows]


@pytest.mark.parametrize(
    ("state", "decision"),
    [
        (State.CANCELLED, Approved(MODERATOR)),
        (State.DONE, RetryAsked(MODERATOR)),
        (State.DONE, Cancelled(MODERATOR)),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_changed_nothing_is_said_to_have_changed_nothing(
    units: UnitsOfWork, state: State, decision: Event
) -> None:
    """One answer, which says so; whoever called must not say "approved" or "trying again"."""
    assert await decided(units, state, decision) == (False, ["reply.not_changed"])


async def test_what_changed_something_is_left_to_its_announcement(units: UnitsOfWork) -> None:
    """Said where it was asked for: no answer of its own."""
    assert await decided(units, State.AWAITING_CONFIRMATION, Cancelled(MODERATOR)) == (True, [])
