"""Single events of a direct message: what they cost the person, and that nothing waits behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

import config
from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from handlers.authority import Authority
from handlers.context import Context
from handlers.direct.commands import for_direct_messages
from handlers.direct.gate import SAID_PER_MINUTE, DirectGate
from homeserver.accounts.backend import AccountBackend
from homeserver.client.api import Forbidden
from homeserver.client.files import Files
from homeserver.client.rooms import RoomState
from removal.incoming import DeviceTrust, Incoming
from storage import conversations, inbox
from storage.database import Database
from texts import Texts

BOT, PERSON, FRIEND = "@lethe:example.org", "@person:example.org", "@friend:example.org"


class Rooms:
    """In place of the authority: every room holds the bot and one person, as long as the bot is in it."""

    def __init__(self) -> None:
        self.encrypted = False
        self.away = False

    async def room(self, room_id: str) -> RoomState:
        if self.away:
            raise Forbidden("forbidden", 403)
        return RoomState(members={BOT: "join", room_id.removeprefix("!"): "join"}, encrypted=self.encrypted)

    admin_room_id = "!admins"


class Stage:
    """The gate on a database, with a clock that a test sets. A room is called after its person."""

    def __init__(self, database: Database) -> None:
        self.now = 1_000_000
        self.rooms = Rooms()
        self._number = 0
        home = {"url": "http://h", "user_id": BOT, "access_token": "token", "device_id": "DEVICE"}
        raw = {
            "homeserver": home, "admin_room": "#admins:example.org", "data_dir": "nowhere",
            "confirmation": {"second_factor": "totp"},
        }  # fmt: skip
        self.units = UnitsOfWork(database, Texts("en", "!"), lambda: self.now, CurrentAdminRoom("!admins"))
        context = Context(
            self.units, cast(Authority, self.rooms), cast(AccountBackend, None), config.validate(raw, {}),
            cast(Files, None),
        )  # fmt: skip
        self.gate = DirectGate(context, for_direct_messages("!"))

    async def comes(self, event_type: str, content: dict[str, Any], *, by: str = PERSON, **more: Any) -> list[str]:
        """An event comes and is handled, so that nothing waits behind it; returns what is on its way then."""
        self._number += 1
        event = Incoming(f"${self._number}", f"!{by}", by, event_type, content, self.now, **more)
        async with self.units.begin() as unit:
            await inbox.add(unit.tx, event, self.now)
            before = len(await unit.tx.all("SELECT 1 FROM outbox"))
        assert await self.gate.heard(event, by) is True
        async with self.units.database.transaction() as tx:
            assert await inbox.pending(tx) == []
            rows = await tx.all("SELECT purpose FROM outbox ORDER BY seq")
        return [str(row["purpose"]) for row in rows[before:]]

    async def says(self, body: str, *, by: str = PERSON, **more: Any) -> list[str]:
        return await self.comes("m.room.message", {"msgtype": "m.text", "body": body}, by=by, **more)

    async def conversations(self) -> list[str]:
        async with self.units.database.transaction() as tx:
            return await conversations.rooms_with(tx, PERSON)


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    database = Database(tmp_path / "lethe.db")
    await database.open()
    made = Stage(database)
    async with made.units.begin() as unit:
        for person in (PERSON, FRIEND):
            await conversations.open_with(unit.tx, f"!{person}", person, made.now)
    yield made
    await database.close()


async def test_nothing_waits_behind_what_was_said(stage: Stage) -> None:
    """Each event is done with as soon as it is answered."""
    assert await stage.says("Hello!") == ["reply.own_hint"]
    assert await stage.says("Hello!") == []
    assert await stage.says("!help") == ["reply.own_help"]
    assert await stage.says("!unknown") == ["reply.own_unknown_command"]
    assert await stage.says("123456") == ["reply.code_said"]
    assert await stage.comes("m.room.message", {"msgtype": "m.image", "body": "picture"}) == []
    assert await stage.comes("m.reaction", {}) == []
    assert await stage.comes("m.sticker", {"body": "a cat"}) == []
    assert await stage.comes("m.room.topic", {"topic": "!help"}, state_key="") == []
    stage.rooms.encrypted = True
    assert await stage.says("!help") == ["reply.clear_text"]
    assert await stage.says("!help", encrypted=True, trust=DeviceTrust.SIGNED) == ["reply.own_help"]


@pytest.mark.parametrize(
    ("who", "membership", "follows"),
    [
        (PERSON, "join", []),
        (BOT, "join", []),
        (FRIEND, "leave", []),
        (FRIEND, None, []),
        (PERSON, "leave", ["leave"]),
        (PERSON, "ban", ["leave"]),
        (BOT, "leave", ["leave"]),
        (BOT, "ban", ["leave"]),
        (FRIEND, "invite", ["post.own_not_alone", "leave"]),
    ],
)
async def test_what_follows_a_change_of_membership(
    stage: Stage, who: str, membership: str | None, follows: list[str]
) -> None:
    """The conversation ends where one of the two has left, or a third one comes; else it goes on."""
    assert await stage.comes("m.room.member", {"membership": membership}, state_key=who) == follows
    assert await stage.conversations() == ([] if follows else [f"!{PERSON}"])


async def test_a_conversation_that_was_closed_meanwhile(stage: Stage) -> None:
    """Nothing more is to be left there, as where the bot has just said farewell itself."""
    async with stage.units.begin() as unit:
        await conversations.close(unit.tx, f"!{PERSON}")
    assert await stage.comes("m.room.member", {"membership": "leave"}, state_key=PERSON) == []


async def test_a_room_that_the_bot_may_not_see_any_more(stage: Stage) -> None:
    """The conversation is over, without a word and without trouble."""
    stage.rooms.away = True
    assert await stage.says("!help") == ["leave"]
    assert await stage.conversations() == []


@pytest.mark.parametrize(("flood", "other"), [("!help", "!cancel"), ("!cancel", "!help")])
async def test_a_flood(stage: Stage, flood: str, other: str) -> None:
    """Twenty a minute are answered. What stops a removal is counted apart, and everybody for themselves."""
    for _ in range(SAID_PER_MINUTE):
        assert await stage.says(flood)
    assert await stage.says(flood) == []
    assert await stage.says(other)
    assert await stage.says(flood, by=FRIEND)
    stage.now += 59_999
    assert await stage.says(flood) == []
    stage.now += 1
    assert await stage.says(flood)
