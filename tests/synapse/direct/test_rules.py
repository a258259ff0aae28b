"""Whom the bot believes in a direct message, whom it refuses, and that nobody keeps it from answering the others."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.direct.gate import SAID_PER_MINUTE
from handlers.invites import INVITES_PER_10_MINUTES
from sandbox.client import Person
from sandbox.homeserver import CallFailed, Homeserver
from tests.support.admin_room import read_only, silence
from tests.support.direct_room import BEGINS, SHOWN, MakeScene, Talk, states
from tests.support.in_process_bot import DAY, MakeInside
from tests.synapse.conftest import settled

CROWD = 60
PATIENCE = 10.0
"""Seconds: far more than an answer takes on an idle machine, far less than the flood would take to be worked off."""


async def hidden_relation(person: Person, room: str, event_type: str, content: dict[str, Any]) -> str:
    """Sends an event encrypted, with its relation inside only."""
    assert person._encryption is not None
    sealed = await person._encryption.encrypt(room, await person.members(room), event_type, content)
    del sealed["m.relates_to"]
    return await person.send_clear(room, "m.room.encrypted", sealed)


# --- who is refused --------------------------------------------------------------------------------------------------


async def test_who_is_refused_hears_why(scene: MakeScene) -> None:
    """The protected, server admins, those not allowed, and the last moderator, who is told what to do first."""
    stage = await scene(protected_users=["keeper-*"], self_service={"allowed_users": ["[!x]*"]})
    for role, admin, why in (
        ("keeper", False, "protected by my settings"),
        ("admin", True, "is a server admin. Remove that right first"),
        ("xenia", False, "doesn't offer this for your account"),
    ):
        talk = await Talk.begin(stage, await stage.person(role, admin=admin))
        await talk.ask("!deactivate --erase", why)
    talk = await Talk.begin(stage, stage.moderator)
    await talk.ask("!deactivate --erase", "Make someone else a moderator of the admin room first")
    # The bot's own power in the admin room, and that of people who aren't there, make nobody else a moderator.
    await stage.moderator.set_power(stage.room, stage.bot_id, 100)
    await stage.moderator.set_power(stage.room, "@absent:lethe.test", 100)
    await talk.ask("!deactivate --erase", "Make someone else a moderator of the admin room first")
    assert states(stage) == []
    await stage.add_moderator("second")
    await talk.say("!deactivate --erase --keep-media")
    await talk.hears(SHOWN)


async def test_a_bridges_account_is_refused(
    scene: MakeScene, fresh_homeserver: Callable[..., Awaitable[Homeserver]], tmp_path: Path
) -> None:
    """An account of an application service could simply be used again, and is told so."""
    token = secrets.token_urlsafe(16)
    registration = {
        "id": "bridge", "url": None, "as_token": token, "hs_token": secrets.token_urlsafe(16),
        "sender_localpart": "bridge", "namespaces": {"users": [{"exclusive": True, "regex": "@bridged-.*"}]},
    }  # fmt: skip
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(registration))
    own = await fresh_homeserver(config={"app_service_config_files": [str(file)]})
    stage = await scene(on=own)
    body = {"type": "m.login.application_service", "username": "bridged-one"}
    account = await own.call("POST", "/_matrix/client/v3/register", token=token, json=body)
    user_id = account["user_id"]

    async def call(method: str, path: str, json: Any = None) -> dict[str, Any]:
        return await own.call(method, path, token=token, json=json, params={"user_id": user_id})

    create = {"preset": "trusted_private_chat", "is_direct": True, "invite": [stage.bot_id]}
    room = (await call("POST", "/_matrix/client/v3/createRoom", create))["room_id"]

    async def said(containing: str) -> bool:
        messages = await call("GET", f"/_matrix/client/v3/rooms/{room}/messages?dir=b")
        return any(containing in event["content"].get("body", "") for event in messages["chunk"])

    await settled(lambda: said("I am Lethe"))
    text = {"msgtype": "m.text", "body": "!deactivate --erase"}
    await call("PUT", f"/_matrix/client/v3/rooms/{room}/send/m.room.message/1", text)
    await settled(lambda: said("belongs to an application service"))
    assert states(stage) == []


async def test_a_guest_cant_even_ask(scene: MakeScene, fresh_homeserver: Callable[..., Awaitable[Homeserver]]) -> None:
    """Guests can open no direct message on Synapse; the rule that refuses them is tested beside the others."""
    own = await fresh_homeserver(config={"allow_guest_access": True})
    stage = await scene(on=own)
    guest = await own.call("POST", "/_matrix/client/v3/register", params={"kind": "guest"}, json={})
    with pytest.raises(CallFailed) as refused:
        await own.call(
            "POST", "/_matrix/client/v3/createRoom", token=guest["access_token"], json={"invite": [stage.bot_id]}
        )
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("v1/suspend/{}", {"suspend": True}, "is suspended"),
        ("v2/users/{}", {"locked": True}, "is locked"),
        ("v2/users/{}", {"admin": True}, "server admin"),
    ],
    ids=["suspended", "locked", "admin"],
)
async def test_what_happened_to_the_account_meanwhile_stops_it(
    inside: MakeInside, path: str, body: dict[str, Any], why: str
) -> None:
    """Suspended or locked by somebody, or made an admin, in the grace period: nothing begins, nobody says that it does,
    and both sides hear why."""
    stage, bot = await inside(self_service={"grace_period": "2d"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed()
    await stage.admin("PUT", path.format(person.user_id), json=body)
    await bot.pass_time(2 * DAY)
    heard = await stage.moderator.wait_for(
        lambda e: "the removal of their own account was cancelled" in e.body, what="the notice"
    )
    assert why in heard.body
    assert states(stage) == ["cancelled"]
    account = await stage.user(person.user_id)
    assert not account["deactivated"] and account["suspended"] is (why == "is suspended")
    if why != "is locked":  # a locked account's sessions read nothing until it is unlocked
        assert why in (await talk.hears("Your account stays")).body
        assert not any(BEGINS in event.body for event in person.timeline.events)


async def test_a_moderator_was_quicker(inside: MakeInside) -> None:
    """Removed by a moderator in the grace period: the person's own request ends, and finds no account to act on."""
    stage, bot = await inside(self_service={"grace_period": "2d"})
    person = await stage.person("leaver")
    await (await Talk.begin(stage, person)).confirmed()
    command = await stage.moderator.say(stage.room, f"!deactivate {person.user_id} --erase")
    prompt = await stage.moderator.reply_to(command)
    await stage.moderator.react(stage.room, prompt.event_id, "✅")
    await stage.moderator.reply_to(command, containing="Read back")
    await bot.pass_time(3 * DAY)
    await stage.moderator.wait_for(
        lambda e: "the removal of their own account was cancelled" in e.body, what="the notice"
    )
    assert states(stage) == ["cancelled", "done"]


