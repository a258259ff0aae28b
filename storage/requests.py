"""Removal requests, as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from removal.lifecycle import wake_ts
from removal.request import ENDED, UNCONFIRMED, Request, State
from storage.database import Row, StorageError, Transaction
from storage.packing import pack, unpack


async def add(tx: Transaction, request: Request) -> Request:
    """Stores a new request and gives it its number."""
    new_id = await tx.run(
        "INSERT INTO requests (kind, state, open, requester_id, target_id, room_id, created_ts, version, data) "
        "VALUES (?, ?, 1, ?, ?, ?, ?, 0, '{}')",
        request.kind,
        request.state,
        request.requester_id,
        request.target_id,
        request.room_id,
        request.created_ts,
    )
    request = replace(request, id=new_id)
    return await save(tx, request)


async def save(tx: Transaction, request: Request) -> Request:
    """Stores a request as it is now. Its version must be the one stored: no change is overwritten unseen."""
    return (await save_all(tx, [request]))[0]


async def save_all(tx: Transaction, changed: Sequence[Request]) -> list[Request]:
    """Stores several, each as `save` does."""
    newer = [replace(request, version=request.version + 1) for request in changed]
    stored = await tx.many(
        "UPDATE requests SET state = ?, room_id = ?, open = ?, confirmed_ts = ?, wake_ts = ?, version = ?, data = ?, "
        "wave_id = ? WHERE id = ? AND version = ?",
        [
            (
                each.state,
                each.room_id,
                int(each.state not in ENDED),
                each.confirmed_ts,
                None if each.wave_id is not None else wake_ts(each),  # those are woken by their wave
                each.version,
                json.dumps(each.to_dict()) if each.wave_id is None else pack(each.to_dict()),
                each.wave_id,
                each.id,
                each.version - 1,
            )
            for each in newer
        ],
    )
    if stored != len(newer):
        names = ", ".join(request.reference for request in newer[:5])
        raise StorageError(f"{names} was changed by somebody else in between")
    await tx.many(
        "UPDATE wave_members SET state = ? WHERE wave_id = ? AND user_id = ? AND request_id = ? AND state <> ?",
        [(each.state, each.wave_id, each.target_id, each.id, each.state) for each in newer if each.wave_id is not None],
    )
    return newer


async def get_all(tx: Transaction, request_ids: Iterable[int]) -> list[Request]:
    """The requests with these numbers."""
    ids = json.dumps(list(request_ids))
    rows = await tx.all("SELECT data FROM requests WHERE id IN (SELECT value FROM json_each(?))", ids)
    return [read(row) for row in rows]


async def get(tx: Transaction, request_id: int) -> Request | None:
    row = await tx.one("SELECT data FROM requests WHERE id = ?", request_id)
    return read(row) if row else None


async def open_for(tx: Transaction, target_id: str) -> list[Request]:
    """The requests for this account that haven't ended, oldest first."""
    rows = await tx.all("SELECT data FROM requests WHERE target_id = ? AND open = 1 ORDER BY id", target_id)
    return [read(row) for row in rows]


async def due(tx: Transaction, now: int) -> list[Request]:
    """The requests whose time has come, the earliest first."""
    rows = await tx.all(
        "SELECT data FROM requests WHERE wake_ts IS NOT NULL AND wake_ts <= ? ORDER BY wake_ts LIMIT 500", now
    )
    return [read(row) for row in rows]


async def next_wake(tx: Transaction, after: int) -> int | None:
    """The next time at which any request wants attention."""
    row = await tx.one("SELECT MIN(wake_ts) AS ts FROM requests WHERE wake_ts > ?", after)
    return row["ts"] if row else None


async def next_expiry(tx: Transaction) -> int | None:
    """When the next unconfirmed request ends, or should have."""
    marks = ", ".join("?" for _ in UNCONFIRMED)
    row = await tx.one(
        f"SELECT MIN(wake_ts) AS ts FROM requests WHERE open = 1 AND wave_id IS NULL AND state IN ({marks})",  # noqa: S608 - marks only
        *UNCONFIRMED,
    )
    return row["ts"] if row else None


async def listing(tx: Transaction, *, only_open: bool, limit: int, room_id: str | None = None) -> list[Request]:
    """The newest requests first, those of waves left out; with `room_id` only those asked for there."""
    where = ["wave_id IS NULL"]
    values: list[str | int] = []
    if only_open:
        where.append("open = 1")
    if room_id is not None:
        where.append("room_id = ?")
        values.append(room_id)
    rows = await tx.all(
        f"SELECT data FROM requests WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?",  # noqa: S608 - constants only
        *values,
        limit,
    )
    return [read(row) for row in rows]


async def confirmed_since(tx: Transaction, requester_id: str, since_ts: int) -> int:
    """How many removals that this person asked for were confirmed since then, those of waves included, begun or not."""
    begun = await tx.one(
        "SELECT COUNT(*) AS n FROM requests WHERE requester_id = ? AND confirmed_ts >= ? AND kind = 'moderation'",
        requester_id,
        since_ts,
    )
    waiting = await tx.one(
        "SELECT COUNT(*) AS n FROM waves w JOIN wave_members m ON m.wave_id = w.id AND m.state = 'waiting' "
        "WHERE w.open = 1 AND json_extract(w.data, '$.requester_id') = ? "
        "AND json_extract(w.data, '$.confirmed_ts') >= ?",
        requester_id,
        since_ts,
    )
    return sum(int(row["n"]) for row in (begun, waiting) if row)


async def of_requester(tx: Transaction, requester_id: str, since_ts: int, kind: str) -> list[Request]:
    """What this person asked for since then, newest first."""
    rows = await tx.all(
        "SELECT data FROM requests WHERE requester_id = ? AND created_ts >= ? AND kind = ? ORDER BY id DESC LIMIT 100",
        requester_id,
        since_ts,
        kind,
    )
    return [read(row) for row in rows]


async def of_target(tx: Transaction, target_id: str, limit: int) -> list[Request]:
    """The newest requests for this account, open or not."""
    rows = await tx.all("SELECT data FROM requests WHERE target_id = ? ORDER BY id DESC LIMIT ?", target_id, limit)
    return [read(row) for row in rows]


async def in_state(tx: Transaction, state: State) -> list[Request]:
    """Every open request in this state, oldest first; those of waves left out."""
    rows = await tx.all("SELECT data FROM requests WHERE open = 1 AND state = ? AND wave_id IS NULL ORDER BY id", state)
    return [read(row) for row in rows]


def read(row: Row) -> Request:
    """The request in a row's `data`."""
    return Request.from_dict(unpack(row["data"]))
