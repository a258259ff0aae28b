"""People who send what no honest client would: nothing of it arrives, and nothing stops."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.client.timeline import parse
from removal.incoming import DeviceTrust
from sandbox.client import Person
from tests.support.bare_client import Bot
from tests.support.crafted_messages import Crafter, answers, group_session, joins, text


@pytest.mark.parametrize("restart", [False, True])
async def test_a_replay_is_dropped(bot: Bot, room: str, moderator: Person, restart: bool) -> None:
    """The same ciphertext as a second event is dropped, after a restart too."""
    crafter, session = Crafter(moderator, bot), group_session()
    await crafter.send_key(room, session)
    content = crafter.encrypted(session, room, text("deactivate somebody"))
    first = await bot.hears(await moderator.send_clear(room, "m.room.encrypted", content))
    assert first.content["body"] == "deactivate somebody"
    if restart:
        await bot.stop()
        await bot.start()
    again = await moderator.send_clear(room, "m.room.encrypted", content)
    await answers(bot, moderator, room)
    assert bot.find(again) is None


async def test_the_same_event_twice_is_no_replay(bot: Bot, room: str, moderator: Person) -> None:
    """An event that comes again, because it wasn't stored, is not taken for a replay of itself."""
    event_id = await moderator.say(room, "hello")
    heard = await bot.hears(event_id)
    raw = await bot.matrix.api.call("GET", "/_matrix/client/v3/rooms/{}/event/{}", room, event_id)
    event = parse(raw, room)
    assert event is not None
    assert await bot.matrix.decrypt(event) == heard


async def test_anothers_words_cannot_be_sent_again(bot: Bot, room: str, moderator: Person, stranger: Person) -> None:
    """The moderator's ciphertext sent by somebody else is no word of theirs, even if they claim the session."""
    await joins(moderator, stranger, room, bot)
    owner, crafter, session = Crafter(moderator, bot), Crafter(stranger, bot), group_session()
    key = session.session_key
    await owner.send_key(room, session, key=key)
    content = owner.encrypted(session, room, text("deactivate somebody"))
    await bot.hears(await moderator.send_clear(room, "m.room.encrypted", content))
    mismatch = await bot.hears(await stranger.send_clear(room, "m.room.encrypted", content))
    assert mismatch.trust is DeviceTrust.MISMATCH
    await crafter.send_key(room, session, key=key)
    again = await stranger.send_clear(room, "m.room.encrypted", content)
    await answers(bot, moderator, room)
    assert bot.find(again) is None


