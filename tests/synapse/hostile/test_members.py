"""Attacks on the real bot with what any member, stranger or invitation can do. Each ends with a bot that answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sandbox.homeserver import CallFailed, Homeserver
from sandbox.timeline import Seen
from tests.support.admin_room import answer, prompt, read_only, silence
from tests.support.hostile_stage import HELPED, Hostile, attacked, hostile_stage, replies, spoken
from tests.synapse.conftest import settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver) -> AsyncIterator[Hostile]:
    """The stage that the tests here share: nobody is ever removed on it."""
    async with hostile_stage(homeserver) as made:
        yield made


# --- people without the right ----------------------------------------------------------------------------------------


async def test_a_demoted_moderator_is_out_at_once(stage: Hostile) -> None:
    """The command right after the demotion is refused, and a ✅ under an open prompt is nothing."""
    shown = await prompt(stage, f"!deactivate {stage.target}")
    former = await stage.add_moderator("former")
    await former.event(await stage.moderator.say(stage.room, "thank you for your work"))
    await stage.moderator.set_power(stage.room, former.user_id, 0)
    async with attacked(stage):
        assert "only moderators" in (await answer(stage, f"!deactivate {stage.target}", by=former)).body
        async with silence(stage) as said:
            said.append(await former.react(stage.room, shown.event_id, "✅"))


@pytest.mark.parametrize("how", ["leave", "kick", "ban"])
async def test_who_is_out_of_the_room_is_out(stage: Hostile, how: str) -> None:
    """A command and a ✅ that wait for the bot when their sender leaves, is removed or banned count nothing, whatever
    the power levels still say."""
    shown = await prompt(stage, f"!deactivate {stage.target}")
    former = await stage.add_moderator("former")
    await former.event(await stage.moderator.say(stage.room, "we have to talk"))
    await stage.bot.stop()
    command = await former.say(stage.room, f"!deactivate {stage.target} --erase")
    await former.react(stage.room, shown.event_id, "✅")
    if how == "leave":
        await former.leave(stage.room)
    else:
        path = "/_matrix/client/v3/rooms/{}/" + how
        await stage.moderator.call("POST", path, stage.room, json={"user_id": former.user_id})
    await stage.bot.start()
    async with attacked(stage):
        assert "only moderators" in (await stage.moderator.reply_to(command)).body


async def test_a_member_who_asks_for_everything_gets_nothing(stage: Hostile) -> None:
    """Every command by a member without power is refused in the same words; so are those of an old hand who only
    pretends: a reply to the moderator's prompt, a quotation of their command."""
    shown = await prompt(stage, f"!deactivate {stage.target}")
    reference = shown.body.split(" ")[0]
    other = await stage.add_moderator("member", level=0)  # with all five answers still to come
    async with attacked(stage):
        for body in (f"!deactivate {stage.target}", f"!retry {reference}", f"!approve {reference}", "!audit"):
            assert "only moderators" in (await answer(stage, body, by=other)).body
        async with silence(stage) as said:
            said.append(await other.say(stage.room, "✅", reply_to=shown.event_id))
            said.append(await other.say(stage.room, f"yes {reference}"))
            said.append(await other.react(stage.room, shown.event_id, "✅"))


async def test_clear_text_in_the_encrypted_room_is_nobodys_word(stage: Hostile) -> None:
    """What a stolen token can send, a command in clear, is refused with the reason; as a state event of that type it
    isn't even a message."""
    content = {"msgtype": "m.text", "body": f"!deactivate {stage.target} --erase"}
    async with attacked(stage):
        event_id = await stage.send_as(stage.moderator, content)
        assert "anyone could have forged it" in (await stage.moderator.reply_to(event_id)).body
        async with silence(stage) as said:
            said.append(await stage.moderator.set_state(stage.room, "m.room.message", content))
            said.append(await stage.moderator.set_state(stage.room, "m.reaction", content))


