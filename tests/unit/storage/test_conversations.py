"""Direct messages and files, as rows."""

from __future__ import annotations

from storage import conversations, uploads
from storage.database import Database

LEAVER = "@leaver:example.org"


async def test_a_conversation_is_open_until_it_is_closed(database: Database) -> None:
    """Each room is one person's; a person may have several, the newest is named first."""
    async with database.transaction() as tx:
        await conversations.open_with(tx, "!old", LEAVER, 1)
        await conversations.open_with(tx, "!new", LEAVER, 2)
        await conversations.open_with(tx, "!old", "@somebody-else:example.org", 3)
        assert await conversations.with_whom(tx, "!old") == LEAVER
        assert await conversations.rooms_with(tx, LEAVER) == ["!new", "!old"]
        await conversations.close(tx, "!new")
        assert await conversations.with_whom(tx, "!new") is None
        assert await conversations.rooms_with(tx, LEAVER) == ["!old"]


async def test_asking_for_data_is_open_until_it_is_answered(database: Database) -> None:
    """In that conversation only."""
    async with database.transaction() as tx:
        for room_id in ("!one", "!two"):
            await conversations.open_with(tx, room_id, LEAVER, 1)
        await conversations.ask_for_data(tx, "!one", 42)
        assert await conversations.data_asked_ts(tx, "!one") == 42
        assert await conversations.data_asked_ts(tx, "!two") is None
        assert await conversations.data_asked_ts(tx, "!three") is None
        await conversations.ask_for_data(tx, "!one", None)
        assert await conversations.data_asked_ts(tx, "!one") is None


async def test_files_are_taken_down_when_their_time_is_over(database: Database) -> None:
    """Once; that one was sent is remembered for the limit a day, and then forgotten too."""
    async with database.transaction() as tx:
        await uploads.add(tx, "mxc://a", LEAVER, 10, 100)
        await uploads.add(tx, "mxc://b", LEAVER, 20, 200)
        assert await uploads.due(tx, 99) == []
        assert await uploads.due(tx, 100) == ["mxc://a"]
        await uploads.deleted(tx, "mxc://a")
        assert await uploads.due(tx, 100) == []
        assert await uploads.last_for(tx, LEAVER) == 20
        assert await uploads.last_for(tx, "@somebody-else:example.org") is None
        await uploads.prune(tx, 1000)
        assert await uploads.due(tx, 1000) == ["mxc://b"]
        left = await tx.all("SELECT uri FROM uploads")
    assert [row["uri"] for row in left] == ["mxc://b"]
