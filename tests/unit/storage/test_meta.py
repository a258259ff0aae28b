"""Small things remembered by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import meta
from storage.database import Database, StorageError


def content(path: Path) -> bytes:
    """A file, byte for byte."""
    return path.read_bytes()


async def test_a_value_is_put_replaced_and_deleted(database: Database) -> None:
    """The last one counts, and none is None."""
    async with database.transaction() as tx:
        assert await meta.get(tx, "since") is None
        await meta.put(tx, "since", "one")
        await meta.put(tx, "since", "two")
        assert await meta.get(tx, "since") == "two"
        await meta.delete(tx, "since")
        await meta.delete(tx, "since")
        assert await meta.get(tx, "since") is None


async def test_the_instance_is_made_once_and_differs_between_databases(database: Database, tmp_path: Path) -> None:
    """A new database starts at R1 again; its transaction ids must not be those of the old one."""
    async with database.transaction() as tx:
        first = await meta.instance(tx)
        assert await meta.instance(tx) == first
    other = Database(tmp_path / "other.db")
    await other.open()
    async with other.transaction() as tx:
        assert await meta.instance(tx) != first
    await other.close()


@pytest.mark.parametrize("name", ["lethe.db", "50%3f of #1?.db"])
async def test_peek_reads_beside_the_running_bot(tmp_path: Path, name: str) -> None:
    """While the bot holds the file, in a transaction too, and whatever the path is called."""
    database = Database(tmp_path / name)
    await database.open()
    async with database.transaction() as tx:
        await meta.put(tx, "admin_room", "!r")
    async with database.transaction() as tx:
        await meta.put(tx, "admin_room", "!not-yet")
        assert meta.peek(tmp_path / name, "admin_room") == "!r"
    assert meta.peek(tmp_path / name, "other") is None
    await database.close()


async def test_peek_alters_nothing(database: Database, path: Path) -> None:
    """With the bot stopped the file stays byte for byte what it was."""
    async with database.transaction() as tx:
        await meta.put(tx, "admin_room", "!r")
    await database.close()
    before = content(path)
    assert meta.peek(path, "admin_room") == "!r"
    assert content(path) == before


def test_peek_makes_no_file(path: Path) -> None:
    """Before the first start there is nothing to read, and nothing is left behind."""
    assert meta.peek(path, "admin_room") is None
    assert not path.exists()


def test_peek_says_what_is_wrong(path: Path) -> None:
    """A file that can't be read is an error with its path."""
    path.write_text("no database, but long enough to be taken for one" * 50)
    with pytest.raises(StorageError, match=r"lethe\.db: file is not a database"):
        meta.peek(path, "admin_room")
