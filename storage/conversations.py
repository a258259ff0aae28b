"""Direct messages that the bot is in: with whom, and what was asked there beside requests."""

from __future__ import annotations

from storage.database import Transaction


async def open_with(tx: Transaction, room_id: str, user_id: str, now: int) -> None:
    """A direct message with this person is open from now on."""
    await tx.run(
        "INSERT INTO conversations (room_id, user_id, opened_ts) VALUES (?, ?, ?) ON CONFLICT (room_id) DO NOTHING",
        room_id,
        user_id,
        now,
    )


async def with_whom(tx: Transaction, room_id: str) -> str | None:
    """Whose direct message a room is; None where it is none."""
    row = await tx.one("SELECT user_id FROM conversations WHERE room_id = ?", room_id)
    return str(row["user_id"]) if row else None


async def rooms_with(tx: Transaction, user_id: str) -> list[str]:
    """The open direct messages with this person, the newest first."""
    rows = await tx.all("SELECT room_id FROM conversations WHERE user_id = ? ORDER BY opened_ts DESC", user_id)
    return [str(row["room_id"]) for row in rows]


async def close(tx: Transaction, room_id: str) -> None:
    """The bot leaves, or has left."""
    await tx.run("DELETE FROM conversations WHERE room_id = ?", room_id)


async def ask_for_data(tx: Transaction, room_id: str, ts: int | None) -> None:
    """The person asked for their data (or, with None, doesn't any more), and has to type their Matrix ID."""
    await tx.run("UPDATE conversations SET data_asked_ts = ? WHERE room_id = ?", ts, room_id)


async def data_asked_ts(tx: Transaction, room_id: str) -> int | None:
    """When the person asked for their data, where that is open."""
    row = await tx.one("SELECT data_asked_ts FROM conversations WHERE room_id = ?", room_id)
    return row["data_asked_ts"] if row else None
