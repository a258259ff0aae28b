"""The file itself: its schema, its modes, and transactions that hold or don't happen at all."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage import meta
from storage.database import Database, NewerDatabase, StorageError, Transaction
from storage.migrations import MIGRATIONS


def schema(path: Path) -> list[tuple[object, ...]]:
    """Every table and index of a file, as SQLite describes them."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()


def version_of(path: Path) -> int:
    """The number of the last migration that a file has seen."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def content(path: Path) -> bytes:
    """A file, byte for byte."""
    return path.read_bytes()


def damage(path: Path) -> None:
    """Makes a file that is no database."""
    path.write_bytes(b"not a database at all, and long enough to have a header of its own" * 20)


def close_to_writers(folder: Path, *files: Path) -> None:
    """Takes away the right to write a folder and files in it."""
    for file in files:
        file.chmod(0o400)
    folder.chmod(0o500)


async def put(database: Database, key: str, value: str = "x") -> None:
    """Stores something in a transaction of its own."""
    async with database.transaction() as tx:
        await meta.put(tx, key, value)


async def got(database: Database, key: str) -> str | None:
    """What is stored."""
    async with database.transaction() as tx:
        return await meta.get(tx, key)


# --- the schema ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
async def test_every_older_schema_becomes_the_newest(path: Path, tmp_path: Path, version: int) -> None:
    """From an empty file or from any schema there ever was: the same tables, and nothing that was in them is lost."""
    with closing(sqlite3.connect(path)) as old:
        for migration in MIGRATIONS[:version]:
            old.executescript(migration)
        old.execute(f"PRAGMA user_version = {version}")
        if version:
            old.execute("INSERT INTO meta (key, value) VALUES ('since', 's72594')")
        old.commit()
    database = Database(path)
    await database.open()
    kept = await got(database, "since")
    await database.close()
    assert kept == ("s72594" if version else None)
    new = Database(tmp_path / "new.db")
    await new.open()
    await new.close()
    assert schema(path) == schema(tmp_path / "new.db")
    assert version_of(path) == len(MIGRATIONS)


async def test_a_migration_is_made_once(path: Path) -> None:
    """Opening again changes nothing; what was added since is made on top."""
    first = ("CREATE TABLE one (a TEXT) STRICT;",)
    for migrations in (first, first, (*first, "CREATE TABLE two (a TEXT) STRICT;\nINSERT INTO two VALUES ('x');")):
        database = Database(path, migrations=migrations)
        await database.open()
        await database.close()
    assert (version_of(path), [row[1] for row in schema(path)]) == (2, ["one", "two"])


async def test_a_migration_that_fails_leaves_the_old_schema_whole(path: Path) -> None:
    """Neither half of its statements nor its number stay behind, so the next start tries all of it again."""
    good = ("CREATE TABLE one (a TEXT) STRICT;",)
    database = Database(path, migrations=good)
    await database.open()
    await database.close()
    before = schema(path)
    broken = Database(path, migrations=(*good, "CREATE TABLE two (a TEXT) STRICT;\nINSERT INTO nowhere VALUES (1);"))
    with pytest.raises(StorageError, match="no such table: nowhere"):
        await broken.open()
    assert (version_of(path), schema(path)) == (1, before)


async def test_a_newer_database_is_refused_and_left_alone(path: Path) -> None:
    """An older program must not write into what it doesn't understand; the message says which version to run."""
    database = Database(path)
    await database.open()
    await put(database, "since")
    await database.close()
    with closing(sqlite3.connect(path)) as future:
        future.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = content(path)
    with pytest.raises(NewerDatabase, match="newer version"):
        await database.open()
    assert content(path) == before


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """With its path in the message."""
    damage(path)
    with pytest.raises(StorageError, match=r"lethe\.db: file is not a database"):
        await Database(path).open()


async def test_every_file_is_for_the_owner_only(path: Path) -> None:
    """The database and the files that SQLite puts beside it are 0600, however lax the umask."""
    before = os.umask(0)
    try:
        database = Database(path)
        await database.open()
        await put(database, "since")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        await database.close()
    finally:
        os.umask(before)
    assert modes == {"lethe.db": 0o600, "lethe.db-wal": 0o600, "lethe.db-shm": 0o600}


