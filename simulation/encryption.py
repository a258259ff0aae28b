"""What stands in for Olm and Megolm, which are left out here: an encrypted event holds its content readably.

Who wrote it is as certain as the homeserver's word; keys that are missing, forged or broken are the business of
tests/synapse/homeserver/encryption and `make fuzz`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from homeserver.encryption.crypto import Opened, Undecryptable
from homeserver.encryption.devices import Writer
from homeserver.encryption.machine import Claim
from removal.incoming import DeviceTrust

SEALED = "simulated"


def seal(event_type: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of an `m.room.encrypted`. What it refers to stands outside, as clients do it."""
    sealed: dict[str, Any] = {SEALED: {"type": event_type, "content": dict(content)}}
    return {**sealed, "m.relates_to": content["m.relates_to"]} if "m.relates_to" in content else sealed


class Readable:
    """In place of `Crypto`."""

    async def encrypt(self, room_id: str, users: Sequence[str], event_type: str, content: Mapping[str, Any]) -> Any:
        return seal(event_type, content)

    def open(self, room_id: str, content: Mapping[str, Any]) -> Opened:
        if SEALED not in content:
            raise Undecryptable
        return Opened(dict(content[SEALED]), "session", 0, [])

    def is_first_use(self, opened: Opened, event_id: str) -> bool:
        return True

    def receive(self, messages: Iterable[object]) -> None: ...

    def new_sessions(self) -> list[tuple[str, str]]:
        return []

    def told_of(self, sessions: Iterable[tuple[str, str]]) -> None: ...

    async def count_keys(self, sync: Mapping[str, Any]) -> None: ...

    async def mend(self) -> None: ...


class Known:
    """In place of `Directory`: everybody has one device, signed by their own identity."""

    def __init__(self) -> None:
        self.trust: dict[str, DeviceTrust] = {}
        """Of those whose device isn't signed."""
        self.identities: dict[str, str] = {}
        """Of those who have made themselves a new one."""

    def changed(self, user_ids: Iterable[str]) -> None: ...

    async def writer(self, sender: str, claims: list[Claim]) -> Writer:
        trust = self.trust.get(sender, DeviceTrust.SIGNED)
        return Writer(trust, "DEVICE", self.identities.get(sender, f"identity of {sender}"))
