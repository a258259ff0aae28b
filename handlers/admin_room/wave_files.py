"""A wave's accounts as CSV: the list that is decided on, and what became of each."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from handlers.context import Context
from handlers.upload import upload
from removal.ids import reference
from removal.request import Request
from removal.wave import Wave
from storage import waves
from storage.audit_export import harmless
from storage.waves import Member

PAGE = 1000

_LIST = ("user_id", "decision", "because", "displayname", "created", "last_seen", "rooms", "third_party_ids", "sso")
_OUTCOME = ("user_id", "request", "outcome", "because", "proofs_held", "proofs_missing", "began", "ended", "steps")


async def list_file(context: Context, wave: Wave, *, encrypted: bool) -> dict[str, Any]:
    """Uploads the list; returns the message that shows it. Raises: HomeserverError."""
    table = _Table(_LIST)
    after = ""
    while True:
        async with context.units.database.transaction(only_reading=True) as tx:
            page = await waves.members(tx, wave.id, limit=PAGE, after=after)
        if not page:
            break
        after = page[-1].user_id
        table.add(map(_listed, page))
    return await _uploaded(context, table, f"{wave.reference}-list-{wave.round}.csv", encrypted=encrypted)


async def outcome_file(context: Context, wave: Wave, *, encrypted: bool) -> dict[str, Any]:
    """Uploads what became of each account; returns the message that shows it. Raises: HomeserverError."""
    table = _Table(_OUTCOME)
    after = ""
    while True:
        async with context.units.database.transaction(only_reading=True) as tx:
            page = await waves.requests_of(tx, wave.id, after, PAGE)
        if not page:
            break
        after = page[-1][0].user_id
        table.add(_outcome(member, request) for member, request in page)
    return await _uploaded(context, table, f"{wave.reference}-outcome.csv", encrypted=encrypted)


async def _uploaded(context: Context, table: _Table, name: str, *, encrypted: bool) -> dict[str, Any]:
    # Reserved for this very file: of two that are uploaded at the same time, neither takes the other's place.
    what_for = f"{name} {secrets.token_hex(4)}"
    return await upload(context, what_for, table.data(), name, "text/csv", encrypted=encrypted)


def _listed(member: Member) -> dict[str, object]:
    facts = member.detail.get("facts", {})
    return {
        "user_id": member.user_id,
        "decision": {"waiting": "to be removed"}.get(member.state, member.state),
        "because": member.detail.get("because", ""),
        "displayname": " ".join(str(facts.get("displayname") or "").split()),  # one row stays one line
        "created": _time(facts.get("created_ts")),
        "last_seen": _time(facts.get("last_seen_ts")),
        "rooms": facts.get("rooms", 0) if facts else "",
        "third_party_ids": len(facts.get("threepids", ())) if facts else "",
        "sso": " ".join(facts.get("sso_providers", ())),
    }


def _outcome(member: Member, request: Request | None) -> dict[str, object]:
    if request is None:
        because = member.detail.get("because", "")
        return {"user_id": member.user_id, "outcome": member.state, "because": because}
    failed = next((record for record in request.steps if record.cause), None)
    proofs = request.proofs
    return {
        "user_id": member.user_id,
        "request": reference(request.id),
        "outcome": request.state.value,
        "because": request.ended_because or (f"{failed.step}: {failed.cause}" if failed else ""),
        "proofs_held": " ".join(proof.value for proof, held in proofs if held),
        "proofs_missing": " ".join(proof.value for proof, held in proofs if not held),
        "began": _time(request.started_ts),
        "ended": _time(request.ended_ts),
        "steps": " ".join(f"{record.step}={record.state}" for record in request.steps),
    }


class _Table:
    """Rows of CSV, as they come: all of them at once as values would take ten times the room."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._text = io.StringIO()
        self._writer = csv.DictWriter(self._text, columns, restval="")
        self._writer.writeheader()

    def add(self, rows: Iterable[dict[str, object]]) -> None:
        for row in rows:
            self._writer.writerow({key: harmless(value) for key, value in row.items()})

    def data(self) -> bytes:
        """The file."""
        return self._text.getvalue().encode()


def _time(ts: int | None) -> str:
    return "" if ts is None else f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
