"""Encryption of the bot's device, both ways: what comes in is never able to raise out of here.

Source: client-server API, "End-to-end encryption" (`/keys/upload`, `/keys/claim`, `/sendToDevice`, `m.olm.v1…`,
`m.megolm.v1…`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nio.events import OlmEvent
from nio.responses import KeysClaimResponse
from vodozemac import SessionCreationException

from homeserver.client.api import Api, Refused
from homeserver.encryption.devices import Directory
from homeserver.encryption.machine import Claim, DiskError, Machine
from homeserver.encryption.signing import canonical_json, check_storable

OLM = "m.olm.v1.curve25519-aes-sha2"
MEGOLM = "m.megolm.v1.aes-sha2"

_ONE_TIME_KEYS = "signed_curve25519"
_UPLOADS_MAX = 20
"""Attempts to find ids for one-time keys that the homeserver doesn't have yet."""
_CLAIM_TIMEOUT_MS = 10_000
_CLAIM_PAUSE = 300.0
"""Seconds in which a device that gave us no one-time key isn't asked again."""
_MEND_PAUSE = 3600.0
"""Seconds before a broken Olm channel may be replaced again."""


class Undecryptable(Exception):
    """The key of this event isn't here (yet)."""


class Forged(Exception):
    """This can't be what it says it is. `str()` is fit for the log."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was inside an encrypted event, and by whom its session was brought to us."""

    payload: dict[str, Any]
    session_id: str
    message_index: int
    claims: list[Claim]


