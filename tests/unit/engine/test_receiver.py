"""What of a sync is taken in, on a real database file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from engine.messages import CurrentAdminRoom
from engine.receiver import Receiver
from engine.unit_of_work import UnitsOfWork
from removal.incoming import Incoming, SyncBatch
from storage import conversations, inbox
from storage.database import Database
from texts import Texts

BOT = "@lethe:example.org"
LEAVER = "@leaver:example.org"
ROOM = "!room"


def member(event_id: str, membership: str, before: str | None) -> Incoming:
    """The bot's own membership changes."""
    sender = LEAVER if membership == "invite" else BOT
    content = {"membership": membership}
    return Incoming(event_id, ROOM, sender, "m.room.member", content, 1, state_key=BOT, prev_membership=before)


def said(event_id: str) -> Incoming:
    """Somebody says something."""
    return Incoming(event_id, ROOM, LEAVER, "m.room.message", {"msgtype": "m.text", "body": "!help"}, 1)


@pytest_asyncio.fixture
async def units(tmp_path: Path) -> AsyncIterator[UnitsOfWork]:
    """A units on an empty database."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    yield UnitsOfWork(database, Texts(), lambda: 1_000, CurrentAdminRoom("!admins"))
    await database.close()


async def taken_in(units: UnitsOfWork, *events: Incoming, first: bool = False) -> list[str]:
    """The messages that wait to be handled after a sync brought these events."""
    await Receiver(units, BOT).store(SyncBatch("s1", events=list(events), first=first))
    async with units.database.transaction() as tx:
        return [event.event_id for _, event in await inbox.pending(tx) if event.type == "m.room.message"]


async def test_what_was_said_before_the_bot_joined_is_left_out(units: UnitsOfWork) -> None:
    """Old commands that a server shows to newcomers aren't obeyed."""
    events = said("$old"), member("$invite", "invite", None), said("$early"), member("$join", "join", "invite")
    assert await taken_in(units, *events, said("$new")) == ["$new"]


async def test_a_new_display_name_of_the_bot_loses_nothing(units: UnitsOfWork) -> None:
    """A join that follows a join is a change of profile: what came before it in the same sync counts."""
    assert await taken_in(units, said("$command"), member("$name", "join", "join")) == ["$command"]


async def test_what_is_said_with_the_invitation_to_a_direct_message_counts(units: UnitsOfWork) -> None:
    """Who invites the bot and writes at once is heard, though the bot joined only afterwards."""
    async with units.begin() as unit:
        await conversations.open_with(unit.tx, ROOM, LEAVER, unit.now)
    events = said("$old"), member("$invite", "invite", None), said("$early"), member("$join", "join", "invite")
    assert await taken_in(units, *events, said("$new")) == ["$early", "$new"]


async def test_the_very_first_sync_brings_nothing_to_act_on(units: UnitsOfWork) -> None:
    """What was said before the bot ever listened isn't meant for it."""
    assert await taken_in(units, said("$old"), first=True) == []


@pytest.mark.parametrize("claimed_ts", [0, 999, 2**53 - 1])
async def test_the_time_of_another_servers_event_is_when_it_arrived(units: UnitsOfWork, claimed_ts: int) -> None:
    """Whatever time that server puts there; an event of this server keeps its own."""
    here = replace(said("$here"), origin_server_ts=claimed_ts)
    senders = "@moderator:example.net", "@moderator:example.org:8448", "@moderator:notexample.org", "nonsense"
    there = [replace(here, event_id=f"$there{n}", sender=sender) for n, sender in enumerate(senders)]
    await Receiver(units, BOT).store(SyncBatch("s1", events=[here, *there]))
    async with units.database.transaction() as tx:
        times = {event.event_id: event.origin_server_ts for _, event in await inbox.pending(tx)}
    assert times == {"$here": claimed_ts, **{event.event_id: 1_000 for event in there}}
