"""An independent implementation, matrix-js-sdk with its Rust crypto, in the moderator's and a person's hands.

Where nothing else is said it runs as MSC4153 wants it and Element does: a device that its owner didn't sign is neither
read nor given keys. What is asserted is what the library shows to people: text, edits, reactions and shields.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
import pytest_asyncio

from homeserver.client.credentials import KEYS
from removal.incoming import DeviceTrust
from sandbox.homeserver import Homeserver
from sandbox.js_person import Isolation, JsPerson, Opinion, Shown
from sandbox.lethe import Lethe
from sandbox.node import why_not
from sandbox.scene import Scene
from tests.conftest import People
from tests.support.bare_client import Bot
from tests.synapse.conftest import settled

MakeJs = Callable[..., Awaitable[JsPerson]]
MakeScene = Callable[..., Awaitable[Scene]]


@pytest_asyncio.fixture
async def js(homeserver: Homeserver, people: People) -> AsyncIterator[MakeJs]:
    """Makes people on matrix-js-sdk (`identity`: with cross-signing); skips the test where there is no Node for it."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made: list[JsPerson] = []

    async def make(role: str, *, isolation: Isolation = "signed", identity: bool = True) -> JsPerson:
        account = await people.account(role)
        made.append(JsPerson(homeserver.base_url, account.user_id, isolation))
        await made[-1].login(account.password)
        if identity:
            await made[-1].make_identity()
        return made[-1]

    yield make
    for each in made:
        await each.close()


@dataclass
class Stage:
    """An encrypted admin room, made by a moderator on matrix-js-sdk, with the real bot in it."""

    scene: Scene
    moderator: JsPerson

    async def remove_somebody(self, moderator: JsPerson | None = None) -> None:
        """The main job, from command to outcome, as this client sees it: all of it is read and none has a shield."""
        person = moderator or self.moderator
        room, bot_id = self.scene.room, self.scene.bot_id
        target = await self.scene.account("spammer")
        command = await person.say(room, f"!deactivate {target} --erase --reason spam")

        prompt = await person.reply_to(command, containing="to go on")
        assert target in prompt.body
        assert_clean(prompt)
        for key in ("✅", "❌"):
            await person.reacted(prompt.event_id, key, by=bot_id)

        await person.react(room, prompt.event_id, "✅")
        done = await person.reply_to(command, containing="Read back from the homeserver")
        assert "✗" not in done.body
        assert_clean(done)
        card = await person.reads(prompt.event_id, f"{target} · done")
        assert "to go on" not in card.body and len(card.body.splitlines()) == 1
        assert_clean(card, edited=True)
        account = await self.scene.user(target)
        assert account["deactivated"] and account["erased"]

    async def bot_as_seen(self, moderator: JsPerson | None = None) -> Opinion:
        """What the moderator's client thinks of the bot."""
        return await (moderator or self.moderator).opinion(self.scene.bot_id)


def assert_clean(shown: Shown, *, edited: bool = False) -> None:
    """The client read this, it was encrypted, and neither it nor its edit (required if `edited`) has a shield."""
    assert (shown.encrypted, shown.failure, shown.shield) == (True, None, "none"), shown
    assert shown.edit_shield in (("none",) if edited else ("none", None)), shown


@dataclass(frozen=True)
class Talk:
    """An encrypted direct message that a person opened with the real bot."""

    person: JsPerson
    bot_id: str
    room_id: str

    @classmethod
    async def begin(cls, person: JsPerson, bot_id: str) -> Self:
        """Opens it; returns once the bot has greeted."""
        room_id = await person.create_room(invite=[bot_id], direct=True)
        await person.member(room_id, bot_id)
        assert_clean(await person.said(room_id, "Hello", by=bot_id))
        return cls(person, bot_id, room_id)

    async def asked(self, command: str, containing: str) -> Shown:
        """The bot's answer to a command, once ✅ and ❌ stand under it."""
        shown = await self.person.reply_to(command, containing=containing)
        assert_clean(shown)
        for key in ("✅", "❌"):
            await self.person.reacted(shown.event_id, key, by=self.bot_id)
        return shown


MakeStage = Callable[..., Awaitable[Stage]]


