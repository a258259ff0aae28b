"""Visits to the page: what one browser is in the middle of. Its cookie is the key, and only a hash of it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from storage.database import Transaction
from storage.links import hashed


@dataclass(frozen=True, slots=True)
class Visit:
    """One browser's way over the page."""

    expires_ts: int
    request_id: int | None = None
    """Of the link from the chat that it came by."""
    expected_id: str | None = None
    """Whose link that was: nobody else may log in by it."""
    state: str = ""
    """A hash of the `state` of the log-in that is under way at somebody else's."""
    verifier: str = ""
    """That log-in's PKCE verifier, where it is one of OAuth 2."""
    nonce: str = ""
    device_id: str = ""
    """The device that this log-in makes."""
    went_ts: int = 0
    """When the browser went there."""
    user_id: str | None = None
    """Who logged in."""


async def save(tx: Transaction, secret: str, visit: Visit) -> None:
    """Stores a new visit, or one that went on."""
    data = asdict(visit)
    await tx.run(
        "INSERT INTO visits (hash, expires_ts, data) VALUES (?, ?, ?) "
        "ON CONFLICT (hash) DO UPDATE SET expires_ts = excluded.expires_ts, data = excluded.data",
        hashed(secret),
        visit.expires_ts,
        json.dumps(data),
    )


async def get(tx: Transaction, secret: str, now: int) -> Visit | None:
    """The visit of a cookie; None where there is none, or its time is over."""
    row = await tx.one("SELECT data FROM visits WHERE hash = ? AND expires_ts > ?", hashed(secret), now)
    return Visit(**json.loads(row["data"])) if row else None


async def take_state(tx: Transaction, secret: str, state: str, now: int) -> Visit | None:
    """The visit that is waiting for this `state`, which is used by that; None where none is.

    Returns:
        The visit as it was, with what the log-in needs.
    """
    visit = await get(tx, secret, now)
    if visit is None or not visit.state or visit.state != hashed(state):
        return None
    await save(tx, secret, replace(visit, state="", verifier="", nonce="", device_id="", went_ts=0))
    return visit


async def end(tx: Transaction, secret: str) -> None:
    """The browser is done."""
    await tx.run("DELETE FROM visits WHERE hash = ?", hashed(secret))


async def prune(tx: Transaction, now: int) -> None:
    """Forgets those whose time is over."""
    await tx.run("DELETE FROM visits WHERE expires_ts <= ?", now)
