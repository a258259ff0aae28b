"""The audit: append-only rows, chained by hash.

A row's hash covers the hash before it, its public fields, and a salted commitment to its personal fields. Retention
may drop the personal values and the salt; the commitment stays, and with it the chain. What a chain can't show by
itself is that rows were cut off its end: for that, compare with a head that was posted elsewhere (each receipt
carries one).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from removal.audit_action import AuditAction
from storage.database import Row, Transaction

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row. `personal` is None once retention dropped it."""

    id: int
    ts: int
    action: str
    request_id: int | None
    public: dict[str, Any]
    personal: dict[str, Any] | None
    hash: str

    @property
    def actor(self) -> str:
        return str((self.personal or {}).get("actor") or "")

    @property
    def target(self) -> str:
        return str((self.personal or {}).get("target") or "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What following the chain showed. `broken_at` is the first row that doesn't fit."""

    rows: int
    head: str
    broken_at: int | None
    head_found: bool | None
    """Whether the head that was given stands in the chain; None where none was given."""


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _commitment(salt: str, personal: dict[str, Any]) -> str:
    return hashlib.sha256(salt.encode() + b"\n" + _canonical(personal)).hexdigest()


def _hash(before: str, ts: int, action: str, request_id: int | None, public: dict[str, Any], commitment: str) -> str:
    return hashlib.sha256(_canonical([before, ts, action, request_id, public, commitment])).hexdigest()


async def head(tx: Transaction) -> str:
    """The hash of the newest row."""
    row = await tx.one("SELECT hash FROM audit ORDER BY id DESC LIMIT 1")
    return str(row["hash"]) if row else GENESIS


async def append(
    tx: Transaction,
    now: int,
    action: AuditAction,
    *,
    request_id: int | None = None,
    actor: str | None = None,
    target: str | None = None,
    why: str = "",
    **public: Any,
) -> str:
    """Adds a row and returns its hash. `actor`, `target` and `why` are personal, the rest is public."""
    # Halves of surrogate pairs, which a server's message may hold, can't be stored.
    personal = {"actor": actor, "target": target, "why": why.encode(errors="replace").decode()}
    salt = secrets.token_hex(16)
    commitment = _commitment(salt, personal)
    digest = _hash(await head(tx), now, action, request_id, public, commitment)
    await tx.run(
        "INSERT INTO audit (ts, action, request_id, actor, target, public, personal, salt, commitment, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        now,
        action,
        request_id,
        actor,
        target,
        json.dumps(public, sort_keys=True, ensure_ascii=False),
        json.dumps(personal, sort_keys=True, ensure_ascii=False),
        salt,
        commitment,
        digest,
    )
    return digest


async def find(
    tx: Transaction,
    *,
    user_id: str | None = None,
    request_id: int | None = None,
    since_ts: int | None = None,
    after_id: int | None = None,
    limit: int = 50,
) -> list[AuditRow]:
    """Rows that name this person (as actor or target) or request, newest first; `after_id` walks oldest first."""
    filters: list[tuple[str, object]] = []
    if request_id is not None:
        filters.append(("request_id = ?", request_id))
    if since_ts is not None:
        filters.append(("ts >= ?", since_ts))
    if after_id is not None:
        filters.append(("id > ?", after_id))
    order = "ASC" if after_id is not None else "DESC"
    if user_id is None:
        # By time alone, the index on time is walked from its newest end; else the order of ids is at hand.
        by = "ts" if [each for each, _ in filters] == ["ts >= ?"] else "id"
        rows = await _select(tx, "*", filters, f"{by} {order}, id {order}", limit)
    else:
        # Two indexed look-ups are quick where one OR over a million rows is not.
        found: set[int] = set()
        for column in ("target = ?", "actor = ?"):
            ids = await _select(tx, "id", [(column, user_id), *filters], f"id {order}", limit)
            found.update(int(row["id"]) for row in ids)
        chosen = sorted(found, reverse=order == "DESC")[:limit]
        within = "id IN (SELECT value FROM json_each(?))"
        rows = await _select(tx, "*", [(within, json.dumps(chosen))], f"id {order}", limit)
    return [_row(row) for row in rows]


async def _select(tx: Transaction, what: str, filters: list[tuple[str, object]], order: str, limit: int) -> list[Row]:
    where = " AND ".join(each for each, _ in filters) or "1 = 1"
    sql = f"SELECT {what} FROM audit WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608 - constants only
    return await tx.all(sql, *(value for _, value in filters), limit)


async def forget_before(tx: Transaction, before_ts: int) -> int:
    """Retention: drops the personal fields of rows older than `before_ts`; returns how many."""
    return await tx.run(
        "UPDATE audit SET actor = NULL, target = NULL, personal = NULL, salt = NULL WHERE ts < ? AND personal NOT NULL",
        before_ts,
    )


async def verify(tx: Transaction, expected_head: str | None = None) -> Verdict:
    """Follows the whole chain. Detects an altered, inserted or missing row; with a head also a cut-off end."""
    before, count, after = GENESIS, 0, 0
    found = None if expected_head is None else expected_head == GENESIS
    while True:
        rows = await tx.all("SELECT * FROM audit WHERE id > ? ORDER BY id LIMIT 5000", after)
        if not rows:
            return Verdict(count, before, None, found)
        for row in rows:
            count += 1
            after = int(row["id"])
            # Ids leave no gap: what was rolled back gave its number back.
            if after != count or not _fits(row, before):
                return Verdict(count, before, after, found)
            before = row["hash"]
            found = found or (before == expected_head if expected_head is not None else None)


def _fits(row: Row, before: str) -> bool:
    try:
        if not _personal_fits(row):
            return False
        public = json.loads(row["public"])
        fits = _hash(before, row["ts"], row["action"], row["request_id"], public, row["commitment"]) == row["hash"]
    except (ValueError, TypeError, AttributeError, KeyError):
        return False  # an unreadable row wasn't written by Lethe
    return bool(fits)


def _personal_fits(row: Row) -> bool:
    if row["personal"] is None:  # dropped by retention, which drops all of it
        return row["actor"] is None and row["target"] is None and row["salt"] is None
    personal = json.loads(row["personal"])
    if (row["actor"], row["target"]) != (personal["actor"], personal["target"]):
        return False
    return bool(_commitment(row["salt"], personal) == row["commitment"])


def _row(row: Row) -> AuditRow:
    return AuditRow(
        id=row["id"],
        ts=row["ts"],
        action=row["action"],
        request_id=row["request_id"],
        public=json.loads(row["public"]),
        personal=json.loads(row["personal"]) if row["personal"] is not None else None,
        hash=row["hash"],
    )
