"""Whatever strangers, other servers or a broken homeserver send: nothing raises, and nothing unstorable gets through.

`LETHE_FUZZ=20000 pytest tests/unit/test_poison.py` tries that many examples of each kind; 100 without it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nio.crypto import OlmDevice, OutboundGroupSession, OutboundSession

from events import Incoming
from homeserver.api import Api
from homeserver.crypto import Crypto
from homeserver.devices import Directory
from homeserver.machine import Claim, Machine, open_machine
from homeserver.signing import encode
from homeserver.sync import Sync
from homeserver.timeline import Reader, parse

EXAMPLES = int(os.environ.get("LETHE_FUZZ", "100"))
BOT, STRANGER, ROOM = "@lethe:lethe.test", "@stranger:lethe.test", "!room:lethe.test"
OLM, MEGOLM = "m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TEXT = st.text(max_size=12) | st.sampled_from(["\ud800", "", "\u0000", "AAAA", "A" * 43, "é", MEGOLM, OLM, ROOM, BOT])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def some(keys: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with those keys, each of them right, wrong, or missing."""
    return st.fixed_dictionaries({}, optional={key: value | JSON for key, value in keys.items()})


EVENT = some(
    {
        "event_id": st.just("$event"),
        "sender": st.sampled_from([BOT, STRANGER]),
        "type": st.sampled_from(["m.room.message", "m.room.encrypted", "m.room.member", "m.room.encryption"]),
        "origin_server_ts": st.integers(),
        "state_key": st.sampled_from(["", BOT]),
        "redacts": TEXT,
        "content": some(
            {
                "algorithm": st.just(MEGOLM),
                "session_id": TEXT,
                "ciphertext": TEXT,
                "sender_key": TEXT,
                "device_id": TEXT,
                "m.relates_to": JSON,
                "membership": st.just("invite"),
            }
        ),
        "unsigned": JSON,
    }
)
PAYLOAD = some(
    {
        "type": st.sampled_from(["m.room.message", "m.room.member", "m.reaction"]),
        "content": some({"body": TEXT, "msgtype": TEXT, "m.relates_to": JSON}),
        "room_id": st.just(ROOM),
        "state_key": st.just(""),
    }
)


class Asked(Api):
    """Answers whatever it is told to."""

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        super().__init__(session, "http://server", None)  # type: ignore[arg-type] # never asked
        self.answer: dict[str, Any] = {}

    async def call(self, method: str, path: str, *ids: str, **options: Any) -> dict[str, Any]:
        return self.answer


class Parts:
    """The real parsing path on a real store, and a stranger's keys."""

    def __init__(self, directory: Path) -> None:
        log = logging.getLogger("lethe.fuzz")
        self.api = Asked()
        self.machine: Machine = open_machine(directory / "bot.db", BOT, "BOT")
        self.directory = Directory(self.api, self.machine.learn_devices, log)
        self.crypto = Crypto(self.api, self.machine, self.directory, log)
        self.reader = Reader(self.crypto, self.directory, log)
        self.sync = Sync(self.api, self.crypto, self.directory, self.reader, BOT, lambda room: None, self._nothing, log)
        self.stranger = open_machine(directory / "stranger.db", STRANGER, "STRANGER")
        keys = self.machine.account.identity_keys
        self.bot_device = OlmDevice(BOT, "BOT", {**keys})
        account = self.machine.account._account
        account.generate_one_time_keys(1)
        one_time_key = next(iter(account.one_time_keys.values())).to_base64()
        self.channel = OutboundSession(self.stranger.account, keys["curve25519"], one_time_key)
        self.session = OutboundGroupSession()
        self.session.mark_as_shared()
        self.session.max_messages = 10**9
        stranger_keys = self.stranger.account.identity_keys
        claim = Claim(STRANGER, stranger_keys["curve25519"], stranger_keys["ed25519"])
        self.machine._add_session(claim, ROOM, self.session.id, self.session.session_key)
        self.loop = asyncio.new_event_loop()

    async def _nothing(self) -> None:
        return None

    def olm(self, plaintext: str) -> dict[str, Any]:
        """A message that the bot can decrypt."""
        kind, ciphertext = self.channel.encrypt(plaintext).to_parts()
        own = self.machine.account.identity_keys["curve25519"]
        content = {
            "algorithm": OLM,
            "sender_key": self.stranger.account.identity_keys["curve25519"],
            "ciphertext": {own: {"type": kind, "body": encode(ciphertext)}},
        }
        return {"type": "m.room.encrypted", "sender": STRANGER, "content": content}

    def storable(self, event: Incoming | None) -> None:
        if event is not None:
            json.dumps([event.content, event.type, event.sender, event.event_id], allow_nan=False).encode()
            json.dumps(event.content, ensure_ascii=False).encode()
            assert 0 <= event.origin_server_ts < 2**53


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """One store for all examples of this file: what one leaves behind must not harm the next."""
    made = Parts(tmp_path_factory.mktemp("keys"))
    yield made
    made.loop.close()
    made.machine.store.close()
    made.stranger.store.close()


