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


async def reserve(tx: Transaction, uri: str, user_id: str, delete_ts: int) -> None:
    """A file for this person is about to be uploaded under this URI; whatever becomes of that, it is deleted then."""
    await add(tx, uri, user_id, 0, delete_ts)


async def reserved_for(tx: Transaction, user_id: str) -> str | None:
    """A URI that is reserved for this person and under which nothing was sent yet."""
    row = await tx.one("SELECT uri FROM uploads WHERE user_id = ? AND sent_ts = 0 AND delete_ts IS NOT NULL", user_id)
    return str(row["uri"]) if row else None


async def sent(tx: Transaction, uri: str, now: int, delete_ts: int | None) -> None:
    """The file under a reserved URI was sent; None where it stays."""
    await tx.run("UPDATE uploads SET sent_ts = ?, delete_ts = ? WHERE uri = ?", now, delete_ts, uri)


async def unusable(tx: Transaction, uri: str, now: int) -> None:
    """A reserved URI can't be used any more: whatever is under it is deleted now."""
    await tx.run("UPDATE uploads SET sent_ts = -1, delete_ts = ? WHERE uri = ?", now, uri)


async def due(tx: Transaction, now: int) -> list[str]:
    """The files whose time is over."""
    rows = await tx.all("SELECT uri FROM uploads WHERE delete_ts <= ? LIMIT 100", now)
    return [str(row["uri"]) for row in rows]


async def deleted(tx: Transaction, uri: str) -> None:
    await tx.run("UPDATE uploads SET delete_ts = NULL WHERE uri = ?", uri)


async def last_for(tx: Transaction, user_id: str) -> int | None:
    """When this person was last sent a file."""
    row = await tx.one("SELECT MAX(sent_ts) AS ts FROM uploads WHERE user_id = ? AND sent_ts > 0", user_id)
    return row["ts"] if row else None


async def prune(tx: Transaction, before_ts: int) -> None:
    """Forgets files that are long gone."""
    await tx.run("DELETE FROM uploads WHERE delete_ts IS NULL AND sent_ts < ?", before_ts)