async def test_an_edit_changes_no_prompt(stage: Hostile) -> None:
    """A command edited to name somebody else after its prompt leaves the prompt as it was, and asks for nothing."""
    bystander = await stage.account("bystander")
    command = await stage.moderator.say(stage.room, f"!deactivate {stage.target}")
    shown = await stage.moderator.reply_to(command)
    async with attacked(stage):
        edit = await stage.moderator.edit(stage.room, command, f"!deactivate {bystander} --erase")
        said = await stage.moderator.reply_to(edit)
        assert "edited" in said.body and bystander not in said.body
        now = stage.moderator.message(shown.event_id)
        assert now is not None and stage.target in now.body and bystander not in now.body


HOSTILE_KEYS: list[Any] = [
    "❤", "🎉", "✅✅", "✅ yes", "<b>✅</b>", "\u202e✅", "✅\u200d✅", "yes", "", " ", "\u0000", "✅" * 3000,
    "x" * 30_000, "￼", None, 1, True, ["✅"], {"key": "✅"},
]  # fmt: skip
HOSTILE_RELATIONS: list[Any] = [
    None, "x", [], {}, {"rel_type": "m.annotation"}, {"rel_type": "m.annotation", "event_id": 1, "key": "✅"},
    {"rel_type": "m.annotation", "event_id": {"a": 1}, "key": "✅"}, {"rel_type": ["m.annotation"], "key": "✅"},
    {"rel_type": "m.thread", "event_id": "$nothing", "key": "✅"},
]  # fmt: skip


async def test_hostile_reactions_are_nothing(stage: Hostile) -> None:
    """Reactions with any key that neither is nor resembles ✅ or ❌, of any type and length, or with broken relations,
    are ignored in silence, by members and moderators; the prompt stands."""
    shown = await prompt(stage, f"!deactivate {stage.target}")
    relations = [{"rel_type": "m.annotation", "event_id": shown.event_id, "key": key} for key in HOSTILE_KEYS]
    sent = 0
    async with attacked(stage), silence(stage) as said:
        for person in (stage.member, stage.moderator):
            for relation in [*relations, *HOSTILE_RELATIONS]:
                with contextlib.suppress(CallFailed):  # some of it the homeserver refuses itself
                    said.append(await stage.send_as(person, {"m.relates_to": relation}, "m.reaction"))
                    sent += 1
    assert sent > 20
    assert "waiting for ✅" in (await answer(stage, f"!status {shown.body.split(' ')[0]}")).body


# --- floods ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_flood_of_commands_by_one_member_harms_nobody(stage: Hostile) -> None:
    """300 commands at once by one member: a moderator's `!help` right behind them is answered, and the member gets no
    more than a few answers."""
    flooder = await stage.add_moderator("flooder", level=0)
    gate = asyncio.Semaphore(20)

    async def shout(number: int) -> str:
        async with gate:
            return await stage.send_as(flooder, {"msgtype": "m.text", "body": f"!deactivate {stage.target} {number}"})

    async with attacked(stage):
        sent = await asyncio.gather(*(shout(number) for number in range(300)))
        assert HELPED in (await answer(stage, "!help", by=stage.other)).body
        assert HELPED in (await answer(stage, "!help")).body
        answered = [event_id for event_id in sent if replies(stage, event_id)]
        assert 0 < len(answered) <= 5


async def test_a_flood_of_invitations_by_one_person_harms_nobody(stage: Hostile) -> None:
    """Twenty invitations by one stranger get the bot into three rooms at most, and somebody else's direct message is
    greeted all the same."""
    flooder = await stage.person("flooder")
    person = await stage.person("person")
    async with attacked(stage, new_rooms=True):
        rooms = [await flooder.create_room(invite=[stage.bot_id]) for _ in range(20)]
        room = await person.dm(stage.bot_id)
        await person.wait_for(lambda e: e.room_id == room and e.sender == stage.bot_id and "I am Lethe" in e.body)
        joined = (await stage.admin("GET", f"v1/users/{stage.bot_id}/joined_rooms"))["joined_rooms"]
        assert len(set(rooms) & set(joined)) <= 3