async def test_what_is_not_open_says_so(path: Path) -> None:
    """Before it was opened and after it was closed; closing twice is no error."""
    database = Database(path)
    with pytest.raises(StorageError, match="not open"):
        await put(database, "since")
    await database.open()
    await database.close()
    await database.close()
    with pytest.raises(StorageError, match="not open"):
        await put(database, "since")


# --- all or nothing --------------------------------------------------------------------------------------------------
async def test_an_exception_takes_everything_back(database: Database) -> None:
    """Whatever the exception, it comes through as it is, and the next transaction works."""
    with pytest.raises(KeyError, match="out of the middle"):
        async with database.transaction() as tx:
            await meta.put(tx, "one", "x")
            await meta.put(tx, "two", "x")
            raise KeyError("out of the middle")
    assert (await got(database, "one"), await got(database, "two")) == (None, None)
    await put(database, "one")
    assert await got(database, "one") == "x"


async def test_a_statement_that_fails_takes_everything_back(database: Database) -> None:
    """A mistake in SQL is an error of storage, in its own words."""
    with pytest.raises(StorageError, match="UNIQUE constraint failed"):
        async with database.transaction() as tx:
            await meta.put(tx, "one", "x")
            await tx.run("INSERT INTO meta (key, value) VALUES ('one', 'y')")
    assert await got(database, "one") is None


async def test_a_cancelled_task_takes_everything_back(database: Database) -> None:
    """A task that is cancelled in the middle leaves nothing of its transaction."""
    inside = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as tx:
            await meta.put(tx, "one", "x")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await got(database, "one") is None


async def test_wherever_a_task_is_cancelled_all_or_nothing_holds(database: Database) -> None:
    """At the beginning, in the air, during the commit, twice: both rows are there or neither, the cancellation comes
    through, and the next transaction works."""

    async def work(tag: str) -> None:
        async with database.transaction() as tx:
            await meta.put(tx, f"{tag}.one", "x")
            await meta.put(tx, f"{tag}.two", "x")

    outcomes = set()
    for turns in range(60):
        task = asyncio.create_task(work(str(turns)))
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled = task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        assert result is None or isinstance(result, asyncio.CancelledError)
        assert isinstance(result, asyncio.CancelledError) or not cancelled
        pair = (await got(database, f"{turns}.one"), await got(database, f"{turns}.two"))
        assert pair in ((None, None), ("x", "x"))
        outcomes.add(pair)
    assert (None, None) in outcomes


async def test_transactions_wait_for_each_other(database: Database) -> None:
    """Two tasks that read and then write never overwrite what the other wrote."""
    await put(database, "count", "0")

    async def add() -> None:
        async with database.transaction() as tx:
            count = int(await meta.get(tx, "count") or 0)
            await asyncio.sleep(0)
            await meta.put(tx, "count", str(count + 1))

    await asyncio.gather(*(add() for _ in range(20)))
    assert await got(database, "count") == "20"


async def test_insert_says_what_it_inserted(database: Database) -> None:
    """The new row's id, 0 where the row was there already; other statements give the number of rows changed."""
    async with database.transaction() as tx:
        insert = "INSERT INTO inbox (event_id, room_id, received_ts) VALUES (?, '!r', 0) ON CONFLICT DO NOTHING"
        assert [await tx.run(insert, each) for each in ("$a", "$b", "$a")] == [1, 2, 0]
        assert await tx.run("UPDATE inbox SET status = 'handled'") == 2
        assert await tx.run("DELETE FROM inbox WHERE event_id = '$z'") == 0


# --- what a machine does to a file -----------------------------------------------------------------------------------
async def test_a_locked_database_is_an_error_and_no_wait_without_end(database: Database, path: Path) -> None:
    """Another program writes and doesn't stop: nothing happens, it is said, and afterwards all is well."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"lethe\.db: database is locked"):
            await put(database, "one")
        with pytest.raises(StorageError, match="database is locked"):
            await Database(path, patience=0.05).open()
    await put(database, "one")


async def test_who_only_reads_locks_nobody_out(database: Database, path: Path) -> None:
    """A long look at the audit beside the running bot doesn't stop the bot, nor does the bot alter what is seen."""
    reader = Database(path, patience=0.05)
    await reader.open()
    async with reader.transaction(only_reading=True) as tx:
        assert await meta.get(tx, "one") is None
        await put(database, "one")
        assert await meta.get(tx, "one") is None
    assert await got(reader, "one") == "x"
    await reader.close()


