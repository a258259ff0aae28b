"""The database file: opened once, migrated, and changed in transactions that hold or don't happen at all."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
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

    async def run(self, sql: str, *values: Any) -> int:
        """Runs a statement; returns the id of the row it inserted, else the number of rows it changed."""
        async with self._connection.execute(sql, values) as cursor:
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

    async def script(self, statements: Iterable[str]) -> None:
        for statement in statements:
            await self._connection.execute(statement)


class Database:
    """One connection, one transaction at a time: SQLite has one writer, and readers here never wait long."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
            self._connection = await aiosqlite.connect(self.path, isolation_level=None, timeout=5)
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                await self._connection.execute(f"PRAGMA {pragma}")
            await self._migrate()
        except (sqlite3.Error, OSError) as error:
            await self.close()
            raise StorageError(f"{self.path}: {error}") from error
        except StorageError:
            await self.close()
            raise

    async def _migrate(self) -> None:
        async with self.transaction() as tx:
            row = await tx.one("PRAGMA user_version")
            version = int(row[0]) if row else 0
            if version > len(MIGRATIONS):
                raise NewerDatabase(
                    f"{self.path} has schema {version}, this Lethe knows up to {len(MIGRATIONS)}: "
                    "it was written by a newer version, run that one"
                )
            for number, migration in enumerate(MIGRATIONS[version:], version + 1):
                await tx.script(_statements(migration))
                await tx.run(f"PRAGMA user_version = {number}")

    async def close(self) -> None:
        """Closes the file. Safe to call twice."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Everything done inside is committed together at the end, or, on any error, not at all.

        Raises:
            StorageError: the disk is full, the file is read-only or locked by another program, …
        """
        if self._connection is None:
            raise StorageError(f"{self.path}: not open")
        async with self._lock:
            connection = self._connection
            try:
                await connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise StorageError(f"{self.path}: {error}") from error
            try:
                yield Transaction(connection)
                # A cancelled task must not leave us in doubt whether the commit happened.
                await asyncio.shield(connection.execute("COMMIT"))
            except BaseException as error:
                await asyncio.shield(_rollback(connection))
                if isinstance(error, sqlite3.Error):
                    raise StorageError(f"{self.path}: {error}") from error
                raise


async def _rollback(connection: aiosqlite.Connection) -> None:
    if connection.in_transaction:
        await connection.execute("ROLLBACK")


def _statements(script: str) -> list[str]:
    """Splits a migration: `executescript` would commit the transaction around it."""
    found, current = [], ""
    for line in script.splitlines():
        current += line + "\n"
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found