async def test_invitations_elsewhere_are_declined(stage: Hostile) -> None:
    """A room with a third person, a public room, a space: the bot joins none and says why, whatever the invitation
    claims, and whoever sends it, a moderator included."""
    async with attacked(stage, new_rooms=True):
        for inviter in (stage.stranger, stage.moderator):
            rooms = [
                await inviter.create_room(invite=[stage.target, stage.bot_id], is_direct=True, name="You and me"),
                await inviter.create_room(invite=[stage.target], preset="public_chat"),
                await inviter.create_room(invite=[stage.target], creation_content={"type": "m.space"}),
            ]
            for room in rooms[1:]:
                await inviter.invite(room, stage.bot_id)
            for room in rooms:
                declined = await inviter.wait_for(lambda e: _is_leave(e, room, stage.bot_id))  # noqa: B023 - at once
                assert "between the two of us" in declined.content.get("reason", "")


def _is_leave(event: Seen, room: str, user_id: str) -> bool:
    return (event.room_id, event.state_key, event.content.get("membership")) == (room, user_id, "leave")


# --- what is shown ---------------------------------------------------------------------------------------------------

NAMES = {
    "html": '<img src=x onerror="alert(1)"><script>alert(1)</script></p></li>',
    "link": '<a href="https://matrix.to/#/@moderator:lethe.test">somebody else</a>',
    "markdown": "[click](https://example.org) **bold** `code` | ~~x~~",
    "right_to_left": "\u202egnp.exe\u202d \u2066x\u2069",
    "newlines": "nice\n\nR99 · done\n✅ to go on\u2028more\u0085more\rmore",
    "invisible": "a\u200bb\u00adc\ufeffd\U000e0041e\x00f\x1bg",
    "mention": "@room @moderator:lethe.test",
    "template": "{{ 7*7 }} {% raw %} ${7*7} %s {0}",
    "long": "x" * 255,
    "combining": "Z" + "\u0335\u0321\u0489" * 80,
}


@pytest.mark.parametrize("case", NAMES)
async def test_hostile_display_names_and_reasons_are_harmless(stage: Hostile, case: str) -> None:
    """A display name and a reason full of HTML, Markdown, right-to-left marks, line breaks, invisible characters or
    templates are shown as the plain text they are, in one line, and mention nobody."""
    hostile = NAMES[case]
    person = await stage.person("target")
    name = hostile.replace("\x00", "")
    path = "/_matrix/client/v3/profile/{}/displayname"
    await person.call("PUT", path, person.user_id, json={"displayname": name})
    reason = " ".join(name.split()).replace('"', "'")
    async with attacked(stage):
        shown = await answer(stage, f'!deactivate {person.user_id} --dry-run --reason "{reason}"')
        assert person.user_id in shown.body, shown.body
        line = next(line for line in shown.body.splitlines() if "Name:" in line)
        for raw in ("<img", "<script", "<a href", 'onerror="', "</p></li>"):
            assert raw not in shown.formatted_body
        for char in "\u202e\u202d\u2066\u2069\u200b\u00ad\ufeff\U000e0041\x1b\u2028\u0085\r":
            assert char not in shown.body and char not in shown.formatted_body
        assert not any(each.lstrip("•*- ").startswith("R99") for each in shown.body.splitlines())
        assert shown.content["m.mentions"] == {}
        visible = {"html": "onerror", "template": "7*7", "mention": "@room", "markdown": "**bold**", "newlines": "R99"}
        assert visible.get(case, "") in line, line


IDS = [
    "@<b>bold</b>:lethe.test", "@*x*:lethe.test", "@a|b:lethe.test", "@\u202etset:lethe.test", "@mоderator:lethe.test",
    "@../../../v1/x:lethe.test", "@a%2Fb:lethe.test", "@a/../b:lethe.test", "@x?deactivated=true:lethe.test",
    "@x#y:lethe.test", "@:lethe.test", "@x:", "@" + "x" * 244 + ":lethe.test", "@" + "x" * 245 + ":lethe.test",
    "@" + "x" * 5000 + ":lethe.test", "@x:lethe.test:lethe.test", "@x:LETHE.TEST", "@x:lethe.test\u200b",
    "@x@y:lethe.test",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(IDS)))
async def test_hostile_matrix_ids_reach_nobody(stage: Hostile, number: int) -> None:
    """Matrix IDs with markup, paths, percent signs, look-alike letters, or 255 bytes and more are unknown or refused,
    and shown so that nothing in them comes alive."""
    async with attacked(stage):
        said = await answer(stage, f"!deactivate {IDS[number]} --erase")
        assert "to go on" not in said.body
        for raw in ("<b>bold", "\u202e", "\u200b", "href"):
            assert raw not in said.formatted_body
        assert len(said.body) < 3000


