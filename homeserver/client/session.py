"""The bot's device at the start: the one it had before, or a new one where that isn't possible.

A device is known to others by its keys. A device whose keys are gone must not get new ones: to everybody else that
looks like an attack, and clients refuse it. So the bot then becomes a new device, and only with the password.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homeserver.client.api import Api
from homeserver.client.backoff import patiently
from homeserver.client.credentials import Credentials, DeadToken, LoginRefused, LostKeys, WrongAccount, keys_file
from homeserver.client.login import login, logout, whoami
from homeserver.encryption.machine import Machine, open_machine
from homeserver.encryption.signing import Owner, read_owner


class DeviceSession:
    """Logs in or comes back. Waits as long as the homeserver is away.

    Args:
        api: makes a client for a token, or for none.
        user_id: who the settings say we are.
        data_dir: locked already.
        password: None where there is none.
        log: gets what people should know.
    """

    def __init__(
        self,
        api: Callable[[str | None], Api],
        user_id: str,
        data_dir: Path,
        password: str | None,
        log: logging.Logger,
    ) -> None:
        self._api = api
        self._user_id = user_id
        self._data_dir = data_dir
        self._password = password
        self._log = log

    async def arrive(self, access_token: str | None, device_id: str | None) -> tuple[Credentials, Machine]:
        """Finds who we are: by the token of the settings, else the stored one, else by logging in. Stores it.

        Args:
            access_token: of the settings.
            device_id: which that token must belong to, where one is named.

        Returns:
            Credentials whose token is alive, and the keys of their device.

        Raises:
            MatrixError: by none of them.
        """
        stored = Credentials.load(self._data_dir)
        if stored is not None and stored.user_id != self._user_id:
            raise WrongAccount(f"{self._data_dir} belongs to {stored.user_id}, the settings say {self._user_id}")
        trouble: DeadToken | LostKeys | None = None
        tokens = [each for each in (access_token, stored.access_token if stored else None) if each]
        for token in dict.fromkeys(tokens):
            try:
                credentials = await self._owner_of(token)
                if token == access_token and device_id not in (None, credentials.device_id):
                    raise WrongAccount(
                        f"the access token belongs to device {credentials.device_id}, the settings say {device_id}"
                    )
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
        return Credentials(user_id, device_id, token)

    async def _keys_of(self, credentials: Credentials) -> Machine:
        """Opens the keys of our device, new ones only where nobody knows any of this device yet.

        Raises:
            LostKeys: others know this device by keys that aren't here. Making new ones would look like an attack.
        """
        shown = (await self.shown(credentials)).devices.get(credentials.device_id)
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

    async def shown(self, credentials: Credentials) -> Owner:
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
