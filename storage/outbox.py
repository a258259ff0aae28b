"""Messages on their way out. Each has a transaction id of its own, so a repeat after a crash is the same message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from storage.database import Row, Transaction


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event to send. `relates_to` is the txn_id of an earlier one, whose event_id goes into `m.relates_to`."""

    seq: int
    txn_id: str
    room_id: str
    request_id: int | None
    purpose: str
    event_type: str
    content: dict[str, Any]
    relates_to: str | None
    attempts: int


async def put(
    tx: Transaction,
    *,
    txn_id: str,
    room_id: str,
    purpose: str,
    content: dict[str, Any],
    now: int,
    event_type: str = "m.room.message",
    request_id: int | None = None,
    relates_to: str | None = None,
    delay_ms: int = 0,
) -> None:
    """Puts an event on its way, not to be sent before `delay_ms`; the same txn_id again changes nothing."""
    await tx.run(
        "INSERT INTO outbox (txn_id, room_id, request_id, purpose, event_type, content, relates_to, created_ts, "
        "not_before_ts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (txn_id) DO NOTHING",
        txn_id,
        room_id,
        request_id,
        purpose,
        event_type,
        json.dumps(content),
        relates_to,
        now,
        now + delay_ms,
    )


async def heads(tx: Transaction, now: int) -> list[Outgoing]:
    """The oldest event of each room that may be sent: order holds within a room, rooms don't wait for each other."""
    rows = await tx.all(
        "SELECT * FROM outbox WHERE seq IN "
        "(SELECT MIN(seq) FROM outbox WHERE status = 'pending' AND not_before_ts <= ? GROUP BY room_id)",
        now,
    )
    return [_outgoing(row) for row in rows]


async def next_ts(tx: Transaction, now: int) -> int | None:
    """When the next delayed event may be sent."""
    row = await tx.one(
        "SELECT MIN(not_before_ts) AS ts FROM outbox WHERE status = 'pending' AND not_before_ts > ?", now
    )
    return row["ts"] if row else None


async def trying(tx: Transaction, seq: int) -> bool:
    """An attempt begins: from now on this content may have reached the homeserver, and must not be altered.

    False where the message was dropped meanwhile: then it must not be sent.
    """
    return await tx.run("UPDATE outbox SET attempts = attempts + 1 WHERE seq = ? AND status = 'pending'", seq) == 1


async def sent(tx: Transaction, seq: int, event_id: str) -> None:
    await tx.run("UPDATE outbox SET status = 'sent', content = NULL, event_id = ? WHERE seq = ?", event_id, seq)


async def refused(tx: Transaction, seq: int, content: dict[str, Any]) -> None:
    """The homeserver didn't take it, so that nobody has seen it: it goes on its way anew, with another content."""
    await tx.run("UPDATE outbox SET content = ? WHERE seq = ? AND status = 'pending'", json.dumps(content), seq)


async def dropped(tx: Transaction, seq: int) -> None:
    """It can't be delivered, ever (the room is gone, the bot was removed)."""
    await tx.run("UPDATE outbox SET status = 'dropped', content = NULL WHERE seq = ?", seq)


async def drop_untried(tx: Transaction, request_id: int, purpose_prefix: str) -> None:
    """Forgets edits that nobody has tried to send yet: a newer one says it all."""
    await tx.run(
        "UPDATE outbox SET status = 'dropped', content = NULL "
        "WHERE request_id = ? AND status = 'pending' AND attempts = 0 AND substr(purpose, 1, ?) = ?",
        request_id,
        len(purpose_prefix),
        purpose_prefix,
    )


async def drop_untried_in(tx: Transaction, room_id: str, purpose_prefix: str) -> None:
    """The same for messages that belong to no single request."""
    await tx.run(
        "UPDATE outbox SET status = 'dropped', content = NULL "
        "WHERE room_id = ? AND status = 'pending' AND attempts = 0 AND substr(purpose, 1, ?) = ?",
        room_id,
        len(purpose_prefix),
        purpose_prefix,
    )


