"""What waits, in numbers: for monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storage import meta
from storage.database import Transaction

_TOUCHED = "monitoring.looked_ts"
_TOUCH_EVERY_MS = 10_000


@dataclass(frozen=True, slots=True)
class Overview:
    """Numbers of what isn't done yet."""

    open: Mapping[tuple[str, str], int]
    """(kind, state) → requests."""
    stuck: int
    pending: int
    undecryptable: int
    outgoing: int
    oldest_outgoing_ts: int | None


async def look(tx: Transaction, stuck_before: int) -> Overview:
    """Counts. Args: stuck_before: open requests that should have gone on before this time (ms) count as stuck."""
    rows = await tx.all("SELECT kind, state, COUNT(*) AS n FROM requests WHERE open = 1 GROUP BY kind, state")
    stuck = await tx.one(
        # 0 stands for a request that is being worked on.
        "SELECT COUNT(*) AS n FROM requests WHERE wake_ts > 0 AND wake_ts < ? AND open = 1",
        stuck_before,
    )
    waiting = await tx.all("SELECT status, COUNT(*) AS n FROM inbox WHERE status <> 'handled' GROUP BY status")
    out = await tx.one("SELECT COUNT(*) AS n, MIN(created_ts) AS oldest FROM outbox WHERE status = 'pending'")
    inbox = {str(row["status"]): int(row["n"]) for row in waiting}
    return Overview(
        open={(str(row["kind"]), str(row["state"])): int(row["n"]) for row in rows},
        stuck=int(stuck["n"]) if stuck else 0,
        pending=inbox.get("pending", 0),
        undecryptable=inbox.get("undecryptable", 0),
        outgoing=int(out["n"]) if out else 0,
        oldest_outgoing_ts=out["oldest"] if out else None,
    )


async def touch(tx: Transaction, now: int) -> None:
    """Writes, so that a database that can't be written is noticed; not more often than every ten seconds."""
    before = await meta.get(tx, _TOUCHED)
    if before is None or not 0 <= now - int(before) < _TOUCH_EVERY_MS:
        await meta.put(tx, _TOUCHED, str(now))
