"""Files that were sent, and when they have to be taken off the server again."""

from __future__ import annotations

from storage.database import Transaction


async def add(tx: Transaction, uri: str, user_id: str, now: int, delete_ts: int) -> None:
    """A file was uploaded for this person."""
    await tx.run(
        "INSERT INTO uploads (uri, user_id, sent_ts, delete_ts) VALUES (?, ?, ?, ?) ON CONFLICT (uri) DO NOTHING",
        uri,
        user_id,
        now,
        delete_ts,
    )


async def due(tx: Transaction, now: int) -> list[str]:
    """The files whose time is over."""
    rows = await tx.all("SELECT uri FROM uploads WHERE delete_ts <= ? LIMIT 100", now)
    return [str(row["uri"]) for row in rows]


async def deleted(tx: Transaction, uri: str) -> None:
    await tx.run("UPDATE uploads SET delete_ts = NULL WHERE uri = ?", uri)


async def last_for(tx: Transaction, user_id: str) -> int | None:
    """When this person was last sent a file."""
    row = await tx.one("SELECT MAX(sent_ts) AS ts FROM uploads WHERE user_id = ?", user_id)
    return row["ts"] if row else None


async def prune(tx: Transaction, before_ts: int) -> None:
    """Forgets files that are long gone."""
    await tx.run("DELETE FROM uploads WHERE delete_ts IS NULL AND sent_ts < ?", before_ts)