STATE = [
    {"type": "m.room.power_levels", "content": {"users": {"@stranger:lethe.test": 100}}, "state_key": ""},
    {"type": "m.room.power_levels", "content": {"users": {"@stranger:lethe.test": 100}}},
    {"type": "m.room.member", "content": {"membership": "join"}, "state_key": "@stranger:lethe.test"},
    {"type": "m.room.encryption", "content": {"algorithm": "none"}},
    {"type": "m.room.message", "content": {"msgtype": "m.text", "body": "hello"}, "state_key": ""},
    {"type": "m.room.redaction", "content": {"redacts": "$event"}},
    {"type": "m.room.encrypted", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
]


@pytest.mark.parametrize("payload", STATE)
async def test_state_inside_encryption_is_dropped(
    bot: Bot, room: str, moderator: Person, payload: dict[str, Any]
) -> None:
    """A decrypted event that says to be state, a redaction or encrypted once more, never arrives."""
    crafter, session = Crafter(moderator, bot), group_session()
    await crafter.send_key(room, session)
    event_id = await crafter.say(session, room, payload)
    await answers(bot, moderator, room)
    assert bot.find(event_id) is None


PAYLOADS = [
    "",
    "not json",
    "[]",
    "null",
    "{}",
    '{"type": 1, "content": {}}',
    '{"type": "m.room.message", "content": []}',
    '{"type": "m.room.message", "content": {"body": NaN}}',
    '{"type": "m.room.message", "content": {"body": "\\ud800"}}',
    '{"type": "m.room.message\\udfff", "content": {}}',
    '{"type": "m.room.message", "content": {"n": ' + "9" * 6000 + "}}",
    '{"type": "m.room.message", "content": {"n": ' + "[" * 6000 + "]" * 6000 + "}}",
    '{"type": "m.room.message", "content": {}, "room_id": "!another:lethe.test"}',
    '{"type": "m.room.message", "content": {}, "room_id": null}',
]


async def test_malformed_plaintext_is_dropped(bot: Bot, room: str, moderator: Person) -> None:
    """Plaintext that isn't a message, or that no database could hold, never arrives and stops nothing."""
    crafter, session = Crafter(moderator, bot), group_session()
    await crafter.send_key(room, session)
    ids = [await crafter.say(session, room, payload) for payload in PAYLOADS]
    await answers(bot, moderator, room)
    assert [event_id for event_id in ids if bot.find(event_id)] == []


CONTENTS: list[dict[str, Any]] = [
    {"algorithm": "m.megolm.v1.aes-sha2"},
    {"algorithm": "m.megolm.v1.aes-sha2", "session_id": 1, "ciphertext": []},
    {"algorithm": "m.megolm.v1.aes-sha2", "session_id": "x", "ciphertext": {}},
]


async def test_malformed_ciphertext_is_dropped(bot: Bot, room: str, moderator: Person) -> None:
    """Encrypted events of the wrong form, or with ciphertext that isn't any, never arrive and stop nothing."""
    crafter, session = Crafter(moderator, bot), group_session()
    await crafter.send_key(room, session)
    good = crafter.encrypted(session, room, text("hello"))
    broken = [
        *CONTENTS,
        *({**good, "ciphertext": value} for value in ("", "AAAA", "é", "A" * 5000, good["ciphertext"][:-4] + "AAAA")),
    ]
    ids = [await moderator.send_clear(room, "m.room.encrypted", content) for content in broken]
    await answers(bot, moderator, room)
    assert [event_id for event_id in ids if bot.find(event_id)] == []


async def test_a_session_of_another_room_is_dropped(bot: Bot, room: str, moderator: Person) -> None:
    """What was encrypted for one room never arrives in another."""
    other = await bot.joined(moderator, encrypted=True)
    crafter, session = Crafter(moderator, bot), group_session()
    await crafter.send_key(other, session)
    event_id = await crafter.say(session, room, text("deactivate somebody"))
    await answers(bot, moderator, room)
    assert bot.find(event_id) is None


GARBAGE: list[Any] = [
    {},
    {"algorithm": "m.olm.v1.curve25519-aes-sha2"},
    {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": 1, "ciphertext": []},
    {"algorithm": 1, "sender_key": {}, "ciphertext": None},
    {"algorithm": "m.megolm.v1.aes-sha2", "sender_key": "x", "session_id": "y", "ciphertext": "z"},
]


async def test_garbage_to_the_device_stops_nothing(bot: Bot, room: str, moderator: Person, stranger: Person) -> None:
    """Whatever anybody sends to the bot's device, it goes on hearing."""
    crafter = Crafter(stranger, bot)
    own_key = bot.keys.account.identity_keys["curve25519"]
    bodies = [
        None,
        1,
        {},
        {"type": 0},
        {"type": 0, "body": 1},
        {"type": 0, "body": ""},
        {"type": 0, "body": "AAAA"},
        {"type": 0, "body": "é"},
        {"type": 0, "body": "A" * 300},
        {"type": 1, "body": "A" * 300},
        {"type": 1, "body": "\u0000"},
        {"type": 2, "body": "AAAA"},
        {"type": "0", "body": []},
    ]
    for content in GARBAGE:
        await crafter.to_device("m.room.encrypted", content)
    for sender_key in (own_key, "A" * 43, "é", ""):
        for body in bodies:
            ciphertext = {own_key: body}
            await crafter.to_device(
                "m.room.encrypted",
                {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": sender_key, "ciphertext": ciphertext},
            )
    for event_type in (
        "m.room_key",
        "m.forwarded_room_key",
        "m.room_key_request",
        "m.dummy",
        "m.key.verification.start",
    ):
        for clear in ({}, {"action": "request", "body": {}}, {"from_device": 1, "method": "m.sas.v1"}):
            await crafter.to_device(event_type, clear)
    await answers(bot, moderator, room)


async def test_crafted_olm_messages_stop_nothing(bot: Bot, room: str, moderator: Person, stranger: Person) -> None:
    """Well-encrypted Olm messages with anything inside are dropped, and bring no session."""
    crafter, session = Crafter(stranger, bot), group_session()
    before = len(bot.keys.sessions)
    for raw in ("", "x", "[]", "null", "{}", "[" * 20000, '{"type": "m.room_key"}', '"\\ud800"'):
        await crafter.send_olm("", {}, raw=raw)
    key = {"algorithm": "m.megolm.v1.aes-sha2", "room_id": room, "session_id": session.id}
    good = {**key, "session_key": session.session_key}
    contents: list[Any] = [
        None,
        [],
        {},
        key,
        {**key, "session_key": "AAAA"},
        {**key, "session_key": None},
        {**good, "session_id": "another"},
        {**good, "room_id": 1},
        {**good, "room_id": "\ud800"},
        {**good, "algorithm": "m.megolm.v9"},
    ]
    for content in contents:
        await crafter.send_olm("m.room_key", content)
    many: list[dict[str, Any]] = [
        {"sender": moderator.user_id},
        {"recipient": moderator.user_id},
        {"recipient_keys": {"ed25519": "another"}},
        {"recipient_keys": {}},
        {"recipient_keys": None},
        {"keys": {}},
        {"keys": {"ed25519": 1}},
        {"keys": None},
        {"type": 1},
        {"type": "m.forwarded_room_key"},
    ]
    for changes in many:
        await crafter.send_olm("m.room_key", good, **changes)
    await answers(bot, moderator, room)
    assert session.id not in bot.keys.sessions
    assert len(bot.keys.sessions) == before + 1, "only that of the moderator's message"


async def test_a_key_for_another_room_does_not_replace_one(
    bot: Bot, room: str, moderator: Person, stranger: Person
) -> None:
    """A session's key sent again, for another room or from a later point on, spoils nothing."""
    owner, crafter, session = Crafter(moderator, bot), Crafter(stranger, bot), group_session()
    await owner.send_key(room, session)
    early = owner.encrypted(session, room, text("early"))
    await crafter.send_key("!another:lethe.test", session)
    await crafter.send_key(room, session)
    await owner.send_key(room, session)
    heard = await bot.hears(await moderator.send_clear(room, "m.room.encrypted", early))
    assert (heard.content["body"], heard.device_id) == ("early", moderator.device_id)


async def test_verification_is_ignored_quietly(
    bot: Bot, room: str, moderator: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests for verification to the device change nothing, and the log has nothing above debug of them."""
    crafter = Crafter(moderator, bot)
    await answers(bot, moderator, room)
    caplog.clear()
    for event_type in ("request", "start", "accept", "key", "mac", "cancel", "ready", "done"):
        content = {"from_device": moderator.device_id, "transaction_id": "one", "methods": ["m.sas.v1"], "timestamp": 1}
        await crafter.to_device(f"m.key.verification.{event_type}", content)
    await answers(bot, moderator, room)
    said = [each.getMessage() for each in caplog.records if each.name.startswith(("lethe", "nio"))]
    assert [each for each in said if "verif" in each.lower()] == []
