"""Trouble with one event: how long the room waits behind it, and what people read. On a real database; the handlers
here only fail as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from handlers import dispatch
from handlers.admin_room.gate import AdminRoomGate
from handlers.context import Context
from handlers.direct.gate import DirectGate
from handlers.dispatch import Dispatcher
from handlers.invites import Invites
from homeserver.accounts.errors import OnlyInMas, SeveralOwners
from homeserver.accounts.mas_tokens import CredentialsRefused
from homeserver.client.api import BadToken, HomeserverError, ServerFault, Unreachable
from removal.incoming import Incoming
from storage import inbox
from storage.database import Database
from tests.support.made_requests import NOW
from texts import Texts

ROOM, MODERATOR = "!room:example.org", "@moderator:example.org"


class Rooms:
    """The admin room's gate and its authority in one: fails as it is told, and remembers what it handled."""

    def __init__(self, units: UnitsOfWork) -> None:
        self.units = units
        self.errors: dict[str, HomeserverError] = {}
        """Event id → what its handling always ends with."""
        self.away: HomeserverError | None = None
        """What every other question to the homeserver ends with."""
        self.tries: list[str] = []
        self.admin_room_id = ROOM

    async def admin_room(self) -> None:
        if self.away is not None:
            raise self.away

    async def heard(self, event: Incoming) -> bool:
        self.tries.append(event.event_id)
        if event.event_id in self.errors:
            raise self.errors[event.event_id]
        async with self.units.begin(event):
            return True


class Stage:
    """The dispatcher at work, with two commands in one room: the first in trouble, the second not."""

    def __init__(self, units: UnitsOfWork, rooms: Rooms) -> None:
        self.units, self.rooms = units, rooms

    async def handled(self, within: float = 2.0) -> list[str]:
        """The events that were handled in so many seconds, or until both are."""
        until = asyncio.get_running_loop().time() + within
        while True:
            async with self.units.database.transaction() as tx:
                rows = await tx.all("SELECT event_id FROM inbox WHERE status = 'handled' ORDER BY seq")
            found = [str(row["event_id"]) for row in rows]
            if len(found) == 2 or asyncio.get_running_loop().time() > until:
                return found
            await asyncio.sleep(0.02)

    async def said(self) -> list[str]:
        async with self.units.database.transaction() as tx:
            return [str(row["content"]) for row in await tx.all("SELECT content FROM outbox ORDER BY seq")]


@asynccontextmanager
async def at_work(tmp_path: Path, error: HomeserverError, away: HomeserverError | None = None) -> AsyncIterator[Stage]:
    database = Database(tmp_path / "lethe.db")
    await database.open()
    units = UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom(ROOM))
    rooms = Rooms(units)
    rooms.errors["$first"], rooms.away = error, away
    async with database.transaction() as tx:
        for event_id in ("$first", "$second"):
            event = Incoming(
                event_id=event_id, room_id=ROOM, sender=MODERATOR, type="m.room.message", origin_server_ts=NOW,
                content={"msgtype": "m.text", "body": "!lock @a:example.org"},
            )  # fmt: skip
            await inbox.add(tx, event, NOW)
    context = cast(Context, SimpleNamespace(units=units, authority=rooms, bot_id="@lethe:example.org"))
    nothing: Any = None
    work = asyncio.create_task(
        Dispatcher(context, cast(AdminRoomGate, rooms), cast(DirectGate, nothing), cast(Invites, nothing)).run()
    )
    try:
        yield Stage(units, rooms)
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await database.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes pass in tenths of a second."""
    monkeypatch.setattr(dispatch, "SHORTEST_WAIT", 0.02)
    monkeypatch.setattr(dispatch, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(dispatch, "ITS_OWN_AFTER", 0.3)
    monkeypatch.setattr(dispatch, "BEING_MADE_FOR", 0.3)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CredentialsRefused("MAS doesn't take the token", 401), "let me in"),
        (SeveralOwners(), "More than one account"),
    ],
)
async def test_what_a_person_has_to_mend_holds_nobody_up(tmp_path: Path, error: HomeserverError, said: str) -> None:
    """It is said in plain words at the first attempt, and the next command is answered."""
    async with at_work(tmp_path, error) as stage:
        assert await stage.handled() == ["$first", "$second"]
        assert stage.rooms.tries == ["$first", "$second"]
        messages = await stage.said()
    assert len(messages) == 1 and said in messages[0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ServerFault("GET /x: 500", 500), "has failed at this for a while"),
        (Unreachable("no answer"), "has failed at this for a while"),
        (OnlyInMas("@new:example.org"), "@new:example.org"),
    ],
)
async def test_trouble_of_one_command_ends(tmp_path: Path, error: HomeserverError, said: str) -> None:
    """It is tried again for a while; where the homeserver answers otherwise, it is given up, said so, and the next
    command is answered."""
    async with at_work(tmp_path, error) as stage:
        assert await stage.handled() == ["$first", "$second"]
        assert len(stage.rooms.tries) > 4
        messages = await stage.said()
    assert len(messages) == 1 and said in messages[0] and "I did nothing" in messages[0]


@pytest.mark.parametrize("error", [ServerFault("GET /x: 502", 502), BadToken("401", 401)])
async def test_while_nothing_works_nothing_is_lost(tmp_path: Path, error: HomeserverError) -> None:
    """A homeserver that is away, or doesn't know the bot, is waited for; then the command is carried out."""
    async with at_work(tmp_path, error, away=error) as stage:
        assert await stage.handled(1.0) == []
        assert await stage.said() == []
        stage.rooms.errors.clear()
        stage.rooms.away = None
        assert await stage.handled() == ["$first", "$second"]
        assert await stage.said() == []
