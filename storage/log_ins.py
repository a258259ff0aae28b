"""Log-ins that prove who somebody is. Each makes a device for a moment, which is known here until it was seen gone."""

from __future__ import annotations

from storage.database import Transaction


async def begun(tx: Transaction, device_id: str, user_id: str | None, now: int) -> None:
    """A log-in is about to make this device; of whom, where that is known before."""
    await tx.run(
        "INSERT INTO log_ins (device_id, user_id, begun_ts) VALUES (?, ?, ?) "
        "ON CONFLICT (device_id) DO UPDATE SET user_id = COALESCE(excluded.user_id, user_id)",
        device_id,
        user_id,
        now,
    )


async def gone(tx: Transaction, device_id: str) -> None:
    """The device was seen gone, or never came to be."""
    await tx.run("DELETE FROM log_ins WHERE device_id = ?", device_id)


async def left(tx: Transaction, before_ts: int) -> list[tuple[str | None, str]]:
    """Devices that may be left, with their owners where these are known: log-ins begun before then that nobody saw the
    end of."""
    rows = await tx.all(
        "SELECT user_id, device_id FROM log_ins WHERE begun_ts < ? ORDER BY begun_ts LIMIT 100",
        before_ts,
    )
    # Those whose owner has to be looked for come last: that may take long.
    found = [(row["user_id"], str(row["device_id"])) for row in rows]
    return sorted(found, key=lambda each: each[0] is None)


async def prune(tx: Transaction, before_ts: int) -> None:
    """Forgets old ones of nobody."""
    await tx.run("DELETE FROM log_ins WHERE begun_ts < ? AND user_id IS NULL", before_ts)