async def test_three_requests_a_day(inside: MakeInside) -> None:
    """`requests_per_day` are begun, whatever became of them; tomorrow there are more."""
    stage, bot = await inside(self_service={"requests_per_day": 2})
    talk = await Talk.begin(stage, await stage.person("leaver"))
    for _ in range(2):
        await talk.react(await talk.shown(), "❌")
        await talk.hears("Your account stays")
    await talk.ask("!deactivate --erase", "2 times within a day")
    await bot.pass_time(DAY)
    await talk.shown()


async def test_switched_off(scene: MakeScene) -> None:
    """With `self_service.enabled: false` invitations are declined with the reason; in conversations that are open
    already nothing new is begun, and what was begun can still be stopped."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed()
    await stage.bot.stop()
    stage.bot.configure(self_service={"enabled": False})
    await stage.bot.start()
    await talk.ask("!status", "scheduled")
    await talk.say("!cancel")
    await talk.hears("Your account stays")
    await talk.ask("!deactivate", "doesn't offer this")
    await talk.ask("!mydata", "doesn't offer this")
    room = await person.dm(stage.bot_id)
    declined = await person.wait_for(
        lambda e: e.room_id == room and e.state_key == stage.bot_id and e.content["membership"] == "leave"
    )
    assert "doesn't offer" in declined.content["reason"]


# --- whom it believes ------------------------------------------------------------------------------------------------


async def test_other_peoples_requests_dont_exist_here(scene: MakeScene) -> None:
    """In a direct message another person's reference answers as an unknown one, and a ✅ that points at another
    person's question does nothing."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    shown = await talk.shown()
    other = await Talk.begin(stage, await stage.person("other"))
    for command in ("!status R1", "!cancel R1", "!status R77"):
        await other.ask(command, f"You have no request {command.split()[1]}")
    async with silence(stage) as said:
        for key in ("✅", "❌"):
            # Synapse itself refuses a reaction to another room's event, where it can see what it stands under.
            relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": shown.event_id, "key": key}}
            said.append(await hidden_relation(other.person, other.room, "m.reaction", relation))
    assert states(stage) == ["awaiting_confirmation"]


