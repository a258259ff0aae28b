"""Whatever strangers, other servers or a broken homeserver send: nothing raises, and nothing unstorable gets through.

`LETHE_FUZZ=20000 pytest tests/unit/test_poison.py` tries that many examples of each kind; 100 without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.client.timeline import parse
from homeserver.encryption.crypto import MEGOLM, OLM
from removal.incoming import Incoming
from tests.support.bot_and_stranger import BOT, ROOM, STRANGER, Parts

EXAMPLES = int(os.environ.get("LETHE_FUZZ", "100"))
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


def storable(event: Incoming | None) -> None:
    """Fails for what a database or a log couldn't take."""
    if event is not None:
        json.dumps([event.content, event.type, event.sender, event.event_id], allow_nan=False).encode()
        json.dumps(event.content, ensure_ascii=False).encode()
        assert 0 <= event.origin_server_ts < 2**53
        asdict(event)  # which goes down into every object, as the inbox does


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """One store for all examples of this file: what one leaves behind must not harm the next."""
    made = Parts(tmp_path_factory.mktemp("keys"))
    yield made
    made.close()


@fuzz
@given(EVENT | JSON)
def test_any_event_is_read_or_dropped(parts: Parts, raw: Any) -> None:
    """Whatever stands in a timeline is read as something storable, or dropped."""
    event = parse(raw, ROOM)
    storable(event)
    if event is not None:
        storable(parts.loop.run_until_complete(parts.reader.read(event)))


def _dumps(value: Any, escaped: bool) -> str:
    """As text that can be encrypted; where not `escaped`, without what UTF-8 can't say."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=escaped)
    return text.encode(errors="ignore").decode()


@fuzz
@given(PAYLOAD | JSON | st.text(max_size=30), st.booleans(), st.integers(min_value=0, max_value=10**6))
def test_any_decrypted_payload_is_read_or_dropped(parts: Parts, payload: Any, escaped: bool, number: int) -> None:
    """Whatever a member encrypts is read as something storable that is no state, or dropped."""
    ciphertext = parts.session.encrypt(_dumps(payload, escaped))
    content = {"algorithm": MEGOLM, "session_id": parts.session.id, "ciphertext": ciphertext}
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
    storable(read)
    assert read is None or (read.encrypted and read.state_key is None and read.type != "m.room.member")


@pytest.mark.parametrize("depth", [100, 300, 600, 950, 3_000, 14_000])
@pytest.mark.parametrize("ends", [('{"a":', "}"), ("[", "]")])
def test_a_deeply_nested_payload_is_read_or_dropped(parts: Parts, depth: int, ends: tuple[str, str]) -> None:
    """What a member encrypts may be nested as deep as it likes: no homeserver can see into it, and the bot goes on."""
    nested = ends[0] * depth + "1" + ends[1] * depth
    payload = f'{{"type": "m.room.message", "content": {{"msgtype": "m.text", "body": "x", "y": {nested}}}}}'
    content = {"algorithm": MEGOLM, "session_id": parts.session.id, "ciphertext": parts.session.encrypt(payload)}
    encrypted = Incoming(f"$deep-{depth}-{ends[1]}", ROOM, STRANGER, "m.room.encrypted", content, 1)
    read = parts.loop.run_until_complete(parts.reader.read(encrypted))
    storable(read)
    assert (read is not None) == (depth == 100)
    event = (
        parse({**json.loads(payload), "event_id": "$clear", "sender": STRANGER, "origin_server_ts": 1}, ROOM)
        if (depth < 900)
        else None
    )
    storable(event)


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
    | JSON,
    st.booleans(),
)
def test_any_decrypted_message_to_the_device_is_dropped(parts: Parts, payload: Any, escaped: bool) -> None:
    """Whatever comes through a real Olm channel raises nothing, and the real session stays."""
    if isinstance(payload, dict) and isinstance(payload.get("recipient_keys"), dict):
        payload["recipient_keys"]["ed25519"] = parts.machine.account.identity_keys["ed25519"]  # or nothing is read
    parts.crypto.receive([parts.olm(_dumps(payload, escaped))])
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
        storable(event)


@fuzz
@given(JSON, st.lists(TEXT, max_size=3))
def test_any_answer_about_devices_is_taken(parts: Parts, answer: Any, user_ids: list[str]) -> None:
    """Whatever the homeserver tells of people's devices raises nothing."""
    parts.api.answer = {"device_keys": answer, "master_keys": answer}
    parts.loop.run_until_complete(parts.directory.refresh(user_ids, anew=True))
    parts.api.answer = {"one_time_keys": answer}
    parts.loop.run_until_complete(parts.crypto._claim({user_id: ["DEVICE"] for user_id in user_ids}))
    parts.api.answer = {}