async def room_of(tx: Transaction, txn_id: str) -> str | None:
    """The room that a message is for; None where there is no such message."""
    row = await tx.one("SELECT room_id FROM outbox WHERE txn_id = ?", txn_id)
    return row["room_id"] if row else None


async def event_id_of(tx: Transaction, txn_id: str) -> str | None:
    """The event_id that a sent message got, or None."""
    row = await tx.one("SELECT event_id FROM outbox WHERE txn_id = ?", txn_id)
    return row["event_id"] if row else None


async def sent_as(tx: Transaction, event_id: str) -> tuple[int | None, str, str] | None:
    """Which message an event is: (request_id, purpose, room_id); None where it isn't one of ours."""
    row = await tx.one("SELECT request_id, purpose, room_id FROM outbox WHERE event_id = ?", event_id)
    return (row["request_id"], str(row["purpose"]), str(row["room_id"])) if row else None


async def request_waiting_in(tx: Transaction, room_id: str) -> bool:
    """Whether a request's, wave's or alert's message for this room isn't known to be sent.

    Edits and reactions don't count.
    """
    row = await tx.one(
        "SELECT 1 FROM outbox WHERE room_id = ? AND status = 'pending' "
        "AND (request_id IS NOT NULL OR substr(purpose, 1, 5) = 'wave.' OR substr(purpose, 1, 6) = 'alert.') "
        "AND relates_to IS NULL LIMIT 1",
        room_id,
    )
    return row is not None


async def is_waiting(tx: Transaction, request_id: int, purpose_prefix: str) -> bool:
    """Whether one of a request's messages isn't sent yet."""
    row = await tx.one(
        "SELECT 1 FROM outbox WHERE request_id = ? AND status = 'pending' AND substr(purpose, 1, ?) = ? LIMIT 1",
        request_id,
        len(purpose_prefix),
        purpose_prefix,
    )
    return row is not None


async def move(tx: Transaction, request_id: int, room_id: str, to_room_id: str) -> None:
    """Sends what waits of a request's messages into another room, as answers to nothing. What belongs to a message that
    was sent into the old one is dropped."""
    await tx.run(
        "UPDATE outbox SET status = 'dropped', content = NULL WHERE request_id = ? AND room_id = ? "
        "AND status = 'pending' AND relates_to IN "
        "(SELECT txn_id FROM outbox WHERE request_id = ? AND status <> 'pending')",
        request_id,
        room_id,
        request_id,
    )
    await tx.run(
        "UPDATE outbox SET room_id = ?, content = CASE WHEN relates_to IS NULL "
        "THEN json_remove(content, '$.\"m.relates_to\"') ELSE content END "
        "WHERE request_id = ? AND room_id = ? AND status = 'pending'",
        to_room_id,
        request_id,
        room_id,
    )


async def prune(tx: Transaction, before_ts: int) -> None:
    """Forgets old messages that belong to no request. Those of an open wave or alert stay: its reactions stand
    under one of them."""
    await tx.run(
        "DELETE FROM outbox WHERE status <> 'pending' AND request_id IS NULL AND created_ts < ? AND NOT EXISTS "
        "(SELECT 1 FROM waves WHERE open = 1 AND outbox.purpose LIKE 'wave.' || waves.id || '.%') AND NOT EXISTS "
        "(SELECT 1 FROM alerts WHERE outbox.purpose = 'alert.' || alerts.id || '.card' AND open = 1)",
        before_ts,
    )


def _outgoing(row: Row) -> Outgoing:
    return Outgoing(
        seq=row["seq"],
        txn_id=row["txn_id"],
        room_id=row["room_id"],
        request_id=row["request_id"],
        purpose=row["purpose"],
        event_type=row["event_type"],
        content=json.loads(row["content"]),
        relates_to=row["relates_to"],
        attempts=row["attempts"],
    )