class Crypto:
    """The encryption of one device.

    Args:
        api: with the device's token.
        machine: the device's keys.
        directory: other people's devices; it tells the machine of them.
        log: gets what is dropped.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        api: Api,
        machine: Machine,
        directory: Directory,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._machine = machine
        self._directory = directory
        self._log = log
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._recipients: dict[str, set[tuple[str, str, str]]] = {}
        self._unclaimable: dict[tuple[str, str], float] = {}
        self._mended: dict[tuple[str, str], float] = {}
        self._upload_lock = asyncio.Lock()

    # Our own keys

    def device_keys(self) -> dict[str, Any]:
        """The object by which others know this device, signed by itself."""
        machine = self._machine
        keys = machine.account.identity_keys
        return self._signed(
            {
                "algorithms": [OLM, MEGOLM],
                "device_id": machine.device_id,
                "user_id": machine.user_id,
                "keys": {
                    f"curve25519:{machine.device_id}": keys["curve25519"],
                    f"ed25519:{machine.device_id}": keys["ed25519"],
                },
            }
        )

    async def upload_keys(self, one_time_keys: int | None, needs_fallback: bool, needs_device: bool = False) -> None:
        """Gives the homeserver what others need to write to us.

        Args:
            one_time_keys: how many it has; None if that isn't known.
            needs_fallback: it has no unused fallback key.
            needs_device: it doesn't know this device's keys.

        Raises:
            HomeserverError: it didn't take them; asking again is safe.

        Source: `POST /_matrix/client/v3/keys/upload`.
        """
        async with self._upload_lock:
            wanted = 0 if one_time_keys is None else self._machine.account.max_one_time_keys - one_time_keys
            if needs_device or needs_fallback or wanted > 0:
                await self._upload(max(wanted, 0), needs_fallback, needs_device)

    async def _upload(self, wanted: int, needs_fallback: bool, needs_device: bool) -> None:
        machine = self._machine
        account = machine.account._account  # nio has no fallback keys; vodozemac inside has
        for attempt in range(_UPLOADS_MAX):
            missing = wanted - len(account.one_time_keys)
            if missing > 0:
                account.generate_one_time_keys(missing)
            if needs_fallback and not account.fallback_key:
                account.generate_fallback_key()
            # On the disk before anybody can use them: nio saves afterwards, and a crash in between loses the keys.
            machine.save_account()
            body: dict[str, Any] = {"device_keys": self.device_keys()} if needs_device else {}
            if account.one_time_keys:
                body["one_time_keys"] = self._signed_keys(account.one_time_keys, {})
            if account.fallback_key:
                body["fallback_keys"] = self._signed_keys(account.fallback_key, {"fallback": True})
            try:
                await self._api.call("POST", "/_matrix/client/v3/keys/upload", json=body, timeout=60.0)
            except Refused as error:
                if "already exists" not in error.message or attempt == _UPLOADS_MAX - 1:
                    raise
                # This store is older than what the homeserver has (a backup was put back). Go on to further ids, and
                # take those keys away, or the next who use them couldn't be read.
                self._log.warning("The homeserver has one-time keys that are missing here; creating new ones.")
                machine.account.mark_keys_as_published()
                machine.save_account()
                if attempt == 0:
                    await self._drain()
                    wanted = machine.account.max_one_time_keys
            else:
                machine.account.shared = True
                machine.account.mark_keys_as_published()
                machine.save_account()
                return

    async def _drain(self) -> None:
        """Uses up our own one-time keys at the homeserver, as somebody would who writes to us.

        Raises:
            HomeserverError: as `upload_keys`.
        """
        machine = self._machine
        body = {"one_time_keys": {machine.user_id: {machine.device_id: _ONE_TIME_KEYS}}}
        for _ in range(2 * machine.account.max_one_time_keys):
            answer = await self._api.call("POST", "/_matrix/client/v3/keys/claim", json=body)
            try:
                keys = list(answer["one_time_keys"][machine.user_id][machine.device_id].values())
                if not keys or keys[0].get("fallback"):
                    return
            except (KeyError, TypeError, AttributeError):
                return

    def _signed(self, value: dict[str, Any]) -> dict[str, Any]:
        machine = self._machine
        signature = machine.account.sign(canonical_json(value).decode())
        return {**value, "signatures": {machine.user_id: {f"ed25519:{machine.device_id}": signature}}}

    def _signed_keys(self, keys: Mapping[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        return {
            f"{_ONE_TIME_KEYS}:{key_id}": self._signed({"key": key.to_base64(), **more}) for key_id, key in keys.items()
        }

    async def count_keys(self, sync: Mapping[str, Any]) -> None:
        """Refills keys after a sync, from 0 too, whatever else the sync brought.

        Raises:
            HomeserverError: the homeserver didn't take them; the next sync says so again.
        """
        counts = sync.get("device_one_time_keys_count")
        count = counts.get(_ONE_TIME_KEYS, 0) if isinstance(counts, dict) else None
        unused = sync.get("device_unused_fallback_key_types")
        needs_fallback = isinstance(unused, list) and _ONE_TIME_KEYS not in unused
        if isinstance(count, int) and count >= self._machine.account.max_one_time_keys // 2:
            count = None  # enough: not one call for each key that somebody takes
        await self.upload_keys(count if isinstance(count, int) else None, needs_fallback)

    # What comes in

    def receive(self, messages: Iterable[object]) -> None:
        """Takes the room keys out of to-device messages. Anybody on any server may send these: none can raise.

        All that they change is stored together: a crash leaves either nothing (the homeserver sends them again), or
        the room keys too. Verification and key requests are ignored.
        """
        with self._machine.store.together():
            some = False
            for message in messages:
                if isinstance(message, dict) and message.get("type") == "m.room.encrypted":
                    some = True
                    self._receive(message)
            if some:
                self._machine.save_account()  # one-time keys are used up only while decrypting
                self._machine.tidy()

    def _receive(self, message: dict[str, Any]) -> None:
        sender = message.get("sender")
        try:
            event = OlmEvent.from_dict(message)
            if not isinstance(event, OlmEvent):
                raise ValueError("not of the form of an Olm message")
            self._machine.decrypt_event(event)
        except BaseException as error:
            _let_through(error)
            self._log.info("Dropped a to-device message of %r: %s: %s", sender, type(error).__name__, error)
            if isinstance(error, SessionCreationException):
                # It was written with a one-time key that isn't here, used twice or lost with a crash: as nio does for
                # other broken channels, open a new one, so that what is sent next comes through.
                self._machine._mark_device_for_unwedging(event.sender, event.sender_key)

    def new_sessions(self) -> list[tuple[str, str]]:
        """(room, session) of keys that came and that `told_of` wasn't called for."""
        return self._machine.store.new_sessions()

    def told_of(self, sessions: Iterable[tuple[str, str]]) -> None:
        """Whoever keeps undecryptable events knows of these keys, for good."""
        self._machine.store.told_of(sessions)

    def open(self, room_id: str, content: Mapping[str, Any]) -> Opened:
        """Decrypts the content of an `m.room.encrypted` event.

        Raises:
            Undecryptable: its key isn't here.
            Forged: it can't be decrypted with its key, or isn't for this room, or isn't well-formed inside.
        """
        session_id, ciphertext = content.get("session_id"), content.get("ciphertext")
        if content.get("algorithm") != MEGOLM:
            raise Undecryptable  # an outdated client; the sender is told later that the message couldn't be read
        if not isinstance(session_id, str) or not isinstance(ciphertext, str):
            raise Forged("not of the form of a Megolm message")
        session = self._machine.sessions.get(session_id)
        if session is None:
            raise Undecryptable
        if session.room_id != room_id:
            raise Forged("encrypted for another room")
        try:
            text, index = session.decrypt(ciphertext)
        except BaseException as error:
            _let_through(error)
            if "unknown message index" in str(error):  # older than the key we got: it may still come from further back
                raise Undecryptable from None
            raise Forged(f"decryption failed: {error}") from None
        payload = _well_formed(text)
        if payload.get("room_id", room_id) != room_id:
            raise Forged("encrypted for another room")
        return Opened(payload, session_id, int(index), self._machine.store.claims(session_id))

    def is_first_use(self, opened: Opened, event_id: str) -> bool:
        """Whether this ciphertext came with this event first; for good, over restarts."""
        return self._machine.store.is_first_use(opened.session_id, opened.message_index, event_id)

    async def mend(self) -> None:
        """Makes new Olm channels to devices whose messages we couldn't read, at most one an hour for each.

        Raises:
            HomeserverError: the homeserver doesn't answer.

        Source: client-server API, "Recovering from undecryptable messages".
        """
        machine = self._machine
        now = self._clock()
        broken = [device for device in machine.wedged_devices if not device.deleted]
        machine.wedged_devices.clear()
        for device in broken:
            name = (device.user_id, device.device_id)
            if now - self._mended.get(name, -_MEND_PAUSE) < _MEND_PAUSE:
                continue
            self._mended[name] = now
            machine.wedged_devices.append(device)
            await self._claim({device.user_id: [device.device_id]})
            machine.wedged_devices.clear()
        while machine.outgoing_to_device_messages:
            message = machine.outgoing_to_device_messages[0]
            await self._send_to_device(message.as_dict())
            machine.outgoing_to_device_messages.pop(0)

    # What goes out

    async def encrypt(
        self, room_id: str, members: Iterable[str], event_type: str, content: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The content of an `m.room.encrypted` event that every device of the members can read.

        A new session is made whenever a device came or went. Unverified devices get the key too: whom the bot talks
        to is decided by who is in the room.

        Raises:
            HomeserverError: the homeserver doesn't answer; asking again is safe.
        """
        async with self._locks.setdefault(room_id, asyncio.Lock()):
            users = sorted(members)
            await self._directory.refresh(users)
            await self._share(room_id, users)
            # Nothing is awaited from here on: the session can't be another one meanwhile.
            encrypted: dict[str, Any] = self._machine.group_encrypt(room_id, {"type": event_type, "content": content})
        if "m.relates_to" in content:
            encrypted["m.relates_to"] = content["m.relates_to"]  # servers sort by it, so it stays readable
        return encrypted

    async def _share(self, room_id: str, users: list[str]) -> None:
        machine = self._machine
        await self._claim(machine.get_missing_sessions(users))
        recipients = {
            (user_id, device.id, device.curve25519)
            for user_id in users
            for device in machine.device_store.active_user_devices(user_id)
            if machine.session_store.get(device.curve25519)
        }
        session = machine.outbound_group_sessions.get(room_id)
        if session is not None and (session.expired or self._recipients.get(room_id) != recipients):
            del machine.outbound_group_sessions[room_id]
            session = None
        if session is not None and session.shared:
            return
        self._recipients[room_id] = recipients
        for reached, messages in machine.share_group_session_parallel(room_id, users, ignore_unverified_devices=True):
            await self._send_to_device(messages)
            machine.outbound_group_sessions[room_id].users_shared_with.update(reached)
        machine.outbound_group_sessions[room_id].mark_as_shared()

    async def _claim(self, missing: Mapping[str, list[str]]) -> None:
        """Opens Olm channels to devices, as far as they have one-time keys left."""
        now = self._clock()
        wanted = {
            user_id: {name: _ONE_TIME_KEYS for name in names if self._unclaimable.get((user_id, name), now) <= now}
            for user_id, names in missing.items()
        }
        wanted = {user_id: names for user_id, names in wanted.items() if names}
        if not wanted:
            return
        body = {"one_time_keys": wanted, "timeout": _CLAIM_TIMEOUT_MS}
        answer = await self._api.call("POST", "/_matrix/client/v3/keys/claim", json=body, timeout=60.0)
        given = answer.get("one_time_keys")
        for user_id, names in wanted.items():
            for name in names:
                try:
                    keys = dict(given[user_id][name])  # type: ignore[index] # whatever it is, it is caught below
                    self._machine.handle_response(KeysClaimResponse({user_id: {name: keys}}, {}))
                    device = self._machine.device_store[user_id][name]
                    opened = self._machine.session_store.get(device.curve25519) is not None
                except Exception as error:
                    self._log.debug("No channel to device %s of %s: %s", name, user_id, error)
                    opened = False
                if not opened:
                    self._unclaimable[user_id, name] = now + _CLAIM_PAUSE

    async def _send_to_device(self, messages: Mapping[str, Any]) -> None:
        path = "/_matrix/client/v3/sendToDevice/{}/{}"
        await self._api.call("PUT", path, "m.room.encrypted", uuid.uuid4().hex, json=messages, timeout=60.0)


def _let_through(error: BaseException) -> None:
    """Raises what has nothing to do with the message: a full disk must not make us throw keys away.

    All else is somebody's malformed message. Rust's panics are among it, and come as BaseException; cancelling can't
    be, as nothing is awaited where this is used.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | DiskError):
        raise error


def _well_formed(text: str) -> dict[str, Any]:
    """The payload of a decrypted event, if it is one that everything after us can store and print.

    Raises:
        Forged: it isn't.
    """
    try:
        payload = json.loads(text)
        if not isinstance(payload, dict):
            raise ValueError("not an object")
        check_storable(payload)  # neither NaN nor unpaired surrogates, which no database takes
    except (ValueError, RecursionError) as error:
        raise Forged(f"not well-formed inside: {type(error).__name__}") from None
    if not isinstance(payload.get("type"), str) or not isinstance(payload.get("content"), dict):
        raise Forged("neither type nor content inside")
    return payload
