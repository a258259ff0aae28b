"""What the stand-in for MAS keeps, and how its admin API shows it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid() -> str:
    """A new id: 48 bits of time, 80 of chance."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def now() -> str:
    """The time as MAS writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


Attributes = dict[str, Any]
Things = dict[str, Attributes]
"""Id → attributes, oldest first."""

KINDS = {
    "users": "user",
    "user-emails": "user-email",
    "upstream-oauth-links": "upstream-oauth-link",
    "upstream-oauth-providers": "upstream-oauth-provider",
    "compat-sessions": "compat-session",
    "oauth2-sessions": "oauth2-session",
    "user-sessions": "user-session",
    "personal-sessions": "personal-session",
}
"""The path of a list → the type that its things are called by."""
SESSIONS = ("compat-sessions", "oauth2-sessions", "user-sessions", "personal-sessions")
ENDS = {kind: "revoked_at" if kind == "personal-sessions" else "finished_at" for kind in SESSIONS}


@dataclass
class Token:
    """An access token and what it belongs to."""

    scope: str
    until: float
    kind: str = ""
    session_id: str = ""
    user_id: str = ""
    device_id: str = ""


@dataclass
class Records:
    """Everything."""

    things: dict[str, Things] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    tokens: dict[str, Token] = field(default_factory=dict)

    def add(self, kind: str, **attributes: Any) -> str:
        """Keeps a new thing; returns its id."""
        identifier = ulid()
        self.things[kind][identifier] = {"created_at": now(), **attributes}
        return identifier

    def by_name(self, username: str) -> str | None:
        """The id of the account of this name; upper and lower case don't matter."""
        users = self.things["users"].items()
        return next((i for i, user in users if user["username"].lower() == username.lower()), None)

    def active(self, kind: str, user_id: str) -> list[str]:
        """The ids of an account's sessions of this kind that aren't over."""
        owners = ("owner_user_id", "actor_user_id") if kind == "personal-sessions" else ("user_id",)
        return [
            identifier
            for identifier, session in self.things[kind].items()
            if session.get(ENDS[kind]) is None and any(session.get(owner) == user_id for owner in owners)
        ]

    def end_sessions(self, user_id: str) -> None:
        """Ends all of an account's sessions."""
        for kind in SESSIONS:
            for identifier in self.active(kind, user_id):
                self.things[kind][identifier][ENDS[kind]] = now()

    def devices(self, user_id: str) -> list[str]:
        """The devices that an account's sessions belong to."""
        compat, oauth2 = self.things["compat-sessions"], self.things["oauth2-sessions"]
        found = [compat[i]["device_id"] for i in self.active("compat-sessions", user_id)]
        return found + [
            word.rpartition(":")[2]
            for i in self.active("oauth2-sessions", user_id)
            for word in oauth2[i]["scope"].split()
            if ":device:" in word
        ]


def shown(kind: str, identifier: str, attributes: Attributes) -> dict[str, Any]:
    """One thing, in the envelope of JSON:API."""
    return {
        "type": KINDS[kind],
        "id": identifier,
        "attributes": attributes,
        "links": {"self": f"/api/admin/v1/{kind}/{identifier}"},
    }


def single(kind: str, identifier: str, attributes: Attributes, path: str) -> dict[str, Any]:
    """An answer about one thing."""
    return {"data": shown(kind, identifier, attributes), "links": {"self": path}}


def page(kind: str, found: Things, path: str, first: int, after: str) -> dict[str, Any]:
    """A part of a list: at most `first` of what comes behind `after`."""
    later = [identifier for identifier in found if identifier > after]
    part = later[:first]
    links = {"self": path, "first": f"{path}?page[first]={first}", "last": f"{path}?page[last]={first}"}
    if len(later) > first:
        links["next"] = f"{path}?page[after]={part[-1]}&page[first]={first}"
    data = [{**shown(kind, i, found[i]), "meta": {"page": {"cursor": i}}} for i in part]
    return {"meta": {"count": len(found)}, "data": data, "links": links}


def errors(title: str) -> dict[str, Any]:
    """An error of the admin API."""
    return {"errors": [{"title": title}]}