async def test_in_an_encrypted_room_only_what_came_encrypted_counts(scene: MakeScene) -> None:
    """A command or a Matrix ID in clear text, which the server's admin could have written, changes nothing; nor does an
    edit."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)

    async def in_clear(body: str) -> None:
        event_id = await person.send_clear(talk.room, "m.room.message", {"msgtype": "m.text", "body": body})
        await person.reply_to(event_id, containing="encrypt")

    await in_clear("!deactivate --erase --keep-media")
    assert states(stage) == []
    await talk.agreed()
    await in_clear(person.user_id)
    chat = await talk.say("never mind")
    await person.reply_to(chat)
    edit = await person.edit(talk.room, chat, person.user_id)
    await talk.ask("!status", "Matrix ID")
    assert edit and states(stage) == ["awaiting_matrix_id"]


@pytest.mark.parametrize("confirmed", [False, True], ids=["unconfirmed", "confirmed"])
async def test_a_third_person_stops_it(scene: MakeScene, confirmed: bool) -> None:
    """Once somebody else is invited, the bot says why it leaves, and what was asked there stops; nothing of it is shown
    to the third one. Where it was confirmed, the person hears of it in a new direct message."""
    stage = await scene()
    person, third = await stage.person("leaver"), await stage.person("third")
    talk = await Talk.begin(stage, person)
    await (talk.confirmed() if confirmed else talk.shown())
    await person.invite(talk.room, third.user_id)
    await third.join(talk.room)
    await talk.hears("Someone else is here")
    await person.wait_for(
        lambda e: e.room_id == talk.room and e.state_key == stage.bot_id and e.content["membership"] == "leave",
        what="the bot leaving",
    )
    assert states(stage) == ["cancelled"]
    if confirmed:
        found = await person.invited_to(by=stage.bot_id)
        await person.join(found)
        await person.wait_for(lambda e: e.room_id == found and "Your account stays" in e.body, what="what became of it")
    assert not any(
        "stays" in e.body for e in third.timeline.events if e.room_id == talk.room and e.sender != person.user_id
    )


async def test_a_third_one_before_the_bot_joins(scene: MakeScene) -> None:
    """An invitation to a room where somebody else is, or is invited, is declined with the reason."""
    stage = await scene()
    person, third = await stage.person("leaver"), await stage.person("third")
    room = await person.create_room(invite=[third.user_id], encrypted=True)
    await person.invite(room, stage.bot_id)
    declined = await person.wait_for(
        lambda e: e.room_id == room and e.state_key == stage.bot_id and e.content["membership"] == "leave"
    )
    assert "between the two of us" in declined.content["reason"]


@pytest.mark.parametrize(
    "said", ["delete my account", "Please REMOVE my account, thanks!", "!delete", "!erase", "!delete-account", "delete"]
)
async def test_a_wish_in_other_words_gets_the_word_to_type(scene: MakeScene, said: str) -> None:
    """Whoever asks in their own words gets the explanation and `!deactivate`, never the act."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    answer = await talk.ask(said)
    assert "To start, type !deactivate" in answer.body and "can't log in any more" in answer.body
    assert states(stage) == []


