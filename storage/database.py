"""The database file: opened once, migrated, and changed in transactions that hold or don't happen at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiosqlite

from storage.migrations import MIGRATIONS

Row = sqlite3.Row
FILE = "lethe.db"
"""The file's name in the data directory."""


class StorageError(Exception):
    """The database can't be used; `str()` says why, in words for the admin."""


class NewerDatabase(StorageError):
    """The file was written by a newer Lethe."""


class Transaction:
    """What may be asked of the database while a transaction is open. Only this package uses it."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self.changed: set[str] = set()
        """The tables in which a row was inserted, updated or deleted."""

    async def run(self, sql: str, *values: Any) -> int:
        """Runs a statement; returns the id of the row it inserted, else the number of rows it changed."""
        async with self._connection.execute(sql, values) as cursor:
            self._note(sql, cursor.rowcount)
            inserted = sql.lstrip()[:6].upper() == "INSERT"
            return (cursor.lastrowid or 0) if inserted and cursor.rowcount > 0 else cursor.rowcount

    async def one(self, sql: str, *values: Any) -> Row | None:
        """The first row, or None."""
        async with self._connection.execute(sql, values) as cursor:
            return await cursor.fetchone()

    async def all(self, sql: str, *values: Any) -> list[Row]:
        """Every row."""
        async with self._connection.execute(sql, values) as cursor:
            return list(await cursor.fetchall())

    async def many(self, sql: str, values: Sequence[Sequence[Any]]) -> int:
        """Runs a statement once for each of `values`; returns the number of rows that all together changed."""
        if not values:
            return 0
        async with self._connection.executemany(sql, values) as cursor:
            self._note(sql, cursor.rowcount)
            return cursor.rowcount

    def _note(self, sql: str, rows: int) -> None:
        if rows > 0:
            self.changed.add(_written(sql))

    async def script(self, statements: Iterable[str]) -> None:
        for statement in statements:
            await self._connection.execute(statement)


class Database:
    """One connection, one transaction at a time: SQLite has one writer, and readers here never wait long."""

    def __init__(
        self,
        path: Path,
        *,
        patience: float = 5.0,
        migrations: Sequence[str] = MIGRATIONS,
        connect: Callable[..., aiosqlite.Connection] = aiosqlite.connect,
    ) -> None:
        """
        Args:
            path: the file.
            patience: seconds to wait for another program that holds it.
            migrations: the schema, as a list that only grows.
            connect: opens the file; takes what `aiosqlite.connect` takes.
        """
        self.path = path
        self._migrations = migrations
        self._connect = connect
        self._patience = patience
        self._connection: aiosqlite.Connection | None = None
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Opens the file (made 0600 where it's new) and brings its schema up to date.

        Raises:
            NewerDatabase: the schema is newer than this code.
            StorageError: it can't be opened, read or written.
        """
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = await self._connect(self.path, isolation_level=None, timeout=self._patience)
            self._connection.row_factory = sqlite3.Row
            await self._keep_before_migrating()
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
                await self._connection.execute(f"PRAGMA {pragma}")
            await self._migrate()
        except (sqlite3.Error, OSError) as error:
            await self.close()
            raise StorageError(f"{self.path}: {error}") from error
        except StorageError:
            await self.close()
            raise

    async def _keep_before_migrating(self) -> None:
        """Copies a database of an older schema beside itself: a migration can't be taken back by an older Lethe."""
        async with self._connection.execute("PRAGMA user_version") as cursor:  # type: ignore[union-attr] # just opened
            row = await cursor.fetchone()
        version = int(row[0]) if row else 0
        if 0 < version < len(self._migrations):
            kept = self.path.with_name(f"{self.path.name}.schema{version}")
            if not kept.exists():
                await asyncio.to_thread(_copy_whole, self.path, kept)

    async def _migrate(self) -> None:
        async with self.transaction() as tx:
            row = await tx.one("PRAGMA user_version")
            version = int(row[0]) if row else 0
            _refuse_newer(self.path, version, len(self._migrations))
            for number, migration in enumerate(self._migrations[version:], version + 1):
                await tx.script(_statements(migration))
                await tx.run(f"PRAGMA user_version = {number}")

    async def close(self) -> None:
        """Closes the file. Safe to call twice."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    @asynccontextmanager
    async def transaction(self, *, only_reading: bool = False) -> AsyncIterator[Transaction]:
        """Everything done inside is committed together at the end, or, on any error, not at all.

        Args:
            only_reading: sees the database as it is at the start, and keeps no other program from writing meanwhile.

        Raises:
            StorageError: the disk is full, the file is read-only or locked by another program, …
        """
        if self._connection is None:
            raise StorageError(f"{self.path}: not open")
        async with self._lock:
            connection = self._connection
            try:
                await _to_the_end(connection.execute("BEGIN" if only_reading else "BEGIN IMMEDIATE"))
                yield Transaction(connection)
                await _to_the_end(connection.execute("COMMIT"))
            except BaseException as error:
                await _to_the_end(_rollback(connection))
                if isinstance(error, sqlite3.Error):
                    raise StorageError(f"{self.path}: {error}") from error
                raise


@lru_cache(maxsize=1024)
def _written(sql: str) -> str:
    """The table that a statement writes."""
    found = re.match(r"\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+(\w+)", sql)
    if found is None:
        raise ValueError(f"which table does this write? {sql}")
    return found[1]


def copy(source: Path, target: Path) -> None:
    """Copies a database as it is at one moment, while others write to it, by SQLite's own backup; made 0600.

    Raises:
        StorageError: it can't be read, or the copy can't be written.
    """
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        address = f"{source.absolute().as_uri()}?mode=ro"
        with (
            contextlib.closing(sqlite3.connect(address, uri=True, timeout=30)) as original,
            contextlib.closing(sqlite3.connect(target)) as made,
        ):
            original.backup(made)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"{source}: can't be copied to {target}: {error}") from error


def _copy_whole(source: Path, target: Path) -> None:
    """Under another name first: a copy that was cut short must not pass for one."""
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    copy(source, unfinished)
    unfinished.rename(target)


def refuse_newer(path: Path) -> None:
    """Looks at a file's schema from outside, without altering it; one that isn't there is fine.

    Raises:
        NewerDatabase: it is newer than this code.
        StorageError: it can't be read.
    """
    if not path.is_file():
        return
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        ) as database:
            version = int(database.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from error
    _refuse_newer(path, version, len(MIGRATIONS))


def _refuse_newer(path: Path, version: int, known: int) -> None:
    if version > known:
        raise NewerDatabase(
            f"{path} has schema {version}, this Lethe knows up to {known}: "
            "it was written by a newer version, run that one"
        )


async def _rollback(connection: aiosqlite.Connection) -> None:
    # Statements run in order in a thread of their own: whether one of them ended the transaction (a commit that was
    # cancelled, a full disk) shows only once it is this one's turn.
    with contextlib.suppress(sqlite3.Error, ValueError):  # the latter: it was closed meanwhile
        await connection.execute("ROLLBACK")


async def _to_the_end(work: Coroutine[Any, Any, object]) -> None:
    """Waits for a statement even if the task is cancelled meanwhile, and is cancelled only then.

    Else the next transaction could begin inside this one, and nobody would know whether a commit happened.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # the task was cancelled, whatever the statement's result
        raise cancelled
    await task


def _statements(script: str) -> list[str]:
    """Splits a migration: `executescript` would commit the transaction around it."""
    found, current = [], ""
    for line in script.splitlines():
        current += line + "\n"
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found
