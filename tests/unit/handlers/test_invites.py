"""Invitations that are declined: somebody on another server is told where to go. A door that keeps what it was told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest_asyncio

from engine.messages import CurrentAdminRoom
from engine.receiver import INVITE
from engine.unit_of_work import UnitsOfWork
from handlers.admin_room.upgrade import Upgrade
from handlers.authority import Policy
from handlers.context import Context
from handlers.invites import INVITES_PER_10_MINUTES, Invites
from removal.incoming import Incoming
from storage import conversations, inbox
from storage.database import Database
from texts import Texts

BOT = "@lethe:example.org"


class Client:
    """Notes what the bot does at it."""

    def __init__(self) -> None:
        self.joined: list[str] = []
        self.left: list[tuple[str, str]] = []

    async def join(self, room_id: str) -> None:
        self.joined.append(room_id)

    async def leave(self, room_id: str, reason: str = "") -> None:
        self.left.append((room_id, reason))


class NoUpgrade:
    """No invitation leads to another admin room."""

    async def invited(self, event: Incoming) -> bool:
        return False


@pytest_asyncio.fixture
async def units(tmp_path: Path) -> AsyncIterator[UnitsOfWork]:
    database = Database(tmp_path / "lethe.db")
    await database.open()
    yield UnitsOfWork(database, Texts("en", "!"), lambda: 1_000, CurrentAdminRoom("!admins"))
    await database.close()


def invites(units: UnitsOfWork, client: Client) -> Invites:
    """For a bot of example.org."""
    policy = Policy(BOT, 50, (), False, ())
    authority = SimpleNamespace(policy=policy, admin_room_id="!admins")
    context = SimpleNamespace(units=units, authority=authority, server_name="example.org", bot_id=BOT)
    return Invites(cast(Context, context), client, cast(Upgrade, NoUpgrade()))


async def test_a_person_of_another_server_is_told_where_to_go(units: UnitsOfWork) -> None:
    """Declined, with the reason in the leaving: their own server's people. No conversation is kept."""
    client = Client()
    event = Incoming("$1", "!direct", "@person:elsewhere.example", INVITE, {}, 1)
    async with units.begin() as unit:
        await inbox.add(unit.tx, event, unit.now)
    assert await invites(units, client).answer(event)
    ((room_id, reason),) = client.left
    assert room_id == "!direct" and "ask your own server's admins" in reason and client.joined == []
    async with units.database.transaction() as tx:
        assert await conversations.with_whom(tx, "!direct") is None
        assert await inbox.pending(tx) == []


async def test_a_flood_from_elsewhere_is_left_alone(units: UnitsOfWork) -> None:
    """After some answers within ten minutes, invitations of the same person cost nothing any more."""
    client = Client()
    answering = invites(units, client)
    for number in range(50):
        assert await answering.answer(Incoming(f"${number}", f"!{number}", "@one:elsewhere.example", INVITE, {}, 1))
    assert len(client.left) == INVITES_PER_10_MINUTES
    await answering.answer(Incoming("$other", "!other", "@another:elsewhere.example", INVITE, {}, 1))
    assert client.left[-1][0] == "!other"
