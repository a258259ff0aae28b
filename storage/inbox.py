"""What sync brought and what became of it: at least once from the homeserver, exactly once into the program."""

from __future__ import annotations

import json
from dataclasses import asdict

from removal.incoming import DeviceTrust, Incoming
from storage.database import Row, Transaction

# `status <> 'handled'` stands in the queries beside what implies it: SQLite uses a partial index only where the index's
# own condition is there, word for word.


async def add(tx: Transaction, event: Incoming, now: int) -> None:
    """Stores an event once; an event_id that is known already changes nothing, handled or not."""
    await tx.run(
        "INSERT INTO inbox (event_id, room_id, received_ts, status, payload) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (event_id) DO NOTHING",
        event.event_id,
        event.room_id,
        now,
        "undecryptable" if event.undecryptable else "pending",
        json.dumps(asdict(event)),
    )


async def pending(tx: Transaction, limit: int = 500, *, room_id: str | None = None) -> list[tuple[int, Incoming]]:
    """The events (of one room) that wait to be handled, oldest first, each with the time it was received."""
    if room_id is None:
        rows = await tx.all(
            "SELECT * FROM inbox WHERE status = 'pending' AND status <> 'handled' ORDER BY seq LIMIT ?", limit
        )
    else:
        rows = await tx.all(
            "SELECT * FROM inbox WHERE status = 'pending' AND room_id = ? ORDER BY seq LIMIT ?", room_id, limit
        )
    return [(int(row["received_ts"]), _event(row)) for row in rows]


async def rooms_waiting(tx: Transaction) -> list[str]:
    """The rooms where events wait to be handled; the one whose event has waited longest comes first."""
    rows = await tx.all("SELECT room_id, MIN(seq) AS first FROM inbox WHERE status = 'pending' GROUP BY room_id")
    return [str(row["room_id"]) for row in sorted(rows, key=lambda row: int(row["first"]))]


async def undecryptable(tx: Transaction) -> list[tuple[int, Incoming]]:
    """The events whose key is missing, oldest first, each with the time it was received."""
    rows = await tx.all(
        "SELECT * FROM inbox WHERE status = 'undecryptable' AND status <> 'handled' ORDER BY seq LIMIT 1000"
    )
    return [(int(row["received_ts"]), _event(row)) for row in rows]


async def decrypted(tx: Transaction, event: Incoming) -> None:
    """The key of an event arrived: it waits to be handled now."""
    await tx.run(
        "UPDATE inbox SET status = 'pending', payload = ? WHERE event_id = ? AND status = 'undecryptable'",
        json.dumps(asdict(event)),
        event.event_id,
    )


async def handled(tx: Transaction, event_id: str) -> None:
    """The event was acted on: what it said is forgotten, that it was here is not."""
    await tx.run("UPDATE inbox SET status = 'handled', payload = NULL WHERE event_id = ?", event_id)


async def caught_up(tx: Transaction) -> bool:
    """Whether everything received has been handled."""
    return await tx.one("SELECT 1 FROM inbox WHERE status = 'pending' AND status <> 'handled' LIMIT 1") is None


async def prune(tx: Transaction, before_ts: int) -> None:
    """Forgets handled events older than `before_ts`: the sync token is long past them."""
    await tx.run("DELETE FROM inbox WHERE status = 'handled' AND received_ts < ?", before_ts)


def _event(row: Row) -> Incoming:
    data = json.loads(row["payload"])
    data["trust"] = DeviceTrust(data["trust"])
    return Incoming(**data)
