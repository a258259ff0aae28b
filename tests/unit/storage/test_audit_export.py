"""The audit as a file that other programs read."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from storage.audit import AuditRow
from storage.audit_export import export

PERSONAL = {"actor": "@moderator:example.org", "target": "@spammer:example.org", "why": 'said "buy", and\nleft'}


def row(personal: dict[str, Any] | None) -> AuditRow:
    """A row of the audit."""
    return AuditRow(id=3, ts=10, action="StepDone", request_id=7, public={"step": "wait"}, personal=personal, hash="ab")


def test_json_lines_hold_one_row_each() -> None:
    """Line breaks inside a text don't break a line; what retention dropped is null."""
    lines = export([row(PERSONAL), row(None)], "jsonl").splitlines()
    first, second = map(json.loads, lines)
    assert first == {
        "id": 3, "ts": 10, "action": "StepDone", "request": "R7", **PERSONAL, "details": {"step": "wait"}, "hash": "ab",
    }  # fmt: skip
    assert (second["actor"], second["target"], second["why"]) == (None, None, None)


def test_csv_is_read_back_by_its_names() -> None:
    """A header, once, and cells that hold commas, quotes and line breaks."""
    text = export([row(PERSONAL)], "csv") + export([row(None)], "csv", header=False)
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["why"], first["request"], first["details"]) == (PERSONAL["why"], "R7", '{"step": "wait"}')
    assert (second["actor"], second["hash"]) == ("", "ab")


@pytest.mark.parametrize("why", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＠SUM(A1)"])
def test_no_cell_is_a_formula(why: str) -> None:
    """A reason that somebody wrote for whoever opens the file in a spreadsheet stays text."""
    (read,) = csv.DictReader(io.StringIO(export([row({**PERSONAL, "why": why})], "csv")))
    assert read["why"].startswith("'")
    assert read["actor"].startswith("'@")


@pytest.mark.parametrize("why", ["x;=1+1", "x; @SUM(A1)", "x\t=1", "x|+1", "x\n-1", "@x;=1"])
def test_no_cell_hides_a_formula(why: str) -> None:
    """Where a spreadsheet takes another sign than the comma for the end of a cell, what it finds inside stays text."""
    (read,) = csv.DictReader(io.StringIO(export([row({**PERSONAL, "why": why})], "csv")))
    for cell in re.split(r"[;|\t\n]", read["why"])[1:]:
        assert cell.strip().startswith("'")
