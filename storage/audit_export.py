"""The audit as a file: JSON Lines or CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable

from removal.ids import reference
from storage.audit import AuditRow

FORMATS = ("jsonl", "csv")
_FIELDS = ("id", "ts", "action", "request", "actor", "target", "why", "details", "hash")


def export(rows: Iterable[AuditRow], form: str, *, header: bool = True) -> str:
    """Rows as JSON Lines (`jsonl`) or CSV (`csv`), in the order given. Times are milliseconds since 1970."""
    if form == "jsonl":
        return "".join(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, _FIELDS)
    if header:
        writer.writeheader()
    for row in rows:
        plain = _plain(row)
        plain["details"] = json.dumps(plain["details"], ensure_ascii=False)
        writer.writerow({key: harmless(value) for key, value in plain.items()})
    return out.getvalue()


def _plain(row: AuditRow) -> dict[str, object]:
    personal = row.personal or {}
    return {
        "id": row.id,
        "ts": row.ts,
        "action": row.action,
        "request": reference(row.request_id) if row.request_id else None,
        "actor": personal.get("actor"),
        "target": personal.get("target"),
        "why": personal.get("why"),
        "details": row.public,
        "hash": row.hash,
    }


_FORMULA = re.compile(r"^(?=[=+\-@\t\r\n＝＋－＠])")
_FORMULA_INSIDE = re.compile(r"([;|\t\r\n]\s*)(?=[=+\-@＝＋－＠])")


def harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: Matrix IDs begin with @, which some do.

    One that reads `;` or a tab as the end of a cell, as it does in some countries, finds cells inside of this one.

    Source: OWASP, "CSV Injection".
    """
    if not isinstance(value, str):
        return value
    return _FORMULA.sub("'", _FORMULA_INSIDE.sub(r"\1'", value))
