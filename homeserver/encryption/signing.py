"""Signed JSON: canonical form, ed25519 signatures, and whether a device belongs to its owner's identity.

nio knows no cross-signing, so the chain master key → self-signing key → device is followed here.

Sources: Matrix specification, appendices "Canonical JSON", "Signing JSON", "Unpadded Base64"; client-server API,
"Cross-signing".
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

SEED_BYTES = 32
"""What an ed25519 private key is made from."""
NESTING_MAX = 200
"""Objects and lists within each other, more than homeservers take in clear events; into encrypted ones they can't see.
Far deeper, whatever walks through a value later (copying, storing, reading) would fail."""
_SIGNATURE_BYTES = 64


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """The one form in which an object is signed: keys sorted, no white space, UTF-8.

    Raises:
        ValueError: it holds something that JSON can't say (NaN, an unpaired surrogate).
        RecursionError: it is nested too deeply.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return text.encode()


def check_storable(value: Mapping[str, Any]) -> None:
    """Makes sure that everything after us can store, copy and print what a stranger sent.

    Raises:
        ValueError: it can't be written as UTF-8 JSON, or is nested deeper than `NESTING_MAX`.
        RecursionError: it is nested far too deeply.
    """
    canonical_json(value)
    level: list[Any] = [value]
    for _ in range(NESTING_MAX):
        objects = [each for each in level if isinstance(each, dict | list)]
        level = [inner for each in objects for inner in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return
    raise ValueError("nested too deeply")


def encode(raw: bytes) -> str:
    """Base64 without padding."""
    return base64.b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of base64 with or without padding.

    Raises:
        ValueError: it isn't base64.
    """
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


class SigningKey:
    """An ed25519 key pair.

    Args:
        seed: `SEED_BYTES` bytes; keep them secret.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes")
        self._key = ECC.construct(curve="Ed25519", seed=seed)
        self.public = encode(self._key.public_key().export_key(format="raw"))

    @staticmethod
    def new_seed() -> bytes:
        return secrets.token_bytes(SEED_BYTES)

    def sign(self, value: Mapping[str, Any]) -> str:
        """The signature of an object, without regard to `signatures` and `unsigned` in it."""
        return encode(eddsa.new(self._key, "rfc8032").sign(canonical_json(_signed_part(value))))


def with_signature(value: Mapping[str, Any], user_id: str, key: SigningKey) -> dict[str, Any]:
    """A copy of the object that carries one signature more."""
    signatures = {user: dict(each) for user, each in dict(value.get("signatures", {})).items()}
    signatures.setdefault(user_id, {})[f"ed25519:{key.public}"] = key.sign(value)
    return {**value, "signatures": signatures}


def is_signed(value: Mapping[str, Any], user_id: str, key_id: str, public: str) -> bool:
    """Whether the object carries a valid signature.

    Args:
        value: an object from anywhere; nothing in it is believed.
        user_id: whose signature.
        key_id: what stands behind `ed25519:`, a device's id or a public key.
        public: the ed25519 public key in base64.
    """
    try:
        signature = decode(value["signatures"][user_id][f"ed25519:{key_id}"])
        if len(signature) != _SIGNATURE_BYTES:
            return False
        key = eddsa.import_public_key(decode(public))
        eddsa.new(key, "rfc8032").verify(canonical_json(_signed_part(value)), signature)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return False
    return True


def _signed_part(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in value.items() if name not in ("signatures", "unsigned")}


@dataclass(frozen=True, slots=True)
class Device:
    """A device whose keys are signed by itself.

    `signed` says that its owner's self-signing key vouches for it.
    """

    device_id: str
    curve25519: str
    ed25519: str
    display_name: str = ""
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """What `/keys/query` tells of one person: the devices that hold together, and the identity where there is one."""

    devices: Mapping[str, Device]
    identity_key: str | None = None
    """The master key (ed25519, base64)."""
    self_signing_key: str | None = None
    """Known only where the master key vouches for it."""


def read_owner(answer: Mapping[str, Any], user_id: str) -> Owner:
    """Takes from an answer of `/keys/query` what is consistent and rightly signed; the rest doesn't exist for us.

    Source: `POST /_matrix/client/v3/keys/query`.
    """
    master = _object(_object(answer.get("master_keys")).get(user_id))
    identity_key = _cross_signing_key(master, user_id, "master")
    self_signing = _object(_object(answer.get("self_signing_keys")).get(user_id))
    self_signing_key = _cross_signing_key(self_signing, user_id, "self_signing")
    if identity_key is None or not is_signed(self_signing, user_id, identity_key, identity_key):
        self_signing_key = None
    devices = {}
    for device_id, keys in _object(_object(answer.get("device_keys")).get(user_id)).items():
        device = _device(_object(keys), user_id, device_id, self_signing_key)
        if device is not None:
            devices[device_id] = device
    return Owner(devices, identity_key, self_signing_key)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _cross_signing_key(keys: Mapping[str, Any], user_id: str, usage: str) -> str | None:
    """The public key of a cross-signing key object that is one; its name and value must agree."""
    named = _object(keys.get("keys"))
    usages = keys.get("usage")
    if keys.get("user_id") != user_id or not isinstance(usages, list) or usage not in usages or len(named) != 1:
        return None
    ((name, public),) = named.items()
    return public if isinstance(public, str) and name == f"ed25519:{public}" else None


def _device(keys: Mapping[str, Any], user_id: str, device_id: str, self_signing_key: str | None) -> Device | None:
    if keys.get("user_id") != user_id or keys.get("device_id") != device_id:
        return None
    named = _object(keys.get("keys"))
    curve25519, ed25519 = named.get(f"curve25519:{device_id}"), named.get(f"ed25519:{device_id}")
    if not isinstance(curve25519, str) or not isinstance(ed25519, str):
        return None
    if not is_signed(keys, user_id, device_id, ed25519):
        return None
    name = _object(keys.get("unsigned")).get("device_display_name")
    signed = self_signing_key is not None and is_signed(keys, user_id, self_signing_key, self_signing_key)
    return Device(device_id, curve25519, ed25519, name if isinstance(name, str) else "", signed)