async def fill(tx: Transaction) -> None:
    """Writes more than any limit of these tests allows."""
    for number in range(64):
        await meta.put(tx, f"big.{number}", "x" * 65_536)


async def test_a_full_database_takes_everything_back(database: Database) -> None:
    """No page is left: nothing of the transaction stays, and once there is room again, work goes on."""
    async with database.transaction() as tx:
        pages = await tx.one("PRAGMA page_count")
        await tx.one(f"PRAGMA max_page_count = {int(pages[0] if pages else 0) + 20}")
    with pytest.raises(StorageError, match=r"lethe\.db: database or disk is full"):
        async with database.transaction() as tx:
            await meta.put(tx, "one", "x")
            await fill(tx)
    assert await got(database, "one") is None
    async with database.transaction() as tx:
        await tx.one("PRAGMA max_page_count = 1000000")
        await fill(tx)


@pytest.fixture
def no_room(path: Path) -> Iterator[None]:
    """The operating system refuses to make any file larger than 300 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("no_room")
async def test_a_write_that_the_system_refuses_takes_everything_back(database: Database) -> None:
    """Even where the failure comes as late as the commit."""
    with pytest.raises(StorageError, match=r"lethe\.db: (disk I/O error|database or disk is full)"):
        async with database.transaction() as tx:
            await meta.put(tx, "one", "x")
            await fill(tx)
    assert await got(database, "one") is None
    await put(database, "one")
    assert await got(database, "one") == "x"


async def test_a_read_only_file_is_said_at_the_start(ordinary_folder: Path) -> None:
    """Before anything is acted on, and with the path."""
    path = ordinary_folder / "lethe.db"
    database = Database(path)
    await database.open()
    await database.close()
    close_to_writers(ordinary_folder, path)
    with pytest.raises(StorageError, match=r"lethe\.db: .*(readonly|read-only|unable to open)"):
        await database.open()


async def test_a_folder_that_may_not_be_written_is_said_at_the_start(ordinary_folder: Path) -> None:
    """The first start in a folder of somebody else's."""
    close_to_writers(ordinary_folder)
    with pytest.raises(StorageError, match=r"lethe\.db: .*Permission denied"):
        await Database(ordinary_folder / "lethe.db").open()


async def test_a_folder_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    """A mistyped data_dir."""
    with pytest.raises(StorageError, match="No such file or directory"):
        await Database(tmp_path / "nowhere" / "lethe.db").open()


@pytest.mark.parametrize(
    ("statement", "written"),
    [
        ("INSERT INTO meta (key, value) VALUES ('a', 'b')", {"meta"}),
        ("INSERT OR REPLACE INTO meta (key, value) VALUES ('one', 'b')", {"meta"}),
        ("UPDATE meta SET value = 'b' WHERE key = 'one'", {"meta"}),
        ("DELETE FROM meta WHERE key = 'one'", {"meta"}),
        ("DELETE FROM meta WHERE key = 'another'", set()),
        ("SELECT value FROM meta", set()),
    ],
)
async def test_a_transaction_knows_the_tables_that_it_changed(
    database: Database, statement: str, written: set[str]
) -> None:
    """By that, those who wait for work are woken: for a row that wasn't there, nobody."""
    await put(database, "one")
    async with database.transaction() as tx:
        await tx.run(statement)
        assert tx.changed == written


async def test_a_database_that_becomes_read_only_takes_everything_back(database: Database) -> None:
    """A file system that was remounted read-only while the bot runs."""
    async with database.transaction() as tx:
        await tx.one("PRAGMA query_only = ON")
    with pytest.raises(StorageError, match="readonly"):
        await put(database, "one")
    async with database.transaction(only_reading=True) as tx:
        await tx.one("PRAGMA query_only = OFF")
    assert await got(database, "one") is None
