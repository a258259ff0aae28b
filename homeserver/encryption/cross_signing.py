"""The bot's own cross-signing identity: made once, stored beside the device keys, and never replaced automatically.

Clients that follow MSC4153 neither read nor write to a device that its owner hasn't signed. So the bot signs its own.

Source: client-server API, "Cross-signing" (`/keys/device_signing/upload`, `/keys/signatures/upload`), "User-interactive
authentication".
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from homeserver.client.api import Api, BadToken, Refused
from homeserver.client.credentials import SEEDS, write_private
from homeserver.encryption.signing import SigningKey, decode, encode, is_signed, read_owner, with_signature

_USAGES = ("master", "self_signing", "user_signing")


class IdentityStatus(StrEnum):
    """How the bot's identity stands at the homeserver."""

    OK = "ok"  # this device is signed by our identity, and the homeserver shows it so
    MISSING_NEEDS_PASSWORD = "missing_needs_password"  # noqa: S105 # not a password: it can't be made without one
    FOREIGN_IDENTITY = "foreign_identity"  # the homeserver shows an identity that we don't have the keys of
    FAILED = "failed"  # the homeserver refuses, or shows something else than was uploaded; see `detail`
    UNKNOWN = "unknown"  # nobody looked yet


@dataclass(frozen=True, slots=True)
class Identity:
    """The status, what we are known by, and what the homeserver said where it failed. Nothing secret."""

    status: IdentityStatus = IdentityStatus.UNKNOWN
    master_key: str | None = None
    detail: str = ""


class Seeds:
    """The three private keys, from `cross_signing.json`."""

    def __init__(self, raw: Mapping[str, bytes]) -> None:
        self.master, self.self_signing, self.user_signing = (SigningKey(raw[usage]) for usage in _USAGES)

    @classmethod
    def load(cls, data_dir: Path) -> Seeds | None:
        """The stored ones, or None.

        Raises:
            ValueError: the file is damaged.
        """
        try:
            stored = json.loads((data_dir / SEEDS).read_text())
            return cls({usage: decode(stored[usage]) for usage in _USAGES})
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{SEEDS} is damaged: {error!r}") from None

    @classmethod
    def make(cls, data_dir: Path) -> Seeds:
        """New ones, on the disk before anybody sees what is made of them."""
        raw = {usage: SigningKey.new_seed() for usage in _USAGES}
        write_private(data_dir / SEEDS, json.dumps({usage: encode(seed) for usage, seed in raw.items()}))
        return cls(raw)

    def public_keys(self, user_id: str) -> dict[str, Any]:
        """The body of `/keys/device_signing/upload`."""
        master = _key_object(user_id, "master", self.master)
        lesser = {
            f"{usage}_key": with_signature(_key_object(user_id, usage, key), user_id, self.master)
            for usage, key in (("self_signing", self.self_signing), ("user_signing", self.user_signing))
        }
        return {"master_key": with_signature(master, user_id, self.master), **lesser}


