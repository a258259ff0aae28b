"""The audit: append-only rows, chained by hash.

A row's hash covers the hash before it, its public fields, and a salted commitment to its personal fields. Retention
may drop the personal values and the salt; the commitment stays, and with it the chain. It may also remove the oldest
rows: the chain then begins at the hash of the last one that was removed, which a row of the chain itself names. What a
chain can't show by itself is that rows were cut off its end: for that, compare with a head that was posted elsewhere
(each receipt carries one).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from removal.audit_action import AuditAction
from storage import meta
from storage.database import Row, Transaction

GENESIS = "0" * 64
BEGINS = "audit.begins"
"""In `meta`: id and hash of the last row that retention removed."""


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
    removed: int = 0
    """Rows that retention removed before the first one that is left."""


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _readable(value: dict[str, Any]) -> str:
    """As it is stored: for whoever looks into the file with another program."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _commitment(salt: str, personal: dict[str, Any]) -> str:
    return hashlib.sha256(salt.encode() + b"\n" + _canonical(personal)).hexdigest()


def _hash(before: str, ts: int, action: str, request_id: int | None, public: dict[str, Any], commitment: str) -> str:
    return hashlib.sha256(_canonical([before, ts, action, request_id, public, commitment])).hexdigest()


async def head(tx: Transaction) -> str:
    """The hash of the newest row, or of the last one that retention removed where none is left."""
    row = await tx.one("SELECT hash FROM audit ORDER BY id DESC LIMIT 1")
    return str(row["hash"]) if row else (await _begins(tx))[1]


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
        _readable(public),
        _readable(personal),
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
    newest_first = after_id is None
    order = "DESC" if newest_first else "ASC"
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
        chosen = sorted(found, reverse=newest_first)[:limit]
        within = "id IN (SELECT value FROM json_each(?))"
        rows = await _select(tx, "*", [(within, json.dumps(chosen))], f"id {order}", limit)
    return [_row(row) for row in rows]


async def has_begun(tx: Transaction, action: AuditAction, actor: str, event_id: str) -> bool:
    """Whether there is a row of this kind about what somebody asked for in this event."""
    row = await tx.one(
        "SELECT 1 FROM audit WHERE actor = ? AND action = ? AND json_extract(public, '$.event_id') = ? LIMIT 1",
        actor,
        action,
        event_id,
    )
    return row is not None


async def commands_since(tx: Transaction, action: AuditAction, actor: str, since_ts: int) -> list[str]:
    """The commands (the public field `command`) of somebody's rows of this kind since then."""
    rows = await tx.all(
        "SELECT json_extract(public, '$.command') AS command FROM audit WHERE actor = ? AND action = ? AND ts >= ?",
        actor,
        action,
        since_ts,
    )
    return [str(row["command"]) for row in rows]


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


async def first_needed(tx: Transaction) -> int | None:
    """The first row about a request that is still here, or since an open wave was asked for: its rows name no request.

    Reads all requests: for once a day.
    """
    (row,) = await tx.all(
        "SELECT MIN(id) AS id FROM ("
        "SELECT MIN(audit.id) AS id FROM requests JOIN audit ON audit.request_id = requests.id UNION ALL "
        "SELECT MIN(id) FROM audit WHERE ts >= (SELECT MIN(created_ts) FROM waves WHERE open = 1))"
    )
    first: int | None = row["id"]
    return first


async def shorten(tx: Transaction, before_ts: int, needed: int | None, now: int, limit: int) -> int:
    """Retention: removes rows from the beginning; returns how many. A new row says where the chain begins now.

    Args:
        before_ts: only rows older than this.
        needed: only rows before this one.
        limit: at most so many.
    """
    last: Row | None = None
    for row in await tx.all("SELECT id, ts, hash FROM audit WHERE id > 0 ORDER BY id LIMIT ?", limit):
        if row["ts"] >= before_ts or (needed is not None and row["id"] >= needed):
            break
        last = row
    if last is None:
        return 0
    removed = await tx.run("DELETE FROM audit WHERE id <= ?", last["id"])
    await meta.put(tx, BEGINS, json.dumps([last["id"], last["hash"]]))
    await append(tx, now, AuditAction.AUDIT_SHORTENED, removed_to=last["id"], hash=last["hash"])
    return removed


async def verify(tx: Transaction, expected_head: str | None = None) -> Verdict:
    """Follows the whole chain. Detects an altered, inserted or missing row; with a head also a cut-off end."""
    begins = await _begins(tx)
    removed, before = begins
    found = None if expected_head is None else expected_head == before
    count, after, named = 0, 0, (0, GENESIS)
    while True:
        rows = await tx.all("SELECT * FROM audit WHERE id > ? ORDER BY id LIMIT 5000", after)
        if not rows:
            return Verdict(count, before, None if named == begins else removed + 1, found, removed)
        for row in rows:
            count += 1
            after = int(row["id"])
            # Ids leave no gap: what was rolled back gave its number back.
            if after != removed + count or not _fits(row, before):
                return Verdict(count, before, after, found, removed)
            if row["action"] == AuditAction.AUDIT_SHORTENED:
                public = json.loads(row["public"])
                named = (public.get("removed_to"), public.get("hash"))
            before = row["hash"]
            found = found or (before == expected_head if expected_head is not None else None)


async def _begins(tx: Transaction) -> tuple[int, str]:
    """Id and hash of the last row that was removed; 0 and the hash before the first one where none was."""
    stored = await meta.get(tx, BEGINS)
    if stored is None:
        return 0, GENESIS
    row_id, digest = json.loads(stored)
    return int(row_id), str(digest)


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
