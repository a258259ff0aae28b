"""One-time links to the page, each for one request of one person. Of the link itself only a hash is kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Link:
    """For what, and for whom, a link is."""

    request_id: int
    user_id: str


def hashed(secret: str) -> str:
    """What is kept of a link, or of a browser's cookie: nobody who reads the database can use them."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def add(tx: Transaction, secret: str, link: Link, expires_ts: int) -> None:
    """A link was made."""
    await tx.run(
        "INSERT INTO links (hash, request_id, user_id, expires_ts) VALUES (?, ?, ?, ?)",
        hashed(secret),
        link.request_id,
        link.user_id,
        expires_ts,
    )


async def look(tx: Transaction, secret: str, now: int) -> Link | None:
    """What a link is for; None where it was used, has expired, or never was."""
    row = await tx.one("SELECT request_id, user_id FROM links WHERE hash = ? AND expires_ts > ?", hashed(secret), now)
    return Link(int(row["request_id"]), str(row["user_id"])) if row else None


async def use(tx: Transaction, secret: str, now: int) -> Link | None:
    """The same, and from now on it is used."""
    found = await look(tx, secret, now)
    await tx.run("DELETE FROM links WHERE hash = ?", hashed(secret))
    return found


async def prune(tx: Transaction, now: int) -> None:
    """Forgets the expired ones."""
    await tx.run("DELETE FROM links WHERE expires_ts <= ?", now)
