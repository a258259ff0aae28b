"""A wave's accounts as CSV: the list that is decided on, and what became of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
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
    rows = []
    after = ""
    while True:
        async with context.units.database.transaction(only_reading=True) as tx:
            page = await waves.members(tx, wave.id, limit=PAGE, after=after)
        if not page:
            break
        after = page[-1].user_id
        rows += [_listed(member) for member in page]
    name = f"{wave.reference}-list-{wave.round}.csv"
    return await upload(context, context.bot_id, _csv(_LIST, rows), name, "text/csv", encrypted=encrypted)


async def outcome_file(context: Context, wave: Wave, *, encrypted: bool) -> dict[str, Any]:
    """Uploads what became of each account; returns the message that shows it. Raises: HomeserverError."""
    rows = []
    after = ""
    while True:
        async with context.units.database.transaction(only_reading=True) as tx:
            page = await waves.requests_of(tx, wave.id, after, PAGE)
        if not page:
            break
        after = page[-1][0].user_id
        rows += [_outcome(member, request) for member, request in page]
    name = f"{wave.reference}-outcome.csv"
    return await upload(context, context.bot_id, _csv(_OUTCOME, rows), name, "text/csv", encrypted=encrypted)


def _listed(member: Member) -> dict[str, object]:
    facts = member.detail.get("facts", {})
    return {
        "user_id": member.user_id,
        "decision": {"waiting": "to be removed"}.get(member.state, member.state),
        "because": member.detail.get("because", ""),
        "displayname": facts.get("displayname", ""),
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


def _csv(columns: Sequence[str], rows: Sequence[dict[str, object]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: harmless(value) for key, value in row.items()})
    return out.getvalue().encode()


def _time(ts: int | None) -> str:
    return "" if ts is None else f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
