"""What sync brought: at least once from the homeserver, exactly once into the program."""

from __future__ import annotations

from typing import Any

from removal.incoming import DeviceTrust, Incoming
from storage import inbox
from storage.database import Database


def event(number: int, **changes: Any) -> Incoming:
    """An event as sync brings it."""
    values: dict[str, Any] = {
        "event_id": f"${number}",
        "room_id": "!room",
        "sender": "@moderator:example.org",
        "type": "m.room.message",
        "content": {"msgtype": "m.text", "body": "!help 🙂\u2028"},
        "origin_server_ts": 1_700_000_000_000,
    }
    return Incoming(**{**values, **changes})


async def test_an_event_comes_back_as_it_was(database: Database) -> None:
    """Whole, with the trust in its device, and the time it was received."""
    whole = event(1, encrypted=True, device_id="D", trust=DeviceTrust.SIGNED, identity_key="k", redacts="$0")
    async with database.transaction() as tx:
        await inbox.add(tx, whole, 42)
        assert await inbox.pending(tx) == [(42, whole)]


async def test_the_same_event_twice_is_one(database: Database) -> None:
    """A duplicate sync, before or after it was handled, changes nothing, not even what the event says."""
    async with database.transaction() as tx:
        await inbox.add(tx, event(1), 1)
        await inbox.add(tx, event(1, content={"body": "something else"}), 2)
        assert await inbox.pending(tx) == [(1, event(1))]
        await inbox.handled(tx, "$1")
        await inbox.add(tx, event(1), 3)
        assert await inbox.pending(tx) == []
        assert await inbox.caught_up(tx)


async def test_events_wait_in_the_order_in_which_they_came(database: Database) -> None:
    """The oldest first, at most so many; what was handled is out of the way."""
    async with database.transaction() as tx:
        for number in (3, 1, 2):
            await inbox.add(tx, event(number), number)
        assert [each.event_id for _, each in await inbox.pending(tx)] == ["$3", "$1", "$2"]
        assert [each.event_id for _, each in await inbox.pending(tx, 2)] == ["$3", "$1"]
        await inbox.handled(tx, "$3")
        assert [each.event_id for _, each in await inbox.pending(tx)] == ["$1", "$2"]
        assert not await inbox.caught_up(tx)


async def test_what_was_handled_is_forgotten_but_not_that_it_was_here(database: Database) -> None:
    """No message is kept longer than it is needed."""
    async with database.transaction() as tx:
        await inbox.add(tx, event(1), 1)
        await inbox.handled(tx, "$1")
        row = await tx.one("SELECT status, payload FROM inbox")
    assert row is not None
    assert tuple(row) == ("handled", None)


async def test_what_cannot_be_read_waits_apart_until_its_key_comes(database: Database) -> None:
    """It holds nobody up; decrypted, it waits like any other, once."""
    async with database.transaction() as tx:
        await inbox.add(tx, event(1, type="m.room.encrypted", undecryptable=True), 1)
        await inbox.add(tx, event(2), 2)
        assert [each.event_id for _, each in await inbox.pending(tx)] == ["$2"]
        assert [each.event_id for _, each in await inbox.undecryptable(tx)] == ["$1"]
        readable = event(1, encrypted=True, trust=DeviceTrust.UNSIGNED)
        await inbox.decrypted(tx, readable)
        assert await inbox.undecryptable(tx) == []
        assert [each for _, each in await inbox.pending(tx)] == [readable, event(2)]
        await inbox.handled(tx, "$1")
        await inbox.decrypted(tx, readable)
        assert [each.event_id for _, each in await inbox.pending(tx)] == ["$2"]


async def test_only_what_was_handled_long_ago_is_forgotten(database: Database) -> None:
    """What waits stays, however old."""
    async with database.transaction() as tx:
        for number in (1, 2, 3):
            await inbox.add(tx, event(number), number)
        await inbox.handled(tx, "$1")
        await inbox.handled(tx, "$3")
        await inbox.prune(tx, 3)
        left = [str(row["event_id"]) for row in await tx.all("SELECT event_id FROM inbox ORDER BY seq")]
    assert left == ["$2", "$3"]