@pytest_asyncio.fixture
async def stage(homeserver: Homeserver) -> AsyncIterator[MakeStage]:
    """Makes a stage for a moderator; further arguments are the bot's settings."""
    made: list[Scene] = []

    async def make(moderator: JsPerson, **settings: object) -> Stage:
        scene = Scene(homeserver)
        made.append(scene)
        scene.bot_id = await scene.account("lethe", admin=True)
        scene.room = await moderator.create_room(name="Admins", invite=[scene.bot_id])
        scene.bot = Lethe(homeserver.base_url, scene.bot_id, scene.passwords[scene.bot_id], scene.room, **settings)  # type: ignore[arg-type] # settings of any kind
        await scene.bot.start()
        await moderator.member(scene.room, scene.bot_id)
        return Stage(scene, moderator)

    yield make
    for scene in made:
        await scene.close()


async def test_the_main_job_is_read_without_a_shield(js: MakeJs, stage: MakeStage) -> None:
    """Where only signed devices are read, prompt, reactions, edits and outcome reach the moderator without a shield,
    and the bot takes the moderator's device for a signed one."""
    room = await stage(await js("moderator"), require_cross_signed_moderators=True)
    await room.remove_somebody()


@pytest.mark.slow
async def test_restarts_and_a_new_device_change_nothing(js: MakeJs, stage: MakeStage) -> None:
    """After a restart of the bot, on a new device of the moderator, and after a restart of the moderator's client, all
    is read without a shield, and the bot is who it was."""
    moderator = await js("moderator")
    room = await stage(moderator, require_cross_signed_moderators=True)
    help_id = await moderator.say(room.scene.room, "!help")
    assert_clean(await moderator.reply_to(help_id))
    before = await room.bot_as_seen()
    assert (before.known, before.identity_changed, list(before.signed.values())) == (True, False, [True]), before

    await room.scene.bot.restart()
    await room.remove_somebody()
    other = await moderator.new_device()
    await other.member(room.scene.room, room.scene.bot_id)
    await room.remove_somebody(other)
    await moderator.restart()
    await room.scene.bot.restart()
    await room.remove_somebody()

    for client in (moderator, other):
        assert await room.bot_as_seen(client) == before


@pytest.mark.slow
async def test_a_bot_that_lost_its_keys_is_still_itself(js: MakeJs, stage: MakeStage) -> None:
    """A bot whose crypto store is gone comes as a new device of the same identity: no shield, no warning."""
    moderator = await js("moderator")
    room = await stage(moderator)
    help_id = await moderator.say(room.scene.room, "!help")
    assert_clean(await moderator.reply_to(help_id))
    before = await room.bot_as_seen()

    await room.scene.bot.stop()
    shutil.rmtree(room.scene.bot.data_dir / KEYS)
    await room.scene.bot.start()
    await room.remove_somebody()
    after = await room.bot_as_seen()
    assert set(after.signed) - set(before.signed), "it should be a new device"
    assert after.known and not after.identity_changed


async def test_a_client_without_cross_signing_can_use_the_bot(js: MakeJs, stage: MakeStage) -> None:
    """A moderator whose client signs nothing, in the library's default mode, gets the main job done as well."""
    room = await stage(await js("moderator", isolation="all", identity=False))
    await room.remove_somebody()


async def test_a_device_without_a_signature_would_be_noticed(js: MakeJs, people: People) -> None:
    """What the other tests rest on: a sender who signs nothing isn't read where only signed devices are, and has a
    shield elsewhere."""
    strict, lenient, unsigned = await js("strict"), await js("lenient", isolation="all"), await people("unsigned")
    room_id = await strict.create_room(invite=[lenient.user_id, unsigned.user_id])
    await lenient.join(room_id)
    await unsigned.join(room_id)
    event_id = await unsigned.say(room_id, "who am I?")
    shown = await lenient.reads(event_id, "who am I?")
    assert shown.shield == "red unsigned_device"
    await strict.fails(event_id, "UNSIGNED_SENDER_DEVICE")


