"""What a client has seen: events in the order of session, and what follows from them (edits, redactions, reactions)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Seen:
    """One timeline event. It changes when it is redacted, or decrypted later than it arrived.

    An event that can't be decrypted (yet) is `undecryptable`, has type `m.room.encrypted` and its raw content.
    """

    event_id: str
    room_id: str
    sender: str
    type: str
    content: dict[str, Any]
    origin_server_ts: int
    state_key: str | None = None
    redacts: str | None = None
    encrypted: bool = False
    undecryptable: bool = False
    redacted: bool = False
    device_id: str | None = None

    @property
    def body(self) -> str:
        """The plain text, empty if it has none."""
        return _text(self.content, "body")

    @property
    def formatted_body(self) -> str:
        """The HTML, empty if it has none."""
        return _text(self.content, "formatted_body")

    @property
    def _relation(self) -> dict[str, Any]:
        relation = self.content.get("m.relates_to")
        return relation if isinstance(relation, dict) else {}

    @property
    def replies_to(self) -> str | None:
        """The event that this is a reply to."""
        target = self._relation.get("m.in_reply_to")
        return target.get("event_id") if isinstance(target, dict) else None

    @property
    def replaces(self) -> str | None:
        """The event that this is an edit of."""
        return self._relation.get("event_id") if self._relation.get("rel_type") == "m.replace" else None

    @property
    def annotates(self) -> str | None:
        """The event that this is a reaction on."""
        return self._relation.get("event_id") if self._relation.get("rel_type") == "m.annotation" else None

    def __str__(self) -> str:
        marks = [name for name in ("encrypted", "undecryptable", "redacted") if getattr(self, name)]
        said = self.body or _text(self._relation, "key")
        return f"{self.event_id[:12]} {self.sender} {self.type} {' '.join(marks)} {said[:80]!r}"


@dataclass(frozen=True)
class Message:
    """A message as a client shows it: with the last edit applied."""

    event: Seen
    content: dict[str, Any]
    edits: int

    @property
    def event_id(self) -> str:
        """Of the original, which reactions and replies point at."""
        return self.event.event_id

    @property
    def sender(self) -> str:
        """Who wrote it."""
        return self.event.sender

    @property
    def body(self) -> str:
        """The plain text as it reads now."""
        return _text(self.content, "body")

    @property
    def formatted_body(self) -> str:
        """The HTML as it reads now."""
        return _text(self.content, "formatted_body")

    @property
    def edited(self) -> bool:
        """Whether there was an edit."""
        return self.edits > 0


@dataclass(frozen=True)
class Reaction:
    """A reaction that stands, not redacted."""

    sender: str
    key: str
    event_id: str


class Timeline:
    """All events seen, in the order of session."""

    def __init__(self) -> None:
        self.events: list[Seen] = []
        self._by_id: dict[str, Seen] = {}

    def add(self, event: Seen) -> bool:
        """Take in an event and what it does to others; return whether it is new. One seen before is passed over."""
        if event.event_id in self._by_id:
            return False
        self.events.append(event)
        self._by_id[event.event_id] = event
        if event.type == "m.room.redaction":
            target = self._by_id.get(event.redacts or "")
            if target is not None:
                target.redacted = True
                target.content = {}
        return True

    def get(self, event_id: str) -> Seen | None:
        """Return the event of that id if it was seen."""
        return self._by_id.get(event_id)

    def message(self, event_id: str) -> Message | None:
        """Return the message of that id as it reads now; None if it wasn't seen or isn't a readable message."""
        event = self._by_id.get(event_id)
        if event is None or event.type != "m.room.message" or event.replaces:
            return None
        # Only the author's own edits count: https://spec.matrix.org/v1.16/client-server-api/#validity-of-replacement-events
        edits = [
            edit.content["m.new_content"]
            for edit in self.events
            if edit.replaces == event_id
            and edit.sender == event.sender
            and edit.room_id == event.room_id
            and isinstance(edit.content.get("m.new_content"), dict)
        ]
        return Message(event, edits[-1] if edits and not event.redacted else event.content, len(edits))

    def messages(self, room_id: str) -> list[Message]:
        """Return a room's messages in the order of session, with edits applied, without redacted ones."""
        shown = (self.message(e.event_id) for e in self.events if e.room_id == room_id and not e.redacted)
        return [message for message in shown if message is not None]

    def reactions_on(self, event_id: str) -> list[Reaction]:
        """Return the reactions on an event that stand, in the order of session."""
        return [
            Reaction(event.sender, _text(event.content["m.relates_to"], "key"), event.event_id)
            for event in self.events
            if event.type == "m.reaction" and event.annotates == event_id and not event.redacted
        ]


def _text(content: dict[str, Any], key: str) -> str:
    value = content.get(key)
    return value if isinstance(value, str) else ""
