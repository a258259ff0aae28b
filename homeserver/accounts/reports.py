"""What people reported, as Synapse's admin API lists it. Reads only; MAS or not, the reports are Synapse's.

Every method raises `homeserver.client.api.HomeserverError`.
Source: Synapse admin API, event_reports and user_reports (paths stand with each method).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field

from homeserver.accounts.models import Answer, read
from homeserver.client.api import Api, NotFound

PAGE = 100
"""Reports asked for at once."""


class ReportKind(StrEnum):
    """The two lists; the values are the last part of their paths."""

    ACCOUNT = "user_reports"
    EVENT = "event_reports"


@dataclass(frozen=True, slots=True)
class Report:
    """One report. Every text in it is a stranger's."""

    kind: ReportKind
    id: int
    target_id: str
    """The account itself, or the sender of what was reported."""
    reporter_id: str
    reason: str
    received_ts: int
    """In milliseconds since 1970."""
    room_id: str = ""
    room_name: str = ""
    text: str = ""
    """What was said, where it can be read."""


class _Line(Answer):
    id: int
    received_ts: int
    user_id: str
    reason: str | None = None
    target_user_id: str | None = None
    sender: str | None = None
    room_id: str | None = None
    name: str | None = None
    canonical_alias: str | None = None


class _Page(Answer):
    total: int
    user_reports: list[_Line] = Field(default_factory=list)
    event_reports: list[_Line] = Field(default_factory=list)


class _Detail(Answer):
    event_json: Mapping[str, Any] = Field(default_factory=dict)


class Reports:
    """The two lists.

    Args:
        api: with the token of a server admin.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def page(self, kind: ReportKind, start: int) -> tuple[list[Report], int] | None:
        """A piece of a list, the newest first, and how many there are: `GET v1/user_reports`, `GET v1/event_reports`.

        Args:
            start: how many newer ones are left out.

        Returns:
            None where this Synapse has no such list.
        """
        try:
            answer = await self._api.call(
                "GET",
                "/_synapse/admin/v1/" + kind.value,
                params={"from": start, "limit": PAGE, "dir": "b"},
            )
        except NotFound:
            return None
        page = read(_Page, "the list of reports", answer)
        lines = page.user_reports if kind is ReportKind.ACCOUNT else page.event_reports
        return [_report(kind, line) for line in lines], page.total

    async def text(self, report: Report) -> str:
        """What the reported message says; empty where it can't be read: `GET v1/event_reports/{report_id}`."""
        if report.kind is ReportKind.ACCOUNT:
            return ""
        try:
            answer = await self._api.call("GET", "/_synapse/admin/v1/event_reports/{}", str(report.id))
        except NotFound:
            return ""
        content = read(_Detail, "a report", answer).event_json.get("content")
        body = content.get("body") if isinstance(content, Mapping) else None
        return body if isinstance(body, str) else ""


def _report(kind: ReportKind, line: _Line) -> Report:
    return Report(
        kind,
        line.id,
        (line.target_user_id if kind is ReportKind.ACCOUNT else line.sender) or "",
        line.user_id,
        line.reason or "",
        line.received_ts,
        line.room_id or "",
        line.name or line.canonical_alias or "",
    )