@fuzz
@given(EVENT | JSON)
def test_any_event_is_read_or_dropped(parts: Parts, raw: Any) -> None:
    """Whatever stands in a timeline is read as something storable, or dropped."""
    event = parse(raw, ROOM)
    parts.storable(event)
    if event is not None:
        parts.storable(parts.loop.run_until_complete(parts.reader.read(event)))


def _dumps(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=random.random() < 0.5)  # noqa: S311 # both must do
    except (ValueError, RecursionError):
        return "[]"


@fuzz
@given(PAYLOAD | JSON | st.text(max_size=30), st.integers(min_value=0, max_value=10**6))
def test_any_decrypted_payload_is_read_or_dropped(parts: Parts, payload: Any, number: int) -> None:
    """Whatever a member encrypts is read as something storable that is no state, or dropped."""
    plaintext = payload if isinstance(payload, str) else _dumps(payload).encode(errors="ignore").decode()
    content = {"algorithm": MEGOLM, "session_id": parts.session.id, "ciphertext": parts.session.encrypt(plaintext)}
    event = parse(
        {
            "event_id": f"$event-{number}",
            "sender": STRANGER,
            "type": "m.room.encrypted",
            "content": content,
            "origin_server_ts": 1,
        },
        ROOM,
    )
    assert event is not None
    read = parts.loop.run_until_complete(parts.reader.read(event))
    parts.storable(read)
    assert read is None or (read.encrypted and read.state_key is None and read.type != "m.room.member")


@fuzz
@given(st.lists(EVENT | JSON, max_size=4))
def test_any_message_to_the_device_is_dropped(parts: Parts, messages: list[Any]) -> None:
    """Whatever is sent to the device raises nothing."""
    parts.crypto.receive(messages)


@fuzz
@given(
    some(
        {
            "sender": st.sampled_from([STRANGER, BOT]),
            "sender_device": TEXT,
            "keys": some({"ed25519": TEXT}),
            "recipient": st.sampled_from([BOT, STRANGER]),
            "recipient_keys": some({"ed25519": TEXT}),
            "type": st.sampled_from(["m.room_key", "m.forwarded_room_key", "m.dummy", "m.secret.send"]),
            "content": some({"algorithm": st.just(MEGOLM), "room_id": TEXT, "session_id": TEXT, "session_key": TEXT}),
        }
    )
    | JSON
)
def test_any_decrypted_message_to_the_device_is_dropped(parts: Parts, payload: Any) -> None:
    """Whatever comes through a real Olm channel raises nothing, and the real session stays."""
    if isinstance(payload, dict) and isinstance(payload.get("recipient_keys"), dict):
        payload["recipient_keys"]["ed25519"] = parts.machine.account.identity_keys["ed25519"]  # or nothing is read
    parts.crypto.receive([parts.olm(_dumps(payload).encode(errors="ignore").decode())])
    assert parts.session.id in parts.machine.sessions


@fuzz
@given(
    some(
        {
            "next_batch": st.just("token"),
            "to_device": some({"events": st.lists(EVENT, max_size=2)}),
            "device_lists": some({"changed": st.lists(TEXT, max_size=2), "left": st.lists(TEXT, max_size=2)}),
            "rooms": some(
                {
                    "join": st.dictionaries(
                        TEXT,
                        some({"timeline": some({"events": st.lists(EVENT, max_size=2), "limited": st.just(True)})}),
                    ),
                    "invite": st.dictionaries(
                        TEXT, some({"invite_state": some({"events": st.lists(EVENT, max_size=2)})})
                    ),
                    "leave": JSON,
                }
            ),
        }
    )
)
def test_any_sync_answer_makes_a_batch(parts: Parts, answer: dict[str, Any]) -> None:
    """Whatever an answer of /sync holds, what is left of it becomes a batch of storable events."""
    answer["next_batch"] = "token"
    parts.sync._note_devices(answer)
    batch = parts.loop.run_until_complete(parts.sync._batch(answer, "since"))
    for event in batch.events:
        parts.storable(event)


@fuzz
@given(JSON, st.lists(TEXT, max_size=3))
def test_any_answer_about_devices_is_taken(parts: Parts, answer: Any, user_ids: list[str]) -> None:
    """Whatever the homeserver tells of people's devices raises nothing."""
    parts.api.answer = {"device_keys": answer, "master_keys": answer}
    parts.loop.run_until_complete(parts.directory.refresh(user_ids, anew=True))
    parts.api.answer = {"one_time_keys": answer}
    parts.loop.run_until_complete(parts.crypto._claim({user_id: ["DEVICE"] for user_id in user_ids}))
    parts.api.answer = {}
