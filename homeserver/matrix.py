"""The bot on Matrix: who it is, what it hears, what it says. The one door to nio; the rest of the program knows none.

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

from events import Incoming, SyncBatch
from homeserver.api import Api, BadAnswer, NotFound, Refused
from homeserver.backoff import Backoff, patiently
from homeserver.crypto import Crypto
from homeserver.devices import Directory
from homeserver.identity import CrossSigning, Identity
from homeserver.login import login, logout, whoami
from homeserver.machine import Machine, open_machine
from homeserver.signing import Owner, read_owner
from homeserver.store import (
    Credentials,
    DeadToken,
    LoginRefused,
    LostKeys,
    StoreLock,
    WrongAccount,
    keys_file,
    private_directory,
)
from homeserver.sync import Sync
from homeserver.timeline import ENCRYPTED, Reader

_IN_CLEAR = frozenset({"m.reaction"})
"""Types that clients send in clear in encrypted rooms too: servers count them."""


class Matrix:
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
    ) -> None:
        self._url = url
        self._user_id = user_id
        self._data_dir = data_dir
        self._password = password
        self._access_token = access_token
        self._device_id = device_id
        self._log = log or logging.getLogger("lethe.matrix")
        self._backoff = backoff
        self._lock: StoreLock | None = None
        self._session: aiohttp.ClientSession | None = None
        self._machine: Machine | None = None
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
        """When the last sync was stored, by this machine's clock (ms); None before the first."""
        return self._running.sync.last_synced_ts if self._running else None

    # Coming and going

    async def start(self) -> Credentials:
        """Takes the lock, logs in or comes back, makes sure that others can write to us, and signs our device.

        Waits as long as the homeserver is away.

        Raises:
            MatrixError: it can't be, and what to do; see `homeserver.store`.
            Refused: the homeserver doesn't take our keys.
            OSError: the data directory can't be used.
        """
        private_directory(self._data_dir)
        self._lock = StoreLock(self._data_dir)
        self._lock.acquire()
        quiet_nio(self._log)
        self._session = aiohttp.ClientSession()
        try:
            credentials, machine = await self._become()
        except BaseException:
            await self.close()
            raise
        self.credentials = credentials
        try:
            self._running = running = _Running(self, credentials, machine)
            await self._upload_keys(running, credentials)
            await self._sign(running, credentials)
        except BaseException:
            await self.close()
            raise
        return credentials

    def _api(self, token: str | None) -> Api:
        if self._session is None:
            raise RuntimeError("start first")
        return Api(self._session, self._url, token)

    def _started(self) -> _Running:
        if self._running is None:
            raise RuntimeError("start first")
        return self._running

    async def _become(self) -> tuple[Credentials, Machine]:
        """Finds who we are: by the token of the settings, else the stored one, else by logging in.

        Raises:
            MatrixError: by none of them.
        """
        stored = Credentials.load(self._data_dir)
        if stored is not None and stored.user_id != self._user_id:
            raise WrongAccount(f"{self._data_dir} belongs to {stored.user_id}, the settings say {self._user_id}")
        trouble: DeadToken | LostKeys | None = None
        tokens = [each for each in (self._access_token, stored.access_token if stored else None) if each]
        for token in dict.fromkeys(tokens):
            try:
                credentials = await self._owner_of(token)
                machine = await self._keys_of(credentials)
            except (DeadToken, LostKeys) as error:
                trouble = trouble or error
                continue
            if credentials != stored:
                credentials.save(self._data_dir)
            return credentials, machine
        if self._password is None:
            if trouble is not None:
                raise trouble
            raise LoginRefused("there is neither a password nor an access token to log in with")
        if trouble is not None:
            self._log.warning("%s. Logging in with the password.", trouble)
        return await self._log_in(stored, self._password)

    async def _owner_of(self, token: str) -> Credentials:
        """Who a token makes us.

        Raises:
            DeadToken: nobody.
            WrongAccount: somebody else than the settings say.
        """
        user_id, device_id = await patiently(lambda: whoami(self._api(token)), self._log)
        if user_id != self._user_id:
            raise WrongAccount(f"the access token belongs to {user_id}, the settings say {self._user_id}")
        if device_id is None:
            raise WrongAccount(
                "the access token belongs to no device, so nothing could be encrypted with it: use one from a log-in"
            )
        if token == self._access_token and self._device_id not in (None, device_id):
            raise WrongAccount(f"the access token belongs to device {device_id}, the settings say {self._device_id}")
        return Credentials(user_id, device_id, token)

    async def _keys_of(self, credentials: Credentials) -> Machine:
        """Opens the keys of our device, new ones only where nobody knows any of this device yet.

        Raises:
            LostKeys: others know this device by keys that aren't here. Making new ones would look like an attack.
        """
        shown = (await self._shown(credentials)).devices.get(credentials.device_id)
        file = keys_file(self._data_dir, credentials.device_id)
        lost = LostKeys(
            f"the encryption keys of device {credentials.device_id} aren't in {file.parent}, but others know it "
            "already. Put them back from a backup; or set homeserver.password, and the bot logs in as a new device; "
            "or give it the access token of a new log-in"
        )
        if shown is not None and not file.exists():
            raise lost
        machine = open_machine(file, credentials.user_id, credentials.device_id)
        ours = machine.account.identity_keys
        if shown is not None and (shown.ed25519, shown.curve25519) != (ours["ed25519"], ours["curve25519"]):
            machine.store.close()
            raise lost
        return machine

    async def _shown(self, credentials: Credentials) -> Owner:
        """What the homeserver shows of us to others."""
        body: dict[str, Any] = {"device_keys": {credentials.user_id: []}}
        api = self._api(credentials.access_token)
        answer = await patiently(lambda: api.call("POST", "/_matrix/client/v3/keys/query", json=body), self._log)
        return read_owner(answer, credentials.user_id)

    async def _log_in(self, stored: Credentials | None, password: str) -> tuple[Credentials, Machine]:
        """Logs in: as the stored device while its keys are here, else as a new one.

        Raises:
            LoginRefused: the homeserver doesn't let us.
        """
        if stored is not None and keys_file(self._data_dir, stored.device_id).exists():
            credentials = await self._log_in_as(stored.device_id, password)
            try:
                machine = await self._keys_of(credentials)
            except LostKeys as error:
                self._log.warning("%s.", error)
                stored = credentials
            else:
                credentials.save(self._data_dir)
                return credentials, machine
        credentials = await self._log_in_as(None, password)
        credentials.save(self._data_dir)
        if stored is not None:
            self._log.warning(
                "The bot is a new device now (%s instead of %s).", credentials.device_id, stored.device_id
            )
            await self._forget_device(stored)
        return credentials, await self._keys_of(credentials)

    async def _log_in_as(self, device_id: str | None, password: str) -> Credentials:
        credentials = await patiently(lambda: login(self._api(None), self._user_id, password, device_id), self._log)
        if credentials.user_id != self._user_id:
            raise WrongAccount(f"the log-in made us {credentials.user_id}, the settings say {self._user_id}")
        return credentials

    async def _forget_device(self, old: Credentials) -> None:
        """Ends a device that can't read any more, so that nobody goes on writing to it."""
        try:
            await logout(self._api(old.access_token))
        except Exception as error:
            self._log.warning("The old device %s couldn't be logged out: %s", old.device_id, error)

    async def _upload_keys(self, running: _Running, credentials: Credentials) -> None:
        shown = credentials.device_id in (await self._shown(credentials)).devices
        # Counts are told by the first sync; without device keys there are none.
        await patiently(
            lambda: running.crypto.upload_keys(None if shown else 0, not shown, needs_device=not shown), self._log
        )

    async def _sign(self, running: _Running, credentials: Credentials) -> None:
        """Our own identity. Without it the bot works, but not for everybody; the log and `check` say so."""
        self.identity = await patiently(running.cross_signing.establish, self._log)
        self._log.info("Cross-signing: %s %s", self.identity.status.value, self.identity.detail)

    async def close(self) -> None:
        """Lets go of everything. The device stays logged in."""
        machine = self._running.machine if self._running else None
        self._running = None
        if machine is not None:
            machine.store.close()
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # Hearing

    async def sync_forever(
        self, since: str | None, store: Callable[[SyncBatch], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        """Hears until `stop` is set.

        Args:
            since: the token of the last batch that was stored.
            store: keeps a batch's events and its token together.
            stop: ends it.

        Raises:
            DeadToken: the token is dead.
        """
        await self._started().sync.run(since, store, stop)

    async def decrypt(self, event: Incoming) -> Incoming | None:
        """Tries an undecryptable event again.

        Returns:
            It, decrypted; or None where its key is still missing, or where it turned out forged (the log says so).

        Raises:
            HomeserverError: the homeserver doesn't say whose device it was; asking again is safe.
        """
        read = await self._started().reader.read(event)
        return None if read is None or read.undecryptable else read

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
            HomeserverError: as in `homeserver.api`; sending again with the same `txn_id` is always safe.
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

    async def leave(self, room_id: str) -> None:
        """Leaves, or declines an invitation: `POST /_matrix/client/v3/rooms/{roomId}/leave`.

        Raises:
            HomeserverError: it didn't work, or isn't known to have.
        """
        await self.api.call("POST", "/_matrix/client/v3/rooms/{}/leave", room_id, json={}, timeout=60.0)

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
        """Who is joined now, from the homeserver: `GET /_matrix/client/v3/rooms/{roomId}/joined_members`."""
        answer = await self.api.call("GET", "/_matrix/client/v3/rooms/{}/joined_members", room_id, timeout=60.0)
        joined = answer.get("joined")
        if not isinstance(joined, dict):
            raise BadAnswer(f"GET joined_members of {room_id}: the answer lacks 'joined'")
        return list(joined)


class _Running:
    """What there is once we know who we are."""

    def __init__(self, matrix: Matrix, credentials: Credentials, machine: Machine) -> None:
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
            log,
            matrix._backoff(),
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
    """Hands what a library says on to our log, for whoever looks closely."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._to = log

    def emit(self, record: logging.LogRecord) -> None:
        self._to.debug("%s", record.getMessage())


def quiet_nio(log: logging.Logger) -> None:
    """nio warns of what any stranger can send; that is no news for people."""
    nio = logging.getLogger("nio")
    if not any(isinstance(handler, _Quiet) for handler in nio.handlers):
        nio.propagate = False
        nio.addHandler(_Quiet(log))
