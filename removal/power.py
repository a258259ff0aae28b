"""Power levels: who may do what in a room, computed from its state events. Pure; nothing in them is believed blindly.

Used to authorise moderators, and to tell whether an account is the only admin of a room. Where the specification
leaves room, the reading is Synapse's, since Synapse is who enforces it; what can't be read never gives power.

Sources: Matrix client-server API, `m.room.power_levels`; room versions 10 (integers only), 11 (the creator is the
create event's sender) and 12 (creators stand above all levels).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

POWER_LEVELS = "m.room.power_levels"
CREATE = "m.room.create"
MEMBER = "m.room.member"

DEFAULT_ROOM_VERSION = "1"
"""The version of a room whose create event names none."""
DIRECT_ROOM_SIZE = 2
"""Rooms of so many joined members, or fewer, count as conversations that need no admin."""

_ROOM_ADMIN = 100
_LENIENT_VERSIONS = frozenset("123456789")
_CREATOR_FIELD_VERSIONS = _LENIENT_VERSIONS | {"10"}
_CREATORS_ABOVE_ALL = frozenset({"org.matrix.hydra.11"})  # version 12 under its name before it was stable
_DIGITS_MAX = 300


@dataclass(frozen=True, slots=True)
class Power:
    """The power levels of one room.

    Levels are integers of any size; `math.inf` is a creator's power in room version 12, and the level needed for
    something that nobody can do since its level can't be read.
    """

    room_version: str = DEFAULT_ROOM_VERSION
    creators: frozenset[str] = frozenset()
    """Who stands above all levels: empty below room version 12."""
    users: Mapping[str, int] = field(default_factory=dict)
    users_default: int = 0
    events: Mapping[str, float] = field(default_factory=dict)
    state_default: float = 0
    events_default: float = 0

    @classmethod
    def from_state(cls, events: Iterable[Mapping[str, Any]]) -> Power:
        """Reads the create event and the power levels out of a room's state; other events are passed over.

        Args:
            events: state events as the homeserver serves them (`type`, `state_key`, `sender`, `content`).
        """
        known = list(events)
        create = find_state(known, CREATE)
        if create is None:  # not a room's state at all: nobody may do anything
            return cls("", state_default=math.inf, events_default=math.inf)
        levels = find_state(known, POWER_LEVELS)
        version = room_version(create)
        creators = frozenset(_creators(create, version))
        if levels is None:
            # The room's very first moments: its creator has 100, and everything may be sent by everybody.
            founder = _founder(create, version)
            return cls(version, creators, {founder: _ROOM_ADMIN} if founder and not creators else {})
        content = _mapping(levels.get("content"))
        lenient = version in _LENIENT_VERSIONS
        users_default = _level(content.get("users_default"), lenient)
        return cls(
            room_version=version,
            creators=creators,
            users={
                user_id: level if level is not None else 0
                for user_id, raw in _mapping(content.get("users")).items()
                if is_user_id(user_id) and raw is not None
                for level in (_level(raw, lenient),)
            },
            users_default=users_default if users_default is not None else 0,
            events={
                kind: _needed(raw, lenient)
                for kind, raw in _mapping(content.get("events")).items()
                if raw is not None  # Synapse takes null for "not set"
            },
            state_default=_needed(content["state_default"], lenient)
            if content.get("state_default") is not None
            else 50,
            events_default=(
                _needed(content["events_default"], lenient) if content.get("events_default") is not None else 0
            ),
        )

    def of(self, user_id: str) -> float:
        """What power this user has, member or not; `math.inf` for a creator in room version 12."""
        if user_id in self.creators:
            return math.inf
        return self.users.get(user_id, self.users_default)

    def explicit(self) -> dict[str, float]:
        """Everybody who is named: by the power levels, or as a creator above them."""
        return {**self.users, **dict.fromkeys(self.creators, math.inf)}

    def needed_for_state(self, event_type: str) -> float:
        """The level that sending this state event needs."""
        return self.events.get(event_type, self.state_default)

    def needed_for_message(self, event_type: str) -> float:
        """The level that sending this kind of message needs."""
        return self.events.get(event_type, self.events_default)

    def is_admin(self, user_id: str) -> bool:
        """Whether this user may change the power levels, and so give power to others.

        A fixed 100 isn't asked for: rooms set this level higher or lower, and only it decides whether a room can still
        be looked after.
        """
        needed = self.needed_for_state(POWER_LEVELS)
        return user_id in self.creators or (math.isfinite(needed) and self.of(user_id) >= needed)


def sole_admin(events: Iterable[Mapping[str, Any]], user_id: str) -> bool:
    """Whether this account is the only joined member, local or remote, who may change the room's power levels.

    Always false for rooms of one or two joined members: nobody is left behind there who needs an admin, and in room
    version 12 the one who opened a direct message would count in each of them.

    Args:
        events: the room's state: `m.room.create`, `m.room.power_levels` and all `m.room.member`, others don't matter.
        user_id: the account in question.
    """
    known = list(events)
    return sole_admin_among(Power.from_state(known), joined_members(known), user_id)


def sole_admin_among(power: Power, joined: Iterable[str], user_id: str) -> bool:
    """Like `sole_admin`, where the joined members are known already."""
    members = set(joined)
    if len(members) <= DIRECT_ROOM_SIZE or user_id not in members or not power.is_admin(user_id):
        return False
    return not any(power.is_admin(other) for other in members if other != user_id)


def find_state(events: Iterable[Mapping[str, Any]], event_type: str, state_key: str = "") -> Mapping[str, Any] | None:
    """The state event of this type and state key, or None."""
    for event in events:
        if event.get("type") == event_type and event.get("state_key") == state_key:
            return event
    return None


def memberships(events: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The membership (`join`, `invite`, …) of everybody whom the room's state knows. What can't be read is left out."""
    found = {}
    for event in events:
        user_id, membership = event.get("state_key"), _mapping(event.get("content")).get("membership")
        if event.get("type") == MEMBER and is_user_id(user_id) and isinstance(membership, str):
            found[str(user_id)] = membership
    return found


