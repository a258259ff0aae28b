"""A room as the homeserver knows it: read anew whenever somebody is authorised, never guessed from what a sync brought.

Sources: Matrix client-server API (paths stand with each method).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from homeserver.client.api import Api, BadAnswer, Forbidden, NotFound
from removal.power import CREATE, Power, find_state, memberships

REACTIONS_MAX = 10_000
"""More reactions than these on one event are not read."""
_PAGE = 100
_LOOK_BACK = 50
"""So many state events are followed back at most."""
_STATE_TIMEOUT = 120.0  # seconds; the state of a room with a hundred thousand members takes a while


@dataclass(frozen=True, slots=True)
class RoomState:
    """The state of one room. Hostile members may have written any of it: every field has a safe reading."""

    levels: Power = field(default_factory=Power)
    members: Mapping[str, str] = field(default_factory=dict)
    """Matrix ID → membership (`join`, `invite`, `knock`, `leave`, `ban`)."""
    name: str | None = None
    encrypted: bool = False
    """Whether an encryption event is there at all: what it says doesn't matter, it can't be turned off."""
    join_rule: str = "invite"
    guest_access: str = "forbidden"
    history_visibility: str = "shared"
    tombstoned: bool = False
    replacement: str | None = None
    """The room that a tombstone points to. Anybody with the power may have written anything there."""
    predecessor: str | None = None
    """The room that this one says it replaces."""

    @classmethod
    def from_events(cls, events: Iterable[Mapping[str, Any]]) -> RoomState:
        """Reads a room's state events, as the homeserver serves them."""
        known = [event for event in events if isinstance(event, Mapping)]
        tombstone = find_state(known, "m.room.tombstone")
        predecessor = _content(known, CREATE).get("predecessor")
        return cls(
            levels=Power.from_state(known),
            members=memberships(known),
            name=_text(_content(known, "m.room.name").get("name")),
            encrypted=find_state(known, "m.room.encryption") is not None,
            join_rule=_text(_content(known, "m.room.join_rules").get("join_rule")) or "invite",
            guest_access=_text(_content(known, "m.room.guest_access").get("guest_access")) or "forbidden",
            history_visibility=(
                _text(_content(known, "m.room.history_visibility").get("history_visibility")) or "shared"
            ),
            tombstoned=tombstone is not None,
            replacement=_text(_content(known, "m.room.tombstone").get("replacement_room")),
            predecessor=_text(predecessor.get("room_id")) if isinstance(predecessor, Mapping) else None,
        )

    @property
    def room_version(self) -> str:
        """Such as `11`; an empty string where the create event can't be read."""
        return self.levels.room_version

    @property
    def creators(self) -> frozenset[str]:
        """Who stands above all levels (room version 12 and later); empty before."""
        return self.levels.creators

    @property
    def users_default(self) -> int:
        """The power of everybody who isn't named."""
        return self.levels.users_default

    @property
    def explicit_powers(self) -> dict[str, float]:
        """Everybody who is named, joined or not; creators of room version 12 with `math.inf`."""
        return self.levels.explicit()

    def power(self, user_id: str) -> float:
        """This user's power, whether joined or not; `math.inf` for a creator in room version 12."""
        return self.levels.of(user_id)

    def membership(self, user_id: str) -> str:
        """This user's membership; `leave` for everybody whom the room never saw."""
        return self.members.get(user_id, "leave")

    def joined(self) -> frozenset[str]:
        """Who is joined now."""
        return self._with("join")

    def invited(self) -> frozenset[str]:
        """Who is invited now and hasn't answered."""
        return self._with("invite")

    def _with(self, membership: str) -> frozenset[str]:
        return frozenset(user_id for user_id, found in self.members.items() if found == membership)


class Reaction(NamedTuple):
    """One reaction on an event. `key` is exactly what was sent: with or without variation selectors, any text."""

    sender: str
    key: str
    event_id: str
    origin_server_ts: int


