"""What a sync brings, as the rest of the program sees it: plain values, no library's objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

EVENT_ID_MAX_BYTES = 255


class DeviceTrust(StrEnum):
    """What is known of the device that encrypted an event."""

    CLEAR = "clear"  # the event wasn't encrypted at all
    UNKNOWN = "unknown"  # no such device is known, or it was deleted meanwhile
    MISMATCH = "mismatch"  # the sender's devices don't include the one that encrypted this: a forgery
    UNSIGNED = "unsigned"  # a device of the sender, not signed by the sender's own cross-signing identity
    SIGNED = "signed"  # a device of the sender, signed by the sender's cross-signing identity


@dataclass(frozen=True, slots=True)
class Incoming:
    """One event of a room's timeline, decrypted where it came encrypted.

    `encrypted` says how it travelled. `undecryptable` events have type `m.room.encrypted` and their raw content.
    `origin_server_ts` is in milliseconds since 1970, by the clock of the bot's homeserver; where another server sent
    the event, the time at which the bot received it.
    `unsigned_txn_id` is set on the bot's own events sent by this device.
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
    device_id: str | None = None
    trust: DeviceTrust = DeviceTrust.CLEAR
    prev_membership: str | None = None
    """Of an `m.room.member`: the membership before it (`unsigned.prev_content`), where the homeserver says."""
    identity_key: str | None = None
    """The sender's cross-signing master key (ed25519, base64) at the time, where one is known."""

    @property
    def thread_root(self) -> str:
        """The event that began the thread where this was said, as the sender claims; empty outside threads.

        Source: Matrix client-server API, "Threading".
        """
        relation = self.content.get("m.relates_to")
        if not isinstance(relation, dict) or relation.get("rel_type") != "m.thread":
            return ""
        root = relation.get("event_id")
        return (
            root if isinstance(root, str) and root.startswith("$") and len(root.encode()) <= EVENT_ID_MAX_BYTES else ""
        )


@dataclass(frozen=True, slots=True)
class Invite:
    """The bot was invited to a room (`rooms.invite` of a sync). Nothing in the stripped state is to be believed."""

    room_id: str
    inviter: str
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class SyncBatch:
    """All that one sync brought. `since` is to be saved only once the rest is stored.

    `new_sessions` names the (room_id, session_id) of encryption keys that arrived: undecryptable events of theirs can
    be tried again. `first` is true where there was no token to go on from: the events may be of long ago. `running` is
    the note of who runs as this account, where it changed.
    """

    since: str
    events: list[Incoming] = field(default_factory=list)
    invites: list[Invite] = field(default_factory=list)
    left_rooms: list[str] = field(default_factory=list)
    new_sessions: list[tuple[str, str]] = field(default_factory=list)
    first: bool = False
    running: Mapping[str, Any] | None = None
