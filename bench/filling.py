"""A bot's database with years of work in it: ended requests, their messages, and an audit whose chain holds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from removal.plan import Kind, Options, Step, proofs_for, steps_for
from removal.request import Request, State, StepRecord, StepState
from storage import audit

START_TS = 1_700_000_000_000
MODERATOR = "@moderator:lethe.test"
ROOM = "!admins:lethe.test"
STEP_MS = 1_000


def ended(number: int) -> Request:
    """One removal that was done long ago, whole, with every step's answer."""
    options = Options(erase=True)
    now = START_TS + number * 10 * STEP_MS
    request = Request(
        id=number,
        kind=Kind.MODERATION,
        requester_id=MODERATOR,
        target_id=target(number),
        room_id=ROOM,
        command_event_id=f"$command{number}",
        created_ts=now,
        expires_ts=now + 600_000,
        state=State.DONE,
        options=options,
        reason="spam",
        confirmer_id=MODERATOR,
        confirmed_ts=now + STEP_MS,
        started_ts=now + STEP_MS,
        ended_ts=now + 9 * STEP_MS,
        version=20,
    )
    proofs = {"proofs": {proof.value: True for proof in proofs_for(options)}}
    steps = [
        StepRecord(
            step,
            StepState.DONE,
            attempts=1,
            started_ts=now + STEP_MS,
            ended_ts=now + 2 * STEP_MS,
            answer=proofs if step is Step.VERIFY else {"rooms": ["!room:lethe.test"] * 5, "room_count": 5},
        )
        for step in steps_for(Kind.MODERATION, options)
    ]
    return replace(request, steps=tuple(steps))


def target(number: int) -> str:
    """The account that an old request was about."""
    return f"@spammer{number}:lethe.test"


def fill(path: Path, requests: int, audit_rows: int) -> None:
    """Puts old requests, three messages for each, and audit rows into a database that the bot has made."""
    with closing(sqlite3.connect(path)) as database:
        (first,) = database.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM requests").fetchone()
        numbers = range(first, first + requests)
        database.executemany(
            "INSERT INTO requests (id, kind, state, open, requester_id, target_id, room_id, created_ts, confirmed_ts, "
            "wake_ts, version, data) VALUES (?, 'moderation', 'done', 0, ?, ?, ?, ?, ?, NULL, 20, ?)",
            (
                (r.id, r.requester_id, r.target_id, r.room_id, r.created_ts, r.confirmed_ts, json.dumps(r.to_dict()))
                for r in map(ended, numbers)
            ),
        )
        database.executemany(
            "INSERT INTO outbox (txn_id, room_id, request_id, purpose, event_type, status, attempts, created_ts, "
            "not_before_ts, event_id) VALUES (?, ?, ?, ?, 'm.room.message', 'sent', 1, ?, ?, ?)",
            (
                (f"old.{number}.{what}", ROOM, number, what, START_TS, START_TS, f"$sent.{number}.{what}")
                for number in numbers
                for what in ("card", "card.edit.20", "done.20")
            ),
        )
        database.executemany(
            "INSERT INTO audit (id, ts, action, request_id, actor, target, public, personal, salt, commitment, hash) "
            "VALUES (?, ?, 'StepDone', ?, ?, ?, ?, ?, ?, ?, ?)",
            _rows(database, numbers, audit_rows),
        )
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _rows(database: sqlite3.Connection, numbers: range, count: int) -> Iterator[tuple[object, ...]]:
    """Rows that go on with the chain where it ends."""
    last = database.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    number, before = last or (0, audit.GENESIS)
    public = {"step": "deactivate", "state": "running"}
    for position in range(count):
        number += 1
        request_id = numbers[position % len(numbers)] if numbers else None
        personal = {"actor": MODERATOR, "target": target(request_id or 0), "why": ""}
        salt = f"{number:032x}"
        ts = START_TS + position * 10
        sealed = audit._commitment(salt, personal)
        before = audit._hash(before, ts, "StepDone", request_id, public, sealed)
        yield (
            number, ts, request_id, personal["actor"], personal["target"], json.dumps(public), json.dumps(personal),
            salt, sealed, before,
        )  # fmt: skip
