"""E-mail addresses that people gave for the receipt of their removal. Each is deleted once its receipt is sent or given
up, and stands nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field

from storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Wanted:
    """A receipt that somebody wants. The address is never a part of `repr`."""

    request_id: int
    address: str = field(repr=False)
    language: str
    tries: int = 0
    next_ts: int = 0
    """When it's tried again, in milliseconds since 1970."""


async def want(tx: Transaction, request_id: int, address: str, language: str) -> None:
    """The receipt of this request goes to this address; one that was given before is forgotten."""
    await tx.run(
        "INSERT INTO receipts (request_id, address, language, tries, next_ts) VALUES (?, ?, ?, 0, 0) "
        "ON CONFLICT (request_id) DO UPDATE SET address = excluded.address, language = excluded.language, "
        "tries = 0, next_ts = 0",
        request_id,
        address,
        language,
    )


async def is_wanted(tx: Transaction, request_id: int) -> bool:
    """Whether an address was given for this request."""
    return await tx.one("SELECT 1 FROM receipts WHERE request_id = ?", request_id) is not None


async def due(tx: Transaction, now: int) -> list[Wanted]:
    """Those that may be tried now."""
    rows = await tx.all("SELECT * FROM receipts WHERE next_ts <= ? ORDER BY request_id LIMIT 1000", now)
    return [Wanted(**dict(row)) for row in rows]


async def later(tx: Transaction, wanted: Wanted, next_ts: int) -> None:
    """It couldn't be sent, and is tried again then."""
    await tx.run(
        "UPDATE receipts SET tries = ?, next_ts = ? WHERE request_id = ?", wanted.tries + 1, next_ts, wanted.request_id
    )


async def forget(tx: Transaction, request_id: int) -> None:
    """The address isn't needed any more."""
    await tx.run("DELETE FROM receipts WHERE request_id = ?", request_id)
