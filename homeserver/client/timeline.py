"""From a raw event to `Incoming`: read carefully, decrypted where it came encrypted, and dropped where it is forged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from homeserver.encryption.crypto import Crypto, Forged, Undecryptable
from homeserver.encryption.devices import Directory
from homeserver.encryption.signing import check_storable
from removal.incoming import DeviceTrust, Incoming

ENCRYPTED = "m.room.encrypted"
_NEVER_ENCRYPTED = frozenset(
    {
        ENCRYPTED,
        "m.room.redaction",
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "m.room.encryption",
        "m.room.tombstone",
        "m.room.server_acl",
        "m.room.canonical_alias",
        "m.room.aliases",
        "m.room.name",
        "m.room.topic",
        "m.room.avatar",
        "m.room.pinned_events",
        "m.room.third_party_invite",
        "m.room.policy",
        "m.space.child",
        "m.space.parent",
    }
)
"""Types that mean something only in clear: state, redactions. Encrypted inside, they are somebody's forgery."""
_TS_MAX = 2**53 - 1
"""The largest integer of canonical JSON; a database takes it too."""


def parse(raw: object, room_id: str) -> Incoming | None:
    """Reads an event of a timeline; None for what isn't one.

    Args:
        raw: as it stood in the homeserver's answer.
        room_id: where it stood.
    """
    if not isinstance(raw, dict):
        return None
    event_id, sender, event_type = raw.get("event_id"), raw.get("sender"), raw.get("type")
    content, sent = raw.get("content"), raw.get("origin_server_ts")
    if not isinstance(event_id, str) or not isinstance(sender, str) or not isinstance(event_type, str):
        return None
    if not isinstance(content, dict) or not isinstance(sent, int | float) or isinstance(sent, bool):
        return None
    state_key = raw.get("state_key")
    redacts = raw.get("redacts", content.get("redacts"))
    try:
        check_storable(raw)
        sent = int(min(max(sent, 0), _TS_MAX))
    except (ValueError, RecursionError):
        return None
    return Incoming(
        event_id=event_id,
        room_id=room_id,
        sender=sender,
        type=event_type,
        content=content,
        origin_server_ts=sent,
        state_key=state_key if isinstance(state_key, str) else None,
        redacts=redacts if isinstance(redacts, str) else None,
        prev_membership=_prev_membership(raw),
    )


def _prev_membership(raw: Mapping[str, Any]) -> str | None:
    unsigned = raw.get("unsigned")
    before = unsigned.get("prev_content") if isinstance(unsigned, Mapping) else None
    membership = before.get("membership") if isinstance(before, Mapping) else None
    return membership if isinstance(membership, str) else None


class Reader:
    """Opens encrypted events.

    Args:
        crypto: the keys.
        directory: whose devices are whose.
        log: gets one line for each forgery.
    """

    def __init__(self, crypto: Crypto, directory: Directory, log: logging.Logger) -> None:
        self._crypto = crypto
        self._directory = directory
        self._log = log

    async def read(self, event: Incoming) -> Incoming | None:
        """The event as it is to be handled.

        Args:
            event: as `parse` gave it, or one that was undecryptable before.

        Returns:
            The event itself where it isn't encrypted; decrypted; marked `undecryptable` where its key is missing; or
            None where it is forged, broken or replayed.

        Raises:
            HomeserverError: the homeserver doesn't say whose device it was; asking again is safe.
        """
        if event.type != ENCRYPTED or event.state_key is not None or not event.content:
            return event  # without content: it was redacted
        try:
            opened = self._crypto.open(event.room_id, event.content)
            payload = opened.payload
            if "state_key" in payload or payload["type"] in _NEVER_ENCRYPTED:
                raise Forged(f"it says inside to be {payload['type']!r}, which is never encrypted")
            writer = await self._directory.writer(event.sender, opened.claims)
            if writer.trust is not DeviceTrust.MISMATCH and not self._crypto.is_first_use(opened, event.event_id):
                raise Forged("a replay: this was sent before as another event")
        except Undecryptable:
            return replace(event, undecryptable=True)
        except Forged as error:
            self._log.warning("Dropped %s of %s in %s: %s", event.event_id, event.sender, event.room_id, error)
            return None
        return replace(
            event,
            type=payload["type"],
            content=_with_relation(payload["content"], event.content),
            redacts=None,
            encrypted=True,
            undecryptable=False,
            device_id=writer.device_id,
            trust=writer.trust,
            identity_key=writer.identity_key,
        )


def _with_relation(content: dict[str, Any], around: Mapping[str, Any]) -> dict[str, Any]:
    """What an event refers to stands outside, in clear, where every client reads it. Only where nothing stands there
    does what is inside count, so that neither side can make a plain message of an edit."""
    outside = around.get("m.relates_to")
    return {**content, "m.relates_to": outside} if isinstance(outside, dict) else content