class CrossSigning:
    """Makes and checks the identity.

    Args:
        api: with the bot's token.
        data_dir: where the seeds are.
        user_id: the bot.
        device_id: its device, whose keys are uploaded already.
        ed25519: the device's own key, as this machine has it.
        password: used only where the homeserver asks for it.
        log: gets one line for each thing done.
    """

    def __init__(
        self,
        api: Api,
        data_dir: Path,
        user_id: str,
        device_id: str,
        ed25519: str,
        password: str | None,
        log: logging.Logger,
    ) -> None:
        self._api = api
        self._data_dir = data_dir
        self._user_id = user_id
        self._device_id = device_id
        self._ed25519 = ed25519
        self._password = password
        self._log = log

    async def look(self) -> Identity:
        """How it stands, from the homeserver's answer and our seeds; changes nothing.

        Raises:
            HomeserverError: no answer.
        """
        try:
            seeds = Seeds.load(self._data_dir)
        except ValueError as error:
            return Identity(IdentityStatus.FAILED, detail=str(error))
        return self._judge(await self._query(), seeds)

    async def establish(self) -> Identity:
        """Makes the identity where there is none, signs this device, and reads back what the homeserver shows then.

        Doing it again changes nothing. An identity that isn't ours is left alone: replacing it would show everybody a
        warning, and is for people to decide.

        Raises:
            HomeserverError: no answer; asking again is safe.
        """
        try:
            seeds = Seeds.load(self._data_dir)
        except ValueError as error:
            return Identity(IdentityStatus.FAILED, detail=str(error))
        answer = await self._query()
        found = self._judge(answer, seeds)
        if found.status in (IdentityStatus.OK, IdentityStatus.FOREIGN_IDENTITY):
            return found
        try:
            if read_owner(answer, self._user_id).self_signing_key is None:
                seeds = seeds or Seeds.make(self._data_dir)
                if not await self._upload(seeds):
                    return Identity(IdentityStatus.MISSING_NEEDS_PASSWORD)
            if seeds is None:
                raise AssertionError("an identity that is ours has seeds")
            await self._sign(seeds, await self._query())
        except Refused as error:
            return Identity(IdentityStatus.FAILED, detail=str(error))
        return self._judge(await self._query(), seeds)

    async def _query(self) -> dict[str, Any]:
        body: dict[str, Any] = {"device_keys": {self._user_id: []}}
        return await self._api.call("POST", "/_matrix/client/v3/keys/query", json=body)

    def _judge(self, answer: Mapping[str, Any], seeds: Seeds | None) -> Identity:
        owner = read_owner(answer, self._user_id)
        if owner.identity_key is None:
            if _nested(answer, "master_keys", self._user_id):
                return Identity(IdentityStatus.FOREIGN_IDENTITY, detail="its master key can't be read")
            return Identity(IdentityStatus.FAILED, detail="the homeserver shows no identity")
        if seeds is None or seeds.master.public != owner.identity_key:
            return Identity(IdentityStatus.FOREIGN_IDENTITY, owner.identity_key)
        device = owner.devices.get(self._device_id)
        if owner.self_signing_key != seeds.self_signing.public:
            return Identity(IdentityStatus.FAILED, owner.identity_key, "its self-signing key isn't the one we made")
        if device is None or device.ed25519 != self._ed25519:
            return Identity(IdentityStatus.FAILED, owner.identity_key, "the homeserver shows other keys of this device")
        if not device.signed:
            return Identity(IdentityStatus.FAILED, owner.identity_key, "the homeserver shows this device unsigned")
        return Identity(IdentityStatus.OK, owner.identity_key)

    async def _upload(self, seeds: Seeds) -> bool:
        """Uploads the public keys; False where that takes a password and there is none.

        Raises:
            HomeserverError: refused, or no answer.
        """
        path = "/_matrix/client/v3/keys/device_signing/upload"
        body = seeds.public_keys(self._user_id)
        try:
            await self._api.call("POST", path, json=body)
        except BadToken as error:
            if error.errcode:  # a dead token; asking for authentication carries no error code
                raise
        else:
            self._log.info("Created the bot's cross-signing identity (%s).", seeds.master.public)
            return True
        if self._password is None:
            return False
        identifier = {"type": "m.id.user", "user": self._user_id}
        proof = {"type": "m.login.password", "identifier": identifier, "password": self._password}
        try:
            await self._api.call("POST", path, json={**body, "auth": proof})
        except BadToken as error:
            if not error.errcode:
                return False  # the homeserver wants something else than a password
            raise
        self._log.info("Created the bot's cross-signing identity (%s).", seeds.master.public)
        return True

    async def _sign(self, seeds: Seeds, answer: Mapping[str, Any]) -> None:
        """Signs this device with our identity, and the identity with this device.

        Raises:
            Refused: the homeserver doesn't take it, or shows other keys of this device than ours.
            HomeserverError: no answer.
        """
        shown = _nested(answer, "device_keys", self._user_id, self._device_id)
        if not is_signed(shown, self._user_id, self._device_id, self._ed25519):
            raise Refused("the homeserver shows other keys of this device than ours", 400)
        device = {name: value for name, value in shown.items() if name != "unsigned"}
        body = {self._user_id: {self._device_id: with_signature(device, self._user_id, seeds.self_signing)}}
        result = await self._api.call("POST", "/_matrix/client/v3/keys/signatures/upload", json=body)
        if result.get("failures"):
            raise Refused("the homeserver doesn't take the signature of this device", 400)
        self._log.info("Signed this device (%s) with the bot's identity.", self._device_id)


def _key_object(user_id: str, usage: str, key: SigningKey) -> dict[str, Any]:
    return {"user_id": user_id, "usage": [usage], "keys": {f"ed25519:{key.public}": key.public}}


def _nested(value: object, *names: str) -> dict[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