@pytest.mark.slow
async def test_a_person_asks_for_the_own_removal_and_stops_it(js: MakeJs, scene: MakeScene) -> None:
    """In an encrypted direct message the person reads greeting, questions, reactions, edits and outcomes without a
    shield, and after a restart of the bot stops it all from a new device."""
    room, person = await scene(), await js("leaver")
    talk = await Talk.begin(person, room.bot_id)
    command = await person.say(talk.room_id, "!deactivate --keep-media")
    question = await talk.asked(command, "✅ yes")
    await person.react(talk.room_id, question.event_id, "✅")
    card = await talk.asked(command, "Nobody can use your Matrix ID again")
    await person.react(talk.room_id, card.event_id, "✅")
    assert_clean(await person.reply_to(command, containing="type your full Matrix ID"))
    await person.say(talk.room_id, person.user_id)
    scheduled = await person.reply_to(command, containing="will be removed on")
    assert_clean(scheduled)
    assert_clean(await person.reads(card.event_id, "❌ or !cancel stops it"), edited=True)

    await room.bot.restart()
    other = await person.new_device()
    await other.member(talk.room_id, room.bot_id)
    asked = await other.say(talk.room_id, "!status")
    status = await other.reply_to(asked, containing="❌ under this message")
    assert_clean(status)
    await other.react(talk.room_id, status.event_id, "❌")
    for client in (person, other):
        assert_clean(await client.reply_to(command, containing="Your account stays"))
    assert not (await room.user(person.user_id))["deactivated"]


async def test_a_person_reads_the_farewell(js: MakeJs, scene: MakeScene) -> None:
    """The last message before an account goes is read without a shield in an encrypted direct message."""
    room, person = await scene(self_service={"grace_period": "0s"}), await js("leaver")
    talk = await Talk.begin(person, room.bot_id)
    command = await person.say(talk.room_id, "!deactivate --erase --keep-media")
    card = await talk.asked(command, "Nobody can use your Matrix ID again")
    await person.react(talk.room_id, card.event_id, "✅")
    await person.reply_to(command, containing="type your full Matrix ID")
    await person.say(talk.room_id, person.user_id)
    assert_clean(await person.reply_to(command, containing="Farewell"))

    async def gone() -> bool:
        account = await room.user(person.user_id)
        return bool(account["deactivated"] and account["erased"])

    await settled(gone)


async def test_a_first_message_that_came_with_the_invitation_is_read(
    js: MakeJs, homeserver: Homeserver, people: People, tmp_path: Path
) -> None:
    """In an encrypted direct message that a person opens, writing at once, the bot's door reads the first message and
    answers, reacts and edits so that the person reads it all without a shield; after a restart of both too."""
    account = await people.account("lethe")
    bot = Bot(homeserver.base_url, account, tmp_path / "bot", account.password)
    person = await js("leaver")
    await bot.start()
    try:
        room_id = await person.create_room(invite=[bot.user_id], direct=True)
        first = await person.say(room_id, "please remove my account")
        await bot.until(lambda: any(invite.room_id == room_id for invite in bot.invites), "the invitation")
        await bot.matrix.join(room_id)
        await converse(person, bot, room_id, first, "please remove my account")

        await bot.stop()
        await bot.start()
        await converse(person, bot, room_id, await person.say(room_id, "are you there?"), "are you there?")
        await person.restart()
        await converse(person, bot, room_id, await person.say(room_id, "and now?"), "and now?")
    finally:
        await bot.stop()


async def converse(person: JsPerson, bot: Bot, room_id: str, event_id: str, said: str) -> None:
    """The bot reads what a person said and answers with a message, a reaction and an edit; the person reacts to it."""
    heard = await bot.hears(event_id)
    assert (heard.content.get("body"), heard.encrypted, heard.trust) == (said, True, DeviceTrust.SIGNED), heard

    reply = {"m.in_reply_to": {"event_id": event_id}}
    content = {"msgtype": "m.text", "body": "are you sure?", "m.relates_to": reply}
    question = await bot.matrix.send(room_id, "m.room.message", content, f"{event_id} question")
    relation = {"rel_type": "m.annotation", "event_id": question, "key": "✅"}
    await bot.matrix.send(room_id, "m.reaction", {"m.relates_to": relation}, f"{event_id} ✅")
    shown = await person.reply_to(event_id)
    assert shown.body == "are you sure?"
    assert_clean(shown)
    await person.reacted(question, "✅", by=bot.user_id)

    pressed = await bot.hears(await person.react(room_id, question, "❌"))
    assert pressed.content["m.relates_to"] == {**relation, "key": "❌"}
    new = {"msgtype": "m.text", "body": "as you wish"}
    replaced = {"rel_type": "m.replace", "event_id": question}
    edit = {"msgtype": "m.text", "body": "* as you wish", "m.new_content": new, "m.relates_to": replaced}
    await bot.matrix.send(room_id, "m.room.message", edit, f"{event_id} edit")
    assert_clean(await person.reads(question, "as you wish"), edited=True)

    edited = await bot.hears(await person.edit(room_id, event_id, "never mind"))
    assert edited.encrypted and edited.content["m.new_content"]["body"] == "never mind"
