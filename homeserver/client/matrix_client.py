"""The bot's Matrix client: session, sync and sending. Only homeserver/ uses nio; the rest of the program doesn't.

Matrix ── start ───▶ store (lock, credentials) · login · machine (keys) · crypto · identity (cross-signing)
       ── sync ────▶ sync ─▶ timeline (reads, decrypts, drops forgeries) ─▶ devices (whose device?)
       ── send ────▶ crypto (encrypts for everybody's devices)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from homeserver.client.api import Api, BadAnswer, NotFound, Observe, Refused
from homeserver.client.backoff import Backoff, patiently
from homeserver.client.clock import HomeserverClock
from homeserver.client.credentials import Credentials, StoreLock, private_directory
from homeserver.client.rooms import Rooms
from homeserver.client.session import DeviceSession
from homeserver.client.sync import Back, PollMs, Sync, usual_poll_ms
from homeserver.client.timeline import ENCRYPTED, Reader
from homeserver.encryption.cross_signing import CrossSigning, Identity, IdentityStatus
from homeserver.encryption.crypto import Crypto
from homeserver.encryption.devices import Directory
from homeserver.encryption.machine import Machine
from homeserver.encryption.signing import Owner
from removal.incoming import Incoming, SyncBatch

_IN_CLEAR = frozenset({"m.reaction"})
"""Types that clients send in clear in encrypted rooms too: servers count them."""


class MatrixClient:
    """One account on one homeserver.

    Args:
        url: the homeserver's address.
        user_id: the bot's full Matrix ID.
        data_dir: where credentials and keys are; made where it doesn't exist, 0700.
        password: for logging in, and where the homeserver asks for it.
        access_token: instead of a log-in; its device must be one whose keys are here, or one without keys.
        device_id: of the access token, where one is expected.
        log: everything that isn't an error of the caller's.
        backoff: makes the waits of the sync loop.
        clock: is told the homeserver's time with each answer.
        observe: told of each of the homeserver's answers, for monitoring.
        lock: of the data directory, where the caller has it already; it is let go of with the rest.
    """

    def __init__(
        self,
        url: str,
        user_id: str,
        data_dir: Path,
        password: str | None,
        access_token: str | None,
        device_id: str | None,
        log: logging.Logger | None = None,
        backoff: Callable[[], Backoff] = Backoff,
        clock: HomeserverClock | None = None,
        observe: Observe | None = None,
        lock: StoreLock | None = None,
    ) -> None:
        self._url = url
        self._user_id = user_id
        self._data_dir = data_dir
        self._password = password
        self._access_token = access_token
        self._device_id = device_id
        self._log = log or logging.getLogger("lethe.matrix")
        self._backoff = backoff
        self._clock = clock or HomeserverClock()
        self._observe = observe
        self._lock = lock or StoreLock(data_dir)
        self._session: aiohttp.ClientSession | None = None
        self._running: _Running | None = None
        self.identity = Identity()
        """How the bot's own cross-signing stands."""
        self.credentials: Credentials | None = None

    @property
    def api(self) -> Api:
        """The client API with the bot's token. Known once started."""
        return self._started().api

    @property
    def last_synced_ts(self) -> int | None:
        """When the last sync that was stored was asked for, by the homeserver's clock (ms); None before the first.

        Everything that the homeserver had by then has been stored.
        """
        return self._running.sync.last_synced_ts if self._running else None

    # Coming and going

    async def start(self) -> Credentials:
        """Takes the lock, logs in or comes back, makes sure that others can write to us, and signs our device.

        Waits as long as the homeserver is away.

        Raises:
            MatrixError: it can't be, and what to do; see `homeserver.client.credentials`.
            Refused: the homeserver doesn't take our keys.
            OSError: the data directory can't be used.
        """
        private_directory(self._data_dir)
        self._lock.acquire()
        quiet_nio(self._log)
        self._session = aiohttp.ClientSession()
        try:
            session = DeviceSession(self._api, self._user_id, self._data_dir, self._password, self._log)
            credentials, machine = await session.arrive(self._access_token, self._device_id)
            self._running = running = _Running(self, credentials, machine)
            await self._upload_keys(running, await session.shown(credentials))
            await self._sign(running)
        except BaseException:
            await self.close()
            raise
        self.credentials = credentials
        return credentials

    def _api(self, token: str | None) -> Api:
        if self._session is None:
            raise RuntimeError("start first")
        return Api(self._session, self._url, token, self._clock, self._observe)

    def _started(self) -> _Running:
        if self._running is None:
            raise RuntimeError("start first")
        return self._running

    async def _upload_keys(self, running: _Running, shown: Owner) -> None:
        """The device's own keys, where the homeserver hasn't got them; what else is missing is told by the first sync.

        Raises:
            Refused: the homeserver doesn't take them.
        """
        if running.machine.device_id not in shown.devices:
            await patiently(lambda: running.crypto.upload_keys(0, True, needs_device=True), self._log)

    async def _sign(self, running: _Running) -> None:
        """Our own identity. Without it the bot works, but not for everybody; the log and `check` say so."""
        self.identity = await patiently(running.cross_signing.establish, self._log)
        level = logging.INFO if self.identity.status is IdentityStatus.OK else logging.ERROR
        self._log.log(level, "Cross-signing: %s %s", self.identity.status.value, self.identity.detail)

    async def _look_again(self) -> None:
        """Somebody changed our devices or identity; perhaps it was us."""
        before, self.identity = self.identity, await self._started().cross_signing.look()
        if before.status is not self.identity.status:
            level = logging.INFO if self.identity.status is IdentityStatus.OK else logging.ERROR
            self._log.log(level, "Cross-signing is now: %s %s", self.identity.status.value, self.identity.detail)

    async def close(self) -> None:
        """Lets go of everything. The device stays logged in."""
        machine = self._running.machine if self._running else None
        self._running = None
        if machine is not None:
            machine.store.close()
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._lock.release()

    # Hearing

    async def sync_forever(
        self,
        since: str | None,
        store: Callable[[SyncBatch], Awaitable[None]],
        stop: asyncio.Event,
        poll_ms: PollMs = usual_poll_ms,
        back: Back | None = None,
    ) -> None:
        """Hears until `stop` is set.

        Args:
            since: the token of the last batch that was stored.
            store: keeps a batch's events and its token together.
            stop: ends it.
            poll_ms: how long the homeserver may wait for something to tell, asked before each sync.
            back: awaited when the homeserver answers again after it didn't.

        Raises:
            DeadToken: the token is dead.
        """
        await self._started().sync.run(since, store, stop, poll_ms, back)

    async def decrypt(self, event: Incoming) -> Incoming | None:
        """Tries an undecryptable event again.

        Returns:
            It, decrypted; still marked `undecryptable` where its key is still missing; or None where it turned out
            forged (the log says so).

        Raises:
            HomeserverError: the homeserver doesn't say whose device it was; asking again is safe.
        """
        return await self._started().reader.read(event)

    async def identity_of(self, user_id: str) -> str | None:
        """Somebody's cross-signing master key as it is now; None where they have no identity that signs devices.

        Raises:
            HomeserverError: our own homeserver doesn't answer.
        """
        directory = self._started().directory
        await directory.refresh([user_id])
        owner = directory.owner(user_id)
        return owner.identity_key if owner.self_signing_key is not None else None

    # Speaking

    async def send(self, room_id: str, event_type: str, content: Mapping[str, Any], txn_id: str) -> str:
        """Sends an event, encrypted where the room is: once encrypted, for ever.

        Args:
            room_id: a room that the bot is in.
            event_type: such as `m.room.message`.
            content: in clear.
            txn_id: the same one never makes a second event, not even after a restart.

        Returns:
            Its event_id; empty for a reaction that was there already.

        Raises:
            RateLimited: wait `retry_after`, then send it again with the same `txn_id`.
            HomeserverError: as in `homeserver.client.api`; sending again with the same `txn_id` is always safe.
        """
        running = self._started()
        body = dict(content)
        if event_type not in _IN_CLEAR and await self._is_encrypted(room_id):
            members = await self._members(room_id)
            body = await running.crypto.encrypt(room_id, members, event_type, body)
            event_type = ENCRYPTED
        path = "/_matrix/client/v3/rooms/{}/send/{}/{}"
        try:
            answer = await running.api.call("PUT", path, room_id, event_type, txn_id, json=body, timeout=60.0)
        except Refused as error:
            if error.errcode == "M_DUPLICATE_ANNOTATION":
                return ""
            raise
        return _event_id(answer)

    async def redact(self, room_id: str, event_id: str, txn_id: str, reason: str | None = None) -> str:
        """Redacts an event (such as one of the bot's own reactions); returns the redaction's event_id.

        Raises:
            HomeserverError: as `send`.
        """
        path = "/_matrix/client/v3/rooms/{}/redact/{}/{}"
        body = {"reason": reason} if reason else {}
        return _event_id(await self.api.call("PUT", path, room_id, event_id, txn_id, json=body))

    async def join(self, room_id: str) -> None:
        """Joins, or accepts an invitation: `POST /_matrix/client/v3/rooms/{roomId}/join`.

        Raises:
            HomeserverError: it didn't work, or isn't known to have.
        """
        await self.api.call("POST", "/_matrix/client/v3/rooms/{}/join", room_id, json={}, timeout=180.0)

    async def join_by(self, room: str) -> None:
        """Joins a room by its address or its id: `POST /_matrix/client/v3/join/{roomIdOrAlias}`.

        Raises:
            HomeserverError: it didn't work, or isn't known to have.
        """
        await self.api.call("POST", "/_matrix/client/v3/join/{}", room, json={}, timeout=180.0)

    async def leave(self, room_id: str, reason: str = "") -> None:
        """Leaves, or declines an invitation: `POST /_matrix/client/v3/rooms/{roomId}/leave`.

        Args:
            reason: shown to those who are in the room.

        Raises:
            HomeserverError: it didn't work, or isn't known to have.
        """
        body = {"reason": reason} if reason else {}
        await self.api.call("POST", "/_matrix/client/v3/rooms/{}/leave", room_id, json=body, timeout=60.0)

    async def forget(self, room_id: str) -> None:
        """Forgets a room that was left: `POST /_matrix/client/v3/rooms/{roomId}/forget`.

        Raises:
            HomeserverError: it didn't work, or isn't known to have.
        """
        await self.api.call("POST", "/_matrix/client/v3/rooms/{}/forget", room_id, json={})

    async def _is_encrypted(self, room_id: str) -> bool:
        running = self._started()
        if room_id in running.encrypted_rooms:
            return True
        path = "/_matrix/client/v3/rooms/{}/state/m.room.encryption/"
        try:
            await running.api.call("GET", path, room_id)
        except NotFound as error:
            if error.errcode != "M_NOT_FOUND":
                raise
            return False
        running.pin_encrypted(room_id)
        return True

    async def _members(self, room_id: str) -> list[str]:
        return await Rooms(self.api).readers(room_id, self._user_id)