class Rooms:
    """Reads rooms through the client API, with the rights of the account that the token belongs to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def state(self, room_id: str) -> RoomState:
        """The room's state now: `GET /_matrix/client/v3/rooms/{roomId}/state`.

        Raises:
            Forbidden: this account isn't in the room.
            HomeserverError: as in homeserver.client.api.
        """
        events = await self._api.call_list("GET", "/_matrix/client/v3/rooms/{}/state", room_id, timeout=_STATE_TIMEOUT)
        if find_state(events, CREATE) is None:
            raise BadAnswer(f"the state of {room_id!r} has no create event")
        return RoomState.from_events(events)

    async def display_name(self, room_id: str, user_id: str) -> str | None:
        """A member's display name in a room: `GET /_matrix/client/v3/rooms/{roomId}/state/m.room.member/{userId}`.

        Returns:
            None where there is none, or it can't be seen.

        Raises:
            HomeserverError: as in homeserver.client.api.
        """
        path = "/_matrix/client/v3/rooms/{}/state/m.room.member/{}"
        try:
            return _text((await self._api.call("GET", path, room_id, user_id)).get("displayname"))
        except (Forbidden, NotFound):
            return None

    async def lead_to_each_other(self, one: str, other: str) -> bool:
        """Whether one of two rooms says that the other takes its place, by a tombstone or as its predecessor.

        Only what can be read counts: False where this account is in neither room. Raises: HomeserverError.
        """
        for room_id, named in ((one, other), (other, one)):
            try:
                state = await self.state(room_id)
            except Forbidden:
                continue
            if named in (state.replacement, state.predecessor):
                return True
        return False

    async def readers(self, room_id: str, user_id: str) -> list[str]:
        """Who can read what is sent now: who is joined, and whom this account invited itself, who reads it once they
        come.

        `GET /_matrix/client/v3/rooms/{roomId}/members`.

        Args:
            user_id: this account.

        Raises:
            HomeserverError: as in homeserver.client.api.
        """
        path = "/_matrix/client/v3/rooms/{}/members"
        answer = await self._api.call("GET", path, room_id, params={"not_membership": "leave"}, timeout=_STATE_TIMEOUT)
        chunk = answer.get("chunk")
        if not isinstance(chunk, list):
            raise BadAnswer(f"the answer to a question for the members of {room_id!r} has no list of events")
        events = [event for event in chunk if isinstance(event, Mapping)]
        own = [event for event in events if event.get("sender") == user_id]
        invited = {invitee for invitee, membership in memberships(own).items() if membership == "invite"}
        return [member for member, found in memberships(events).items() if found == "join" or member in invited]

    async def open_direct(self, user_id: str, name: str) -> str:
        """Opens an encrypted direct message with somebody, and returns its id: `POST /_matrix/client/v3/createRoom`.

        Args:
            name: the room's, which the invitation shows; it isn't encrypted.

        Raises:
            HomeserverError: it didn't work, or isn't known to have; then there may be a room in vain.
        """
        encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        no_guests = {"type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "forbidden"}}
        body = {
            "preset": "private_chat",
            "is_direct": True,
            "name": name,
            "invite": [user_id],
            "initial_state": [encryption, no_guests],
        }
        answer = await self._api.call("POST", "/_matrix/client/v3/createRoom", json=body, timeout=60.0)
        room_id = answer.get("room_id")
        if not isinstance(room_id, str) or not room_id.startswith("!"):
            raise BadAnswer("the answer to the making of a room has no id")
        return room_id

    async def event(self, room_id: str, event_id: str) -> dict[str, Any] | None:
        """One event, still encrypted where it came so: `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`.

        Returns:
            The event, or None where there is none, or none that this account may see.

        Raises:
            HomeserverError: as in homeserver.client.api.
        """
        try:
            event = await self._api.call("GET", "/_matrix/client/v3/rooms/{}/event/{}", room_id, event_id)
        except NotFound as error:
            if error.errcode != "M_NOT_FOUND":
                raise
            return None
        if event.get("event_id") != event_id or event.get("room_id", room_id) != room_id:
            raise BadAnswer(f"asked for the event {event_id!r} of {room_id}, another came")
        return event

    async def true_since(
        self, room_id: str, event_type: str, state_key: str, holds: Callable[[Mapping[str, Any]], bool], until_ts: int
    ) -> int | None:
        """Since when a room's state has been so that `holds`, by the homeserver's times of its events.

        Looks back from one state event to the one it replaced (`unsigned.replaces_state`).

        Args:
            holds: asked with the content of an event.
            until_ts: as far back as the answer matters, milliseconds since 1970.

        Returns:
            The time of the oldest event seen since which it held without a break; None where it doesn't hold now, or
            where too many events came between.

        Raises:
            HomeserverError: as in homeserver.client.api.
        """
        path = "/_matrix/client/v3/rooms/{}/state/{}/{}"
        try:
            event: Mapping[str, Any] | None = await self._api.call(
                "GET", path, room_id, event_type, state_key, params={"format": "event"}
            )
        except ValueError:  # an empty state key can't be a part of a path
            path = "/_matrix/client/v3/rooms/{}/state/{}/"
            event = await self._api.call("GET", path, room_id, event_type, params={"format": "event"})
        since: int | None = None
        for _ in range(_LOOK_BACK):
            content, sent_ts = (event or {}).get("content"), (event or {}).get("origin_server_ts")
            if not isinstance(content, Mapping) or type(sent_ts) is not int or not holds(content):
                return since
            since = sent_ts
            unsigned = (event or {}).get("unsigned")
            before = unsigned.get("replaces_state") if isinstance(unsigned, Mapping) else None
            if since <= until_ts or not isinstance(before, str):
                return since
            event = await self.event(room_id, before)
        return None

    async def reactions(self, room_id: str, event_id: str) -> list[Reaction]:
        """The reactions on an event that weren't taken back, newest first, REACTIONS_MAX at most.

        `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/m.annotation/m.reaction`, all pages. What isn't a
        proper reaction on this very event is left out.

        Raises:
            Forbidden: this account isn't in the room.
            NotFound: there is no such event.
            HomeserverError: as in homeserver.client.api.
        """
        found: dict[str, Reaction] = {}
        params: dict[str, str | int | bool] = {"limit": _PAGE, "dir": "b"}
        for _ in range(REACTIONS_MAX // _PAGE):
            answer = await self._api.call(
                "GET",
                "/_matrix/client/v1/rooms/{}/relations/{}/m.annotation/m.reaction",
                room_id,
                event_id,
                params=params,
            )
            chunk = answer.get("chunk")
            if not isinstance(chunk, list):
                raise BadAnswer("the answer to a question for reactions has no list of events")
            for event in chunk:
                reaction = _reaction(event, event_id)
                if reaction is not None:
                    found.setdefault(reaction.event_id, reaction)
            following = answer.get("next_batch")
            if not isinstance(following, str) or not following or following == params.get("from"):
                break
            params["from"] = following
        return list(found.values())

    async def resolve_alias(self, alias: str) -> str | None:
        """The room that an alias names: `GET /_matrix/client/v3/directory/room/{roomAlias}`.

        Returns:
            The room's id, or None where nobody knows the alias.

        Raises:
            Refused: it isn't an alias at all.
            HomeserverError: as in homeserver.client.api.
        """
        try:
            answer = await self._api.call("GET", "/_matrix/client/v3/directory/room/{}", alias, timeout=60.0)
        except NotFound as error:
            if error.errcode != "M_NOT_FOUND":
                raise
            return None
        room_id = answer.get("room_id")
        if not isinstance(room_id, str) or not room_id.startswith("!"):
            raise BadAnswer(f"the answer for the alias {alias!r} names no room")
        return room_id


def _reaction(event: object, target_event_id: str) -> Reaction | None:
    """Reads one reaction; None where it is none, or one on another event."""
    if (
        not isinstance(event, Mapping)
        or event.get("type") != "m.reaction"
        or not isinstance(event.get("content"), Mapping)
    ):
        return None
    relation = event["content"].get("m.relates_to")
    if not isinstance(relation, Mapping) or relation.get("rel_type") != "m.annotation":
        return None
    sender, key, event_id, sent_ts = (
        event.get("sender"),
        relation.get("key"),
        event.get("event_id"),
        event.get("origin_server_ts"),
    )
    if relation.get("event_id") != target_event_id or type(sent_ts) is not int:
        return None
    if not (isinstance(sender, str) and isinstance(key, str) and isinstance(event_id, str)):
        return None
    return Reaction(sender, key, event_id, sent_ts)


def _content(events: Iterable[Mapping[str, Any]], event_type: str) -> Mapping[str, Any]:
    event = find_state(events, event_type)
    content = event.get("content") if event is not None else None
    return content if isinstance(content, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
