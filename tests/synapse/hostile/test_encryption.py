"""Attacks on the real bot's encryption: forged state, replays, others' sessions, devices that are gone, bad packets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sandbox.homeserver import Homeserver
from tests.support.admin_room import answer, prompt, silence
from tests.support.crafted_messages import MEGOLM, group_session, text
from tests.support.hostile_stage import HELPED, Hostile, attacked, hostile_stage, replies

pytestmark = pytest.mark.asyncio(loop_scope="module")

OLM = "m.olm.v1.curve25519-aes-sha2"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver) -> AsyncIterator[Hostile]:
    """The stage that the tests here share: nobody is ever removed on it."""
    async with hostile_stage(homeserver) as made:
        yield made


def forged_state(stage: Hostile) -> dict[str, dict[str, Any]]:
    """What a member would like the room's state to be."""
    powers = {stage.member.user_id: 100, stage.moderator.user_id: 0, stage.bot_id: 100}
    return {
        "power_levels": {"type": "m.room.power_levels", "state_key": "", "content": {"users": powers}},
        "power_levels_without_key": {"type": "m.room.power_levels", "content": {"users": powers, "users_default": 100}},
        "member_left": {
            "type": "m.room.member", "state_key": stage.moderator.user_id, "content": {"membership": "leave"},
        },
        "tombstone": {"type": "m.room.tombstone", "state_key": "", "content": {"replacement_room": "!another:x"}},
        "encryption_off": {"type": "m.room.encryption", "state_key": "", "content": {}},
        "create": {"type": "m.room.create", "state_key": "", "content": {"creator": stage.member.user_id}},
        "message_as_state": {**text(f"!deactivate {stage.target}"), "state_key": ""},
    }  # fmt: skip


async def test_state_inside_encryption_gives_nobody_power(stage: Hostile) -> None:
    """A member who encrypts events that claim to be power levels, memberships, a tombstone … is nobody afterwards, and
    the moderator is who they were."""
    crafter, session = await stage.crafter(stage.member), group_session()
    await crafter.send_key(stage.room, session)
    async with attacked(stage):
        for payload in forged_state(stage).values():
            await crafter.say(session, stage.room, payload)
        refused = await answer(stage, f"!deactivate {stage.target} --erase", by=stage.member)
        assert "only moderators" in refused.body
        assert HELPED in (await answer(stage, "!help")).body


@pytest.mark.parametrize("by", ["moderator", "member"])
async def test_a_replayed_command_acts_once(stage: Hostile, by: str) -> None:
    """The moderator's own ciphertext, sent once more with their stolen token or by a member, is no second command, not
    after a restart either."""
    target = await stage.account("target")
    crafter, session = await stage.crafter(stage.moderator), group_session()
    await crafter.send_key(stage.room, session)
    content = crafter.encrypted(session, stage.room, text(f"!deactivate {target}"))
    first = await stage.send_as(stage.moderator, content, "m.room.encrypted")
    assert target in (await stage.moderator.reply_to(first)).body
    async with attacked(stage):
        for _ in range(2):
            again = await stage.send_as(getattr(stage, by), content, "m.room.encrypted")
            await answer(stage, "!help")
            assert not [said for said in replies(stage, again) if target in said.body]
            await stage.bot.restart()


async def test_a_session_of_another_is_a_forgery(stage: Hostile) -> None:
    """What the homeserver could do, or who has the moderator's token: a command encrypted by the stranger's device and
    sent in the moderator's name is refused, and the room reads why."""
    crafter, session = await stage.crafter(stage.stranger), group_session()
    await crafter.send_key(stage.room, session)
    async with attacked(stage):
        content = crafter.encrypted(session, stage.room, text(f"!deactivate {stage.target}"))
        event_id = await stage.send_as(stage.moderator, content, "m.room.encrypted")
        assert "isn't yours" in (await stage.moderator.reply_to(event_id)).body


async def test_a_channel_that_names_anothers_key_is_a_forgery(stage: Hostile) -> None:
    """A member whose room key came through a channel that claims the moderator's signing key commands nothing."""
    assert stage.moderator._encryption is not None
    crafter, session = await stage.crafter(stage.member), group_session()
    await crafter.send_key(stage.room, session, keys={"ed25519": stage.moderator._encryption.identity_keys["ed25519"]})
    async with attacked(stage):
        for person in (stage.member, stage.moderator):
            content = crafter.encrypted(session, stage.room, text(f"!deactivate {stage.target}"))
            event_id = await stage.send_as(person, content, "m.room.encrypted")
            assert "isn't yours" in (await stage.moderator.reply_to(event_id)).body


async def test_a_device_deleted_meanwhile_is_not_believed(stage: Hostile) -> None:
    """A command by a device that was logged out before the bot heard it is refused."""
    other = await stage.moderator.log_in_again()
    assert HELPED in (await answer(stage, "!help", by=other)).body
    await stage.bot.stop()
    event_id = await other.say(stage.room, f"!deactivate {stage.target}")
    await other.log_out()
    await stage.bot.start()
    async with attacked(stage):
        assert "gone or unknown" in (await stage.moderator.reply_to(event_id)).body


async def test_a_session_for_another_room_is_dropped(stage: Hostile) -> None:
    """What the moderator wrote in another room can't be brought into this one."""
    crafter, session = await stage.crafter(stage.moderator), group_session()
    await crafter.send_key("!another:lethe.test", session)
    async with attacked(stage):
        payload = {**text(f"!deactivate {stage.target}"), "room_id": "!another:lethe.test"}
        event_id = await crafter.say(session, stage.room, payload)
        await answer(stage, "!help")
        assert not replies(stage, event_id)


