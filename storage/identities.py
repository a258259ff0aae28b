"""Moderators' cross-signing identities: which one is accepted, and which was seen last."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from storage import meta
from storage.database import Transaction

_KEY = "identity."


@dataclass(frozen=True, slots=True)
class Known:
    """Master keys (ed25519, base64) of one person. They differ where a new identity waits to be accepted."""

    accepted: str
    seen: str


async def known(tx: Transaction, user_id: str) -> Known | None:
    """What is known of somebody; None before their first look."""
    stored = await meta.get(tx, _KEY + user_id)
    return Known(**json.loads(stored)) if stored else None


async def save(tx: Transaction, user_id: str, value: Known) -> None:
    await meta.put(tx, _KEY + user_id, json.dumps(asdict(value)))


async def accept(tx: Transaction, user_id: str) -> bool:
    """The identity that was seen last is this person's from now on; False where none waits for that."""
    value = await known(tx, user_id)
    if value is None or value.accepted == value.seen:
        return False
    await save(tx, user_id, Known(value.seen, value.seen))
    return True