def joined_members(events: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Who is joined."""
    return frozenset(user_id for user_id, membership in memberships(events).items() if membership == "join")


def room_version(create: Mapping[str, Any]) -> str:
    """The room version that a create event names; an empty string where it names something unreadable."""
    version = _mapping(create.get("content")).get("room_version", DEFAULT_ROOM_VERSION)
    return version if isinstance(version, str) else ""


def is_user_id(value: object) -> bool:
    """Whether this has the outline of a Matrix ID. Enough to tell who a state event is about, no more."""
    return isinstance(value, str) and value.startswith("@") and ":" in value


def _creators(create: Mapping[str, Any], version: str) -> list[str]:
    stable = version.isascii() and version.isdigit() and len(version) < 4 and int(version) >= 12
    if not stable and version not in _CREATORS_ABOVE_ALL:
        return []
    additional = _mapping(create.get("content")).get("additional_creators")
    named = [create.get("sender"), *(additional if isinstance(additional, list) else [])]
    return [user_id for user_id in named if is_user_id(user_id)]


def _founder(create: Mapping[str, Any], version: str) -> str | None:
    in_content = version in _CREATOR_FIELD_VERSIONS
    founder = _mapping(create.get("content")).get("creator") if in_content else create.get("sender")
    return str(founder) if is_user_id(founder) else None


def _needed(value: object, lenient: bool) -> float:
    level = _level(value, lenient)
    return math.inf if level is None else level


def _level(value: object, lenient: bool) -> int | None:
    """A level as Synapse takes it: an integer; below room version 10 all that Python's `int()` takes. None if neither.

    Booleans are integers to Python. From room version 10 on Synapse refuses them, before it takes them for 0 and 1.
    """
    if type(value) is int:
        return value
    if (
        not lenient
        or not isinstance(value, str | float | bool)
        or (isinstance(value, str) and len(value) > _DIGITS_MAX)
    ):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):  # "high", NaN, infinity
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