async def test_an_edit_hidden_inside_is_still_an_edit(stage: Hostile) -> None:
    """An edit whose relation stands inside the encryption only, or whose new content holds the command, is none; and a
    relation outside can't make a command of it."""
    crafter, session = await stage.crafter(stage.moderator), group_session()
    await crafter.send_key(stage.room, session)
    command = {"msgtype": "m.text", "body": f"!deactivate {stage.target}"}
    relation = {"rel_type": "m.replace", "event_id": await stage.moderator.say(stage.room, "good morning")}
    async with attacked(stage):
        for content in (
            {**command, "m.relates_to": relation, "m.new_content": command},
            {**command, "m.new_content": command},
        ):
            event_id = await crafter.say(session, stage.room, {"type": "m.room.message", "content": content})
            said = await stage.moderator.reply_to(event_id)
            assert "edited" in said.body and stage.target not in said.body
        outside = crafter.encrypted(session, stage.room, text(f"!deactivate {stage.target}"))
        inside = {"type": "m.room.message", "content": {**command, "m.relates_to": relation}}
        async with silence(stage) as quiet:  # what has no new content is no edit of a command, and no command
            quiet.append(await crafter.say(session, stage.room, inside))
            content = {**outside, "m.relates_to": relation}
            quiet.append(await stage.send_as(stage.moderator, content, "m.room.encrypted"))


async def test_an_encrypted_reaction_is_none(stage: Hostile) -> None:
    """Clients send reactions in clear. One inside the encryption, which nobody's client shows, confirms nothing."""
    shown = await prompt(stage, f"!deactivate {stage.target}")
    crafter, session = await stage.crafter(stage.moderator), group_session()
    await crafter.send_key(stage.room, session)
    relation = {"rel_type": "m.annotation", "event_id": shown.event_id, "key": "✅"}
    async with attacked(stage), silence(stage) as said:
        payload = {"type": "m.reaction", "content": {"m.relates_to": relation}}
        said.append(await crafter.say(session, stage.room, payload))


PACKETS: list[Any] = [
    {},
    {"algorithm": OLM},
    {"algorithm": OLM, "sender_key": "é", "ciphertext": {}},
    {"algorithm": OLM, "sender_key": 1, "ciphertext": []},
    {"algorithm": 1, "sender_key": {}, "ciphertext": None},
    {"algorithm": MEGOLM, "sender_key": "x", "session_id": "y", "ciphertext": "z"},
]
BODIES: list[Any] = [
    None,
    {},
    {"type": 0, "body": "not base64 é"},
    {"type": 0, "body": "A" * 300},
    {"type": "0", "body": []},
]


async def test_bad_packets_from_a_stranger_stop_nothing(stage: Hostile) -> None:
    """Whatever a stranger sends to the bot's device (no base64, a bad pre-key body, a wrong key, a bad session key, a
    broken Olm message, verification, key requests), commands are read and answered, over a restart too."""
    crafter, session = await stage.crafter(stage.stranger), group_session()
    device, _ = await crafter.channel()
    async with attacked(stage):
        for content in PACKETS:
            await crafter.to_device("m.room.encrypted", content)
        for sender_key in (device.curve25519, "A" * 43, ""):
            for body in BODIES:
                packet = {"algorithm": OLM, "sender_key": sender_key, "ciphertext": {device.curve25519: body}}
                await crafter.to_device("m.room.encrypted", packet)
        for raw in ("", "[]", "null", "[" * 20_000, '"\\ud800"'):
            await crafter.send_olm("", {}, raw=raw)
        await crafter.send_olm("m.room_key", {}, spoil=True)
        await crafter.send_key(stage.room, session, key="AAAA")
        await crafter.send_key(stage.room, session, key="not base64 é")
        await crafter.send_key(stage.room, session, sender=stage.moderator.user_id)
        await crafter.send_key(stage.room, session, recipient=stage.moderator.user_id)
        for kind in ("m.room_key", "m.forwarded_room_key", "m.room_key_request", "m.key.verification.start", "m.dummy"):
            for clear in ({}, {"action": "request", "body": {}}, {"from_device": 1, "method": "m.sas.v1"}):
                await crafter.to_device(kind, clear)
        assert HELPED in (await answer(stage, "!help", by=stage.other)).body
        await stage.bot.restart()
        # What nobody could read would wait with the homeserver: the bot has taken it off the queue.
        assert HELPED in (await answer(stage, "!help", by=stage.other)).body


async def test_broken_ciphertext_of_a_member_is_passed_over(stage: Hostile) -> None:
    """Encrypted events of the wrong form, or that don't decrypt, get no answer and stop nothing."""
    crafter, session = await stage.crafter(stage.member), group_session()
    await crafter.send_key(stage.room, session)
    good = crafter.encrypted(session, stage.room, text("!help"))
    broken: list[dict[str, Any]] = [
        {"algorithm": MEGOLM},
        {"algorithm": MEGOLM, "session_id": 1, "ciphertext": []},
        *({**good, "ciphertext": each} for each in ("", "AAAA", "é", "A" * 5000, good["ciphertext"][:-4] + "AAAA")),
    ]
    async with attacked(stage):
        sent = [await stage.send_as(stage.member, content, "m.room.encrypted") for content in broken]
        await answer(stage, "!help")
        assert not [event_id for event_id in sent if replies(stage, event_id)]
