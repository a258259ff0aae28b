"""Cards of what moderators should look at: reports, and rules of policy lists; and which of these were seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Alert:
    """One card. What was reported stands in the message only: nothing of it is kept."""

    id: int
    kind: str
    target_id: str | None
    """The account that the card's choices are about; None where there is no single one of this server."""
    open: bool


async def add(tx: Transaction, kind: str, target_id: str | None, now: int) -> Alert:
    """A new card. `now`: milliseconds since 1970."""
    await tx.run("INSERT INTO alerts (open, kind, target_id, created_ts) VALUES (1, ?, ?, ?)", kind, target_id, now)
    row = await tx.one("SELECT MAX(id) AS id FROM alerts")
    assert row is not None  # noqa: S101 - it was just written
    return Alert(int(row["id"]), kind, target_id, open=True)


async def get(tx: Transaction, alert_id: int) -> Alert | None:
    row = await tx.one("SELECT id, kind, target_id, open FROM alerts WHERE id = ?", alert_id)
    return Alert(int(row["id"]), str(row["kind"]), row["target_id"], bool(row["open"])) if row else None


async def close(tx: Transaction, alert_id: int) -> bool:
    """Somebody decided; False where that was so already."""
    return await tx.run("UPDATE alerts SET open = 0 WHERE id = ? AND open = 1", alert_id) == 1


async def unseen(tx: Transaction, source: str, keys: Iterable[str]) -> list[str]:
    """Those of a source's keys that weren't marked as seen, in the order given."""
    return [
        key
        for key in keys
        if await tx.one("SELECT 1 FROM alerts_seen WHERE source = ? AND key = ?", source, key) is None
    ]


async def seen(tx: Transaction, source: str, keys: Iterable[str]) -> None:
    """They were shown, or were there before anybody looked."""
    for key in keys:
        await tx.run("INSERT INTO alerts_seen (source, key) VALUES (?, ?) ON CONFLICT DO NOTHING", source, key)


async def keys_of(tx: Transaction, source: str) -> frozenset[str]:
    """All of a source's keys that were seen."""
    return frozenset(str(row["key"]) for row in await tx.all("SELECT key FROM alerts_seen WHERE source = ?", source))
