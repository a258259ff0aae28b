"""Olm and Megolm for a test client: matrix-nio's crypto machine, fed by hand.

nio's own client is left out on purpose: it takes forged state from decrypted events, ends its sync on a bad to-device
message, and doesn't refresh keys before sending. Its crypto machine (vodozemac inside) is sound, and all that is
needed here. Everything lives in memory: these clients are thrown away.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from nio.crypto import Olm
from nio.events import MegolmEvent, ToDeviceEvent
from nio.exceptions import EncryptionError
from nio.responses import KeysClaimResponse, KeysQueryResponse
from nio.store import SqliteMemoryStore

from sandbox.timeline import Seen

Call = Callable[..., Awaitable[dict[str, Any]]]


class Encryption:
    """The encryption of one device.

    Args:
        user_id: whose device.
        device_id: as the homeserver named it at login.
        call: `call(method, path, *ids, json=…)`, which calls the homeserver with this device's token.
        log: gets what is dropped.
    """

    def __init__(self, user_id: str, device_id: str, call: Call, log: logging.Logger) -> None:
        self.user_id = user_id
        self.device_id = device_id
        self._call = call
        self._log = log
        self._olm = Olm(user_id, device_id, SqliteMemoryStore(user_id, device_id))
        self._shared_with: dict[str, set[tuple[str, str]]] = {}

    @property
    def identity_keys(self) -> dict[str, str]:
        """The device's public keys: `ed25519` and `curve25519`."""
        return dict(self._olm.account.identity_keys)

    async def upload_keys(self) -> None:
        """Upload the device's keys at first, and one-time keys whenever some are missing.

        Source: POST /_matrix/client/v3/keys/upload
        """
        if not self._olm.should_upload_keys:
            return
        answer = await self._call("POST", "/_matrix/client/v3/keys/upload", json=self._olm.share_keys())
        self._olm.account.shared = True
        self._olm.uploaded_key_count = answer["one_time_key_counts"].get("signed_curve25519", 0)
        self._olm.mark_keys_as_published()
        self._olm.save_account()

    def receive(self, sync: dict[str, Any]) -> None:
        """Take room keys and key counts from a sync's answer. A bad to-device message is logged and dropped."""
        for raw in sync.get("to_device", {}).get("events", []):
            try:
                self._olm.handle_to_device_event(ToDeviceEvent.parse_event(raw))
            except Exception:  # whatever a stranger sent, it mustn't end the client
                self._log.warning("dropped a to-device message of %s", raw.get("sender"), exc_info=True)
        if "device_one_time_keys_count" in sync:
            self._olm.uploaded_key_count = sync["device_one_time_keys_count"].get("signed_curve25519", 0)

    async def encrypt(self, room_id: str, members: Iterable[str], event_type: str, content: dict[str, Any]) -> Any:
        """Return the content of the `m.room.encrypted` event, its key sent to every device of the members.

        The members' devices are asked for each time: a device that logged in a moment ago can read it too. A device
        that has gone, or has come, means a new Megolm session.
        """
        members = sorted(members)
        await self._query(members)
        devices = {
            (user_id, device.id)
            for user_id in members
            for device in self._olm.device_store.active_user_devices(user_id)
            if (user_id, device.id) != (self.user_id, self.device_id)
        }
        session = self._olm.outbound_group_sessions.get(room_id)
        if session is None or session.expired or self._shared_with.get(room_id) != devices:
            self._olm.outbound_group_sessions.pop(room_id, None)
            await self._share(room_id, members)
            self._shared_with[room_id] = devices
        plaintext = {"type": event_type, "content": content}
        encrypted = self._olm.group_encrypt(room_id, plaintext)
        if "m.relates_to" in content:  # relations stay readable for the server
            encrypted["m.relates_to"] = content["m.relates_to"]
        return encrypted

    async def _query(self, users: list[str]) -> None:
        """Refresh what we know of the users' devices (POST /_matrix/client/v3/keys/query)."""
        asked: dict[str, Any] = {"device_keys": {user_id: [] for user_id in users}}
        answer = await self._call("POST", "/_matrix/client/v3/keys/query", json=asked)
        self._olm.handle_response(KeysQueryResponse(answer["device_keys"], answer.get("failures", {})))

    async def _share(self, room_id: str, members: list[str]) -> None:
        """Make a Megolm session and send it to every device of the members that an Olm session can be had with."""
        missing = self._olm.get_missing_sessions(members)
        if missing:
            wanted = {user: dict.fromkeys(devices, "signed_curve25519") for user, devices in missing.items()}
            answer = await self._call("POST", "/_matrix/client/v3/keys/claim", json={"one_time_keys": wanted})
            claimed = {
                user: {device: keys for device, keys in devices.items() if keys}
                for user, devices in answer["one_time_keys"].items()
            }
            self._olm.handle_response(KeysClaimResponse(claimed, {}))
        parts = self._olm.share_group_session_parallel(room_id, members, ignore_unverified_devices=True)
        for _, messages in parts:
            path = "/_matrix/client/v3/sendToDevice/{}/{}"
            await self._call("PUT", path, "m.room.encrypted", uuid.uuid4().hex, json=messages)
        self._olm.outbound_group_sessions[room_id].shared = True

    def decrypt(self, event: Seen) -> bool:
        """Decrypt an `m.room.encrypted` event in place; return whether it could be read.

        What claims to be state inside is left as undecryptable: state is never encrypted.
        """
        raw = {
            "type": event.type,
            "content": event.content,
            "event_id": event.event_id,
            "sender": event.sender,
            "origin_server_ts": event.origin_server_ts,
            "room_id": event.room_id,
        }
        try:
            megolm = MegolmEvent.from_dict(raw)
            clear = self._olm.decrypt_megolm_event(megolm, event.room_id)
            source = clear.source
            event_type, content = source["type"], source["content"]
        except EncryptionError:
            return False
        except Exception:  # a crafted event mustn't end the client
            self._log.warning("could not take in %s", event.event_id, exc_info=True)
            return False
        if "state_key" in source or not isinstance(content, dict):
            return False
        event.type, event.content = event_type, content
        event.device_id = getattr(megolm, "device_id", None)
        event.undecryptable = False
        return True
