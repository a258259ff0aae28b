"""What ended long ago is removed: requests with their messages, and waves with theirs.

Each function looks at one piece of the oldest rows, so that nobody waits long for the database; it returns where the
next piece begins, None after the last. The audit shortens itself (storage/audit.py).
"""

from __future__ import annotations

from storage.database import Row, Transaction
from storage.packing import unpack

PIECE = 500


async def forget_requests(tx: Transaction, before_ts: int, after: int) -> int | None:
    """Removes single requests that ended before `before_ts`, and what was sent about them.

    One about which a message still waits to be sent stays, and so does one that is looked at again.

    Args:
        after: the last id of the piece before.
    """
    rows = await tx.all(
        "SELECT id, open, wake_ts, created_ts, data FROM requests WHERE id > ? AND wave_id IS NULL ORDER BY id LIMIT ?",
        after,
        PIECE,
    )
    for row in rows:
        if row["created_ts"] >= before_ts:
            return None
        over = not row["open"] and row["wake_ts"] is None and _ended_ts(row) < before_ts
        if over and not await _waits(tx, int(row["id"])):
            await _forget(tx, int(row["id"]))
    return int(rows[-1]["id"]) if rows else None


async def forget_waves(tx: Transaction, before_ts: int, after: int) -> int | None:
    """Removes waves that ended before `before_ts`, with their lists and requests. A piece is one wave.

    One that still has an open request, or something to say, stays.

    Args:
        after: the id of the wave before.
    """
    wave = await tx.one("SELECT id, open, untold, created_ts, data FROM waves WHERE id > ? ORDER BY id LIMIT 1", after)
    if wave is None or wave["created_ts"] >= before_ts:
        return None
    wave_id = int(wave["id"])
    if wave["open"] or wave["untold"] or _ended_ts(wave) >= before_ts:
        return wave_id
    members = await tx.all(
        "SELECT m.request_id AS id, r.open, r.data FROM wave_members m LEFT JOIN requests r ON r.id = m.request_id "
        "WHERE m.wave_id = ?",
        wave_id,
    )
    made = [row for row in members if row["data"] is not None]
    for row in made:
        if row["open"] or _ended_ts(row) >= before_ts or await _waits(tx, int(row["id"])):
            return wave_id
    for row in made:
        await _forget(tx, int(row["id"]))
    await tx.run("DELETE FROM wave_members WHERE wave_id = ?", wave_id)
    await tx.run("DELETE FROM waves WHERE id = ?", wave_id)
    return wave_id


async def _waits(tx: Transaction, request_id: int) -> bool:
    """Whether something about it is still to be sent."""
    return bool(await tx.one("SELECT 1 FROM outbox WHERE request_id = ? AND status = 'pending' LIMIT 1", request_id))


async def _forget(tx: Transaction, request_id: int) -> None:
    await tx.run("DELETE FROM outbox WHERE request_id = ?", request_id)
    await tx.run("DELETE FROM requests WHERE id = ?", request_id)


def _ended_ts(row: Row) -> int:
    """When it ended; one that doesn't say so is as old as it is."""
    data = unpack(row["data"])
    return int(data.get("ended_ts") or data["created_ts"])