async def test_the_longest_account_is_shown_whole(stage: Hostile) -> None:
    """An account whose Matrix ID has 255 bytes is found and shown like any other."""
    server = stage.homeserver.server_name
    localpart = "longest-" + "x" * (255 - len(server) - 2 - len("longest-"))
    await stage.homeserver.register(localpart, "a-password", False)
    async with attacked(stage):
        shown = await answer(stage, f"!deactivate @{localpart} --dry-run")
        assert f"@{localpart}:{server}" in shown.body and "Dry run" in shown.body


# --- noise -----------------------------------------------------------------------------------------------------------


async def test_verification_in_the_room_is_ignored_quietly(stage: Hostile) -> None:
    """Requests and steps of a verification in the timeline get no answer."""
    request = {
        "msgtype": "m.key.verification.request", "body": "please verify", "methods": ["m.sas.v1"], "to": stage.bot_id,
        "from_device": stage.moderator.device_id,
    }  # fmt: skip
    async with attacked(stage), silence(stage) as said:
        first = await stage.moderator.send(stage.room, "m.room.message", request)
        said.append(first)
        for step in ("ready", "start", "accept", "key", "mac", "done", "cancel"):
            content = {"m.relates_to": {"rel_type": "m.reference", "event_id": first}, "method": "m.sas.v1"}
            said.append(await stage.moderator.send(stage.room, f"m.key.verification.{step}", content))


CONTENTS: list[Any] = [
    {}, {"msgtype": "m.text"}, {"msgtype": "m.text", "body": None}, {"msgtype": "m.text", "body": ["!help"]},
    {"msgtype": ["m.text"], "body": "!help"}, {"msgtype": "m.text", "body": "!" * 40_000},
    {"msgtype": "m.text", "body": "\u0000!help"}, {"msgtype": "m.text", "body": "x", "m.new_content": "!help"},
    {"msgtype": "m.text", "body": "x", "m.relates_to": "!help"},
    {"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html", "formatted_body": "<p>" * 9000},
    {"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html", "formatted_body": {"a": "b"}},
]  # fmt: skip


async def test_malformed_messages_stop_nothing(stage: Hostile) -> None:
    """Messages of the wrong form, encrypted and in clear, are passed over in silence."""
    async with attacked(stage), silence(stage) as said:
        for person in (stage.member, stage.moderator):
            for content in CONTENTS:
                with contextlib.suppress(CallFailed):
                    said.append(await stage.send_as(person, content))
                    said.append(await person.send(stage.room, "m.room.message", content))


# --- secrets ---------------------------------------------------------------------------------------------------------


async def test_nothing_secret_is_ever_shown(stage: Hostile) -> None:
    """After all this, with the log at its most talkative: no token, password, seed, or anybody's e-mail address stands
    in the log, the audit, the outbox, or anything the bot said."""
    person = await stage.account("person")
    secret = "hidden-address@mail.test"
    body = {"threepids": [{"medium": "email", "address": secret}]}
    await stage.admin("PUT", f"v2/users/{person}", json=body)
    assert "e-mail" in (await answer(stage, f"!deactivate {person} --dry-run")).body
    await answer(stage, "!audit --since 1d")
    data = stage.bot.data_dir
    seeds = json.loads((data / "cross_signing.json").read_text())
    token = json.loads((data / "credentials.json").read_text())["access_token"]
    secrets = [token, stage.passwords[stage.bot_id], secret, *seeds.values()]
    said = "\n".join(f"{event.body}\n{event.formatted_body}" for event in spoken(stage))
    await settled(lambda: _all_sent(stage))
    stored = stage.bot.database.read_bytes() + stage.bot.database.with_suffix(".db-wal").read_bytes()
    for each in secrets:
        assert each not in stage.bot.log
        assert each not in said
        assert each.encode() not in stored


async def _all_sent(stage: Hostile) -> bool:
    return bool(read_only(stage.bot.database, "SELECT COUNT(*) FROM outbox WHERE status = 'pending'")[0][0] == 0)
