"""Signed JSON and the chain from an identity to its devices."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.encryption.signing import (
    SigningKey,
    canonical_json,
    decode,
    encode,
    is_signed,
    read_owner,
    with_signature,
)

USER = "@moderator:lethe.test"
DEVICE = "DEVICE"
SPEC_SEED = decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


class Person:
    """Keys of one person with one device, as `/keys/query` shows them."""

    def __init__(self, user_id: str = USER) -> None:
        self.user_id = user_id
        self.master, self.self_signing, self.device = (SigningKey(SigningKey.new_seed()) for _ in range(3))

    def key(self, usage: str, key: SigningKey) -> dict[str, Any]:
        return {"user_id": self.user_id, "usage": [usage], "keys": {f"ed25519:{key.public}": key.public}}

    def device_keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = {
            "user_id": self.user_id,
            "device_id": DEVICE,
            "algorithms": [],
            "keys": {f"ed25519:{DEVICE}": self.device.public, f"curve25519:{DEVICE}": encode(b"c" * 32)},
        }
        keys["signatures"] = {self.user_id: {f"ed25519:{DEVICE}": self.device.sign(keys)}}
        return keys

    def answer(self) -> dict[str, Any]:
        self_signing = with_signature(self.key("self_signing", self.self_signing), self.user_id, self.master)
        device = with_signature(self.device_keys(), self.user_id, self.self_signing)
        return {
            "master_keys": {self.user_id: self.key("master", self.master)},
            "self_signing_keys": {self.user_id: self_signing},
            "device_keys": {self.user_id: {DEVICE: device}},
        }


@pytest.mark.parametrize(
    ("value", "signature"),
    [
        ({}, "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"),
        (
            {"one": 1, "two": "Two"},
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
    ],
)
def test_signatures_are_those_of_the_specification(value: dict[str, Any], signature: str) -> None:
    """The test vectors of the specification's appendix "Cryptographic Test Vectors" come out."""
    assert SigningKey(SPEC_SEED).sign(value) == signature


def test_what_is_unsigned_does_not_count() -> None:
    """`signatures` and `unsigned` may change without breaking a signature; anything else may not."""
    key = SigningKey(SPEC_SEED)
    signed = with_signature({"a": 1}, USER, key)
    assert is_signed({**signed, "unsigned": {"x": 1}}, USER, key.public, key.public)
    assert not is_signed({**signed, "a": 2}, USER, key.public, key.public)
    assert not is_signed({**signed, "b": 2}, USER, key.public, key.public)
    assert not is_signed(signed, "@other:lethe.test", key.public, key.public)


def test_a_second_signature_leaves_the_first() -> None:
    """Signing keeps what others signed, and the object that was given."""
    one, other = SigningKey(SPEC_SEED), SigningKey(SigningKey.new_seed())
    first = with_signature({"a": 1}, USER, one)
    both = with_signature(first, USER, other)
    assert is_signed(both, USER, one.public, one.public)
    assert is_signed(both, USER, other.public, other.public)
    assert len(first["signatures"][USER]) == 1


@pytest.mark.parametrize("value", [{"x": float("nan")}, {"x": "\ud800"}, {"\udfff": 1}])
def test_canonical_json_refuses_what_json_cannot_say(value: dict[str, Any]) -> None:
    """NaN and unpaired surrogates have no canonical form."""
    with pytest.raises(ValueError):
        canonical_json(value)


def test_a_signed_device_is_found_signed() -> None:
    """The whole chain: identity, self-signing key, device."""
    person = Person()
    owner = read_owner(person.answer(), USER)
    assert owner.identity_key == person.master.public
    assert owner.self_signing_key == person.self_signing.public
    assert owner.devices[DEVICE].signed
    assert owner.devices[DEVICE].ed25519 == person.device.public


def test_a_device_without_identity_is_unsigned() -> None:
    """A device of somebody without cross-signing is one, unsigned."""
    owner = read_owner({"device_keys": {USER: {DEVICE: Person().device_keys()}}}, USER)
    assert owner.identity_key is None
    assert not owner.devices[DEVICE].signed


def _by_another_self_signing_key(person: Person, answer: dict[str, Any]) -> None:
    answer["device_keys"][USER][DEVICE] = with_signature(person.device_keys(), USER, SigningKey(SigningKey.new_seed()))


def _by_a_stranger(person: Person, answer: dict[str, Any]) -> None:
    stranger = Person("@stranger:lethe.test")
    answer["device_keys"][USER][DEVICE] = with_signature(person.device_keys(), stranger.user_id, person.self_signing)


def _self_signing_key_not_by_master(person: Person, answer: dict[str, Any]) -> None:
    other = SigningKey(SigningKey.new_seed())
    answer["self_signing_keys"][USER] = with_signature(person.key("self_signing", person.self_signing), USER, other)


def _self_signing_key_of_another(person: Person, answer: dict[str, Any]) -> None:
    answer["self_signing_keys"][USER]["user_id"] = "@stranger:lethe.test"


def _master_named_otherwise(person: Person, answer: dict[str, Any]) -> None:
    answer["master_keys"][USER]["keys"] = {"ed25519:other": person.master.public}


def _two_masters(person: Person, answer: dict[str, Any]) -> None:
    other = SigningKey(SigningKey.new_seed()).public
    answer["master_keys"][USER]["keys"][f"ed25519:{other}"] = other


def _wrong_usage(person: Person, answer: dict[str, Any]) -> None:
    answer["self_signing_keys"][USER] = with_signature(
        person.key("user_signing", person.self_signing), USER, person.master
    )


@pytest.mark.parametrize(
    "forge",
    [
        _by_another_self_signing_key,
        _by_a_stranger,
        _self_signing_key_not_by_master,
        _self_signing_key_of_another,
        _master_named_otherwise,
        _two_masters,
        _wrong_usage,
    ],
)
def test_a_broken_chain_makes_an_unsigned_device(forge: Any) -> None:
    """Wherever the chain is broken or made up, the device counts as unsigned."""
    person = Person()
    answer = person.answer()
    forge(person, answer)
    assert not read_owner(answer, USER).devices[DEVICE].signed


@pytest.mark.parametrize("name", ["user_id", "device_id"])
def test_keys_of_another_device_are_no_device(name: str) -> None:
    """A device whose keys name another user or device doesn't exist, signed or not."""
    person = Person()
    keys = person.device_keys()
    keys[name] = "other"
    del keys["signatures"]
    keys["signatures"] = {USER: {f"ed25519:{DEVICE}": person.device.sign(keys)}}
    assert read_owner({"device_keys": {USER: {DEVICE: keys}}}, USER).devices == {}


def test_a_device_that_did_not_sign_itself_is_no_device() -> None:
    """Swapping a device's Olm key needs the device's own signature."""
    keys = Person().device_keys()
    keys["keys"][f"curve25519:{DEVICE}"] = encode(b"x" * 32)
    assert read_owner({"device_keys": {USER: {DEVICE: keys}}}, USER).devices == {}


@given(JSON, st.sampled_from(["device_keys", "master_keys", "self_signing_keys"]))
def test_no_answer_raises(value: Any, name: str) -> None:
    """Whatever another homeserver puts into an answer of /keys/query is read as nothing."""
    for answer in ({name: value}, {name: {USER: value}}, {name: {USER: {DEVICE: value, "keys": value}}}):
        owner = read_owner(answer, USER)
        assert not any(device.signed for device in owner.devices.values())