class _Running:
    """What there is once we know who we are."""

    def __init__(self, matrix: MatrixClient, credentials: Credentials, machine: Machine) -> None:
        log = matrix._log
        self.machine = machine
        self.api = matrix._api(credentials.access_token)
        self.directory = Directory(self.api, machine.learn_devices, log)
        self.crypto = Crypto(self.api, machine, self.directory, log)
        self.reader = Reader(self.crypto, self.directory, log)
        self.encrypted_rooms: set[str] = machine.store.load_encrypted_rooms()
        self.sync = Sync(
            self.api,
            self.crypto,
            self.directory,
            self.reader,
            credentials.user_id,
            self.pin_encrypted,
            matrix._look_again,
            log,
            matrix._backoff(),
            matrix._clock,
        )
        self.cross_signing = CrossSigning(
            self.api,
            matrix._data_dir,
            credentials.user_id,
            credentials.device_id,
            machine.account.identity_keys["ed25519"],
            matrix._password,
            log,
        )

    def pin_encrypted(self, room_id: str) -> None:
        """From now on the room is encrypted, whatever anybody says later."""
        if room_id not in self.encrypted_rooms:
            self.encrypted_rooms.add(room_id)
            self.machine.store.save_encrypted_rooms({room_id})


def _event_id(answer: Mapping[str, Any]) -> str:
    event_id = answer.get("event_id")
    if not isinstance(event_id, str):
        raise BadAnswer("sending an event: the answer lacks event_id")
    return event_id


class _Quiet(logging.Handler):
    """Passes a library's log records on to our log at debug level."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._to = log

    def emit(self, record: logging.LogRecord) -> None:
        self._to.debug("%s", record.getMessage())


def quiet_nio(log: logging.Logger) -> None:
    """nio warns about events that any stranger can send; they are logged at debug level only."""
    nio = logging.getLogger("nio")
    if not any(isinstance(handler, _Quiet) for handler in nio.handlers):
        nio.propagate = False
        nio.addHandler(_Quiet(log))
