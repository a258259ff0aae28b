"""What the model knows: accounts, rooms, and events in the order in which they came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """The homeserver answers an error.

    Args:
        status: the HTTP status.
        errcode: Matrix' code.
        error: in words.
    """

    def __init__(self, status: int, errcode: str, error: str = "") -> None:
        super().__init__(f"{status} {errcode} {error}")
        self.status = status
        self.body: Json = {"errcode": errcode, "error": error}


@dataclass
class File:
    """One uploaded file."""

    media_id: str
    created_ts: int
    quarantined_by: str | None = None
    safe_from_quarantine: bool = False


@dataclass
class Account:
    """One local account."""

    user_id: str
    created_ts: int
    displayname: str | None
    admin: bool = False
    deactivated: bool = False
    erased: bool = False
    suspended: bool = False
    locked: bool = False
    shadow_banned: bool = False
    devices: list[str] = field(default_factory=list)
    threepids: list[Json] = field(default_factory=list)
    external_ids: list[Json] = field(default_factory=list)
    pushers: int = 0
    account_data: Json = field(default_factory=dict)
    files: list[File] = field(default_factory=list)

    def shown(self) -> Json:
        """As `GET v2/users/{user_id}` shows it."""
        return {
            "name": self.user_id,
            "displayname": self.displayname,
            "avatar_url": None,
            "admin": self.admin,
            "deactivated": self.deactivated,
            "erased": self.erased,
            "suspended": self.suspended,
            "locked": self.locked,
            "shadow_banned": self.shadow_banned,
            "is_guest": False,
            "appservice_id": None,
            "user_type": None,
            "creation_ts": self.created_ts // 1000,
            "last_seen_ts": None,
            "threepids": [dict(each) for each in self.threepids],
            "external_ids": [dict(each) for each in self.external_ids],
        }


@dataclass
class Event:
    """One event. `position` is its place in the order of all events of the server."""

    position: int
    event_id: str
    room_id: str
    sender: str
    type: str
    content: Json
    ts: int
    state_key: str | None = None
    redacts: str | None = None
    redacted: bool = False
    prev_content: Json | None = None
    replaces_state: str | None = None
    txn_id: str = ""

    def shown(self) -> Json:
        """As the client API shows it."""
        shown: Json = {
            "event_id": self.event_id,
            "room_id": self.room_id,
            "sender": self.sender,
            "type": self.type,
            "content": self.content,
            "origin_server_ts": self.ts,
        }
        if self.state_key is not None:
            shown["state_key"] = self.state_key
        if self.redacts is not None:
            shown["redacts"] = self.redacts
        if self.prev_content is not None:
            shown["unsigned"] = {"prev_content": self.prev_content, "replaces_state": self.replaces_state}
        return shown

    @property
    def membership(self) -> str:
        return str(self.content.get("membership", "leave"))

    def annotates(self, event_id: str) -> bool:
        """Whether this is a reaction that stands under another event."""
        relation = self.content.get("m.relates_to", {})
        return self.type == "m.reaction" and not self.redacted and bool(relation.get("event_id") == event_id)


@dataclass
class Room:
    """One room. `left` keeps what those who left still may see of its state."""

    room_id: str
    version: str
    timeline: list[Event] = field(default_factory=list)
    state: dict[tuple[str, str], Event] = field(default_factory=dict)
    left: dict[str, dict[tuple[str, str], Event]] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)

    def membership(self, user_id: str) -> str:
        event = self.state.get(("m.room.member", user_id))
        return event.membership if event else "leave"

    def with_membership(self, *memberships: str) -> list[str]:
        """Who has one of these memberships, in the order in which they came."""
        members = [(e.position, key) for (kind, key), e in self.state.items() if kind == "m.room.member"]
        return [user_id for _, user_id in sorted(members) if self.membership(user_id) in memberships]

    def content(self, event_type: str) -> Json:
        event = self.state.get((event_type, ""))
        return event.content if event else {}

    @property
    def creators(self) -> set[str]:
        """Who stands above all levels, from room version 12 on."""
        if int(self.version) < 12:
            return set()
        create = self.state["m.room.create", ""]
        return {create.sender, *create.content.get("additional_creators", [])}

    def power(self, user_id: str) -> float:
        if user_id in self.creators:
            return float("inf")
        levels = self.content("m.room.power_levels")
        return float(levels.get("users", {}).get(user_id, levels.get("users_default", 0)))

    def event(self, event_id: str) -> Event | None:
        return next((event for event in self.timeline if event.event_id == event_id), None)


@dataclass
class Task:
    """Something that Synapse does in the background."""

    task_id: str
    action: str
    resource_id: str
    ts: int
    status: str = "scheduled"
    rooms: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def shown(self) -> Json:
        return {
            "id": self.task_id,
            "action": self.action,
            "status": self.status,
            "timestamp_ms": self.ts,
            "resource_id": self.resource_id,
            "result": {"failed_redactions": self.failed} if self.status == "complete" else None,
            "error": None,
        }