async def test_small_talk_gets_a_hint_once(scene: MakeScene) -> None:
    """Anything else gets one hint, and then silence for a while; an unknown command is told so."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.ask("good morning", "!deactivate")
    async with silence(stage) as said:
        said.append(await talk.say("how are you?"))
    await talk.ask("!deactivat", "Did you mean !deactivate?")
    await talk.ask("!help", "!mydata")
    await talk.ask("!help deactivate", "--keep-media")


# --- nobody keeps it from answering the others -----------------------------------------------------------------------


async def answered_in(talk: Talk) -> float:
    """How many seconds `!help` takes for somebody."""
    begun = time.monotonic()
    await talk.ask("!help")
    return time.monotonic() - begun


async def slowest(talk: Talk, times: int) -> float:
    """The slowest of several answers, one after the other."""
    return max([await answered_in(talk) for _ in range(times)])


async def test_a_huge_message_is_read_or_passed_over(scene: MakeScene) -> None:
    """60 KB of text, in clear or as HTML full of links, leave the bot as quick as before for the same person and for
    others."""
    stage = await scene()
    other = await Talk.begin(stage, await stage.person("other"))
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person, encrypted=False)
    await talk.say("!deactivate " + "x " * 30_000)
    await talk.say("x", formatted_body="<a href='https://matrix.to/#/@a:b'>x</a> " * 1_400)
    await talk.say("<" * 60_000)
    assert await slowest(other, 3) < PATIENCE
    assert await slowest(talk, 1) < PATIENCE
    assert states(stage) == []


@pytest.mark.slow
async def test_a_flood_in_one_conversation_keeps_no_other_waiting(scene: MakeScene) -> None:
    """Hundreds of messages of one person aren't heard any more; another one is answered meanwhile."""
    stage = await scene()
    other = await Talk.begin(stage, await stage.person("other"))
    person = await stage.person("flooder")
    talk = await Talk.begin(stage, person, encrypted=False)
    flood = asyncio.gather(*(talk.say(f"!help {number}") for number in range(400)))
    assert await slowest(other, 4) < PATIENCE
    await flood
    answers = [e for e in person.timeline.events if e.sender == stage.bot_id and e.replies_to]
    assert len(answers) <= SAID_PER_MINUTE


async def test_a_flood_doesnt_hide_the_way_out(scene: MakeScene) -> None:
    """Whoever confirmed with a stolen session and then floods the conversation keeps nobody from stopping it."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    scheduled = await talk.confirmed()
    for number in range(SAID_PER_MINUTE + 5):
        await talk.say(f"{number}")
    other = await person.log_in_again()
    await other.react(talk.room, scheduled.event_id, "❌")
    await talk.hears("Your account stays")
    assert states(stage) == ["cancelled"]


async def test_ten_invitations_a_minute_by_one_person(scene: MakeScene) -> None:
    """A few are answered, the rest is left alone; another person's conversation goes on, and a new one begins."""
    stage = await scene()
    other = await Talk.begin(stage, await stage.person("other"))
    person = await stage.person("flooder")
    invitations = [await person.dm(stage.bot_id) for _ in range(10)]
    assert await slowest(other, 2) < PATIENCE
    await Talk.begin(stage, await stage.person("newcomer"))
    joined = (await stage.admin("GET", f"v1/users/{stage.bot_id}/joined_rooms"))["joined_rooms"]
    assert len(set(invitations) & set(joined)) == INVITES_PER_10_MINUTES


@pytest.mark.slow
async def test_many_invitations_by_many_people(scene: MakeScene) -> None:
    """While the bot works through the invitations of many people, those who are in conversation with it are answered,
    and so are the moderators; all are greeted in the end."""
    stage = await scene()
    other = await Talk.begin(stage, await stage.person("other"))
    create = {"preset": "trusted_private_chat", "is_direct": True, "invite": [stage.bot_id]}
    await stage.bot.stop()  # else it is Synapse making rooms that everybody waits for
    rooms = set()
    for _ in range(CROWD):
        token = stage.tokens[await stage.account("person")]
        made = await stage.homeserver.call("POST", "/_matrix/client/v3/createRoom", token=token, json=create)
        rooms.add(made["room_id"])
    await stage.bot.start()
    question = "SELECT room_id FROM outbox WHERE purpose = 'post.own_greeting' AND event_id <> ''"

    def greeted() -> set[str]:
        return {room_id for (room_id,) in read_only(stage.bot.database, question)} & rooms

    took = await slowest(other, 2)
    begun = time.monotonic()
    asked = await stage.moderator.say(stage.room, "!requests")
    await stage.moderator.reply_to(asked)
    took = max(took, time.monotonic() - begun)
    assert took < PATIENCE and len(greeted()) < CROWD, (took, len(greeted()))

    async def all_greeted() -> bool:
        return len(greeted()) == CROWD

    await settled(all_greeted)
