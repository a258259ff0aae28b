"""Small things remembered by name: the sync token, the pinned admin room, which warnings were said."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from storage.database import StorageError, Transaction

ADMIN_ROOM = "admin_room"
"""The room that is obeyed: an address is resolved once, and from then on this id holds."""
ADMIN_ROOM_SETTING = "admin_room.configured"
"""What the settings said when it was pinned."""


async def get(tx: Transaction, key: str) -> str | None:
    row = await tx.one("SELECT value FROM meta WHERE key = ?", key)
    return str(row["value"]) if row else None


async def put(tx: Transaction, key: str, value: str) -> None:
    await tx.run(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        key,
        value,
    )


async def delete(tx: Transaction, key: str) -> None:
    await tx.run("DELETE FROM meta WHERE key = ?", key)


async def instance(tx: Transaction) -> str:
    """A name for this database, made once. It is part of every transaction id: a new database starts again at R1,
    and the homeserver would take its messages for repeats of the old ones."""
    known = await get(tx, "instance")
    if known is None:
        known = secrets.token_hex(4)
        await put(tx, "instance", known)
    return known


def peek(path: Path, key: str) -> str | None:
    """Reads one value from outside, without altering the file: for `check`, beside a running bot.

    Raises:
        StorageError: the file is there and can't be read.
    """
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from error
    return str(row[0]) if row else None
