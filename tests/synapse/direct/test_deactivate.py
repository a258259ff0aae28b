"""A person removes their own account: the whole conversation with the real bot, encrypted, on a real Synapse."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import pytest

from sandbox.client import Person
from sandbox.homeserver import CallFailed
from sandbox.proxy import Proxy, answer
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import pill, read_only
from tests.support.direct_room import BEGINS, SCHEDULED, SHOWN, TYPE_IT, MakeScene, Talk, requests, states
from tests.support.in_process_bot import DAY, HOUR, MakeInside
from tests.synapse.conftest import settled

AT_ONCE = {"self_service": {"grace_period": "0s"}}
DAY_BEFORE = 6 * DAY + 60_000
"""A minute after a grace period of 7 days has one left: the reminder waits for a sync that was sent after its time."""


async def gone(stage: Scene, person: Person) -> None:
    """Waits until the homeserver says that the account is deactivated and in no room."""

    async def is_gone() -> bool:
        return bool((await stage.user(person.user_id))["deactivated"]) and not await rooms(stage, person)

    await settled(is_gone)


async def rooms(stage: Scene, person: Person) -> list[str]:
    return list((await stage.admin("GET", f"v1/users/{person.user_id}/joined_rooms"))["joined_rooms"])


async def receipt(stage: Scene) -> Seen:
    """What the moderators read at the end."""
    return await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "Read back" in e.body, what="receipt")


def rings(person: Person, message: Seen) -> bool:
    """Whether a message rings on every session of a person."""
    mentions = {"user_ids": [person.user_id]}
    return bool(message.content["msgtype"] == "m.text" and message.content["m.mentions"] == mentions)


async def test_the_whole_conversation(scene: MakeScene) -> None:
    """Greeting, questions, the explanation, ✅, the Matrix ID typed, the departure notice, and the account is gone:
    the old token is dead, log-in fails, another account can have the e-mail address, who joins later reads nothing."""
    stage = await scene(**AT_ONCE)
    person, friend = await stage.person("leaver"), await stage.person("friend")
    lounge = await friend.create_room(name="Lounge", preset="public_chat")
    await person.join(lounge)
    words = await person.say(lounge, "what I once said")
    await friend.event(words)
    address = f"{secrets.token_hex(4)}@example.org"
    threepids = {"threepids": [{"medium": "email", "address": address}]}
    await stage.admin("PUT", f"v2/users/{person.user_id}", json=threepids)
    await person.call("POST", "/_matrix/media/v3/upload", json={"a": "file"})

    talk = await Talk.begin(stage, person)
    await talk.say("!deactivate")
    erase = await talk.hears("Should your account also be erased?")
    assert erase.encrypted
    await talk.react(erase, "✅")
    await talk.react(await talk.hears("the file you uploaded"), "✅")
    shown = await talk.hears(SHOWN)
    assert "Erasing hides your messages" in shown.body and "Your files are deleted" in shown.body
    await talk.react(shown, "✅")
    asked = await talk.hears(TYPE_IT)
    assert rings(person, asked)
    await talk.say(person.user_id)
    departure = await talk.hears(BEGINS)
    assert rings(person, departure) and "R1" in departure.body
    proofs = await receipt(stage)
    assert "✗" not in proofs.body
    await gone(stage, person)

    account = await stage.user(person.user_id)
    assert account["erased"] and account["displayname"] is None and account["threepids"] == []
    with pytest.raises(CallFailed) as dead:
        await person.call("GET", "/_matrix/client/v3/account/whoami")
    assert dead.value.status == 401
    with pytest.raises(CallFailed) as refused:
        await Person(stage.homeserver.base_url, person.user_id).login(stage.passwords[person.user_id])
    assert refused.value.status == 403
    other = await stage.account("other")
    await stage.admin("PUT", f"v2/users/{other}", json=threepids)
    assert [each["address"] for each in (await stage.user(other))["threepids"]] == [address]
    newcomer = await stage.person("newcomer")
    await newcomer.join(lounge)
    path = "/_matrix/client/v3/rooms/{}/event/{}"
    assert (await newcomer.call("GET", path, lounge, words))["content"] == {}
    assert (await friend.call("GET", path, lounge, words))["content"]["body"] == "what I once said"
    # The notice came before anything was done, and never says that it was.
    left = next(
        e for e in friend.timeline.events if e.state_key == person.user_id and e.content["membership"] == "leave"
    )
    assert departure.origin_server_ts < left.origin_server_ts

    async def bot_has_left() -> bool:
        return talk.room not in (await stage.admin("GET", f"v1/users/{stage.bot_id}/joined_rooms"))["joined_rooms"]

    await settled(bot_has_left)


@pytest.mark.parametrize(
    "typed",
    [
        lambda me: {"body": me},
        lambda me: {"body": f"  {me}\n"},
        lambda me: {"body": "leaver", "formatted_body": pill(me, "leaver")},
    ],
    ids=["text", "with space around", "pill"],
)
async def test_the_matrix_id_counts_as_text_and_as_a_mention(
    scene: MakeScene, typed: Callable[[str], dict[str, str]]
) -> None:
    """One's own Matrix ID confirms, as text, as a mention, and as a reply too."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    asked = await talk.agreed()
    wrong = await talk.ask("@somebody-else:lethe.test")
    assert "Matrix ID" in wrong.body and states(stage) == ["awaiting_matrix_id"]
    await talk.say(**typed(person.user_id), reply_to=asked.event_id)
    scheduled = await talk.hears(SCHEDULED)
    assert rings(person, scheduled) and "UTC" in scheduled.body
    assert states(stage) == ["scheduled"]


async def test_without_the_matrix_id_a_tick_is_enough(scene: MakeScene) -> None:
    """`confirm_by_matrix_id: false`: ✅ under the explanation confirms."""
    stage = await scene(self_service={"confirm_by_matrix_id": False})
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.react(await talk.shown(), "✅")
    await talk.hears(SCHEDULED)


async def test_confirming_by_an_encrypted_reply(scene: MakeScene) -> None:
    """`confirmation.method: reply`: no reactions are offered, ✅ is told so, `yes R1` goes on, `no R1` stops."""
    stage = await scene(confirmation={"method": "reply"}, self_service={"confirm_by_matrix_id": False})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    shown = await talk.shown()
    assert "yes R1" in shown.body and not person.reactions_on(shown.event_id)
    reaction = await person.react(talk.room, shown.event_id, "✅")
    assert "Write yes R1" in (await person.reply_to(reaction)).body
    await talk.ask("!status", "waiting for")
    assert states(stage) == ["awaiting_confirmation"]
    await talk.say("Yes r1")
    await talk.hears(SCHEDULED)
    await talk.say("!cancel")
    await talk.hears("Your account stays")
    await talk.shown()
    await talk.say("no R2")
    await talk.hears("Your account stays")
    assert states(stage) == ["cancelled", "cancelled"]


async def test_grace_period_reminder_and_the_end(inside: MakeInside) -> None:
    """The account works during the grace period; a day before its end the person is reminded; then it goes."""
    stage, bot = await inside(self_service={"grace_period": "7d"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed()
    notice = await stage.moderator.wait_for(lambda e: "is removing their own account" in e.body)
    assert "R1" in notice.body and "!cancel R1" in notice.body
    await bot.pass_time(6 * DAY - HOUR)
    assert (await person.call("GET", "/_matrix/client/v3/account/whoami"))["user_id"] == person.user_id
    assert states(stage) == ["scheduled"]
    await bot.pass_time(2 * HOUR)
    reminder = await talk.hears("Reminder: your account")
    assert rings(person, reminder)
    await bot.pass_time(HOUR)
    await talk.ask("!status", "scheduled")
    await bot.pass_time(DAY)
    assert rings(person, await talk.hears(BEGINS))
    await receipt(stage)
    await gone(stage, person)
    reminders = [e for e in person.timeline.events if "Reminder: your account" in e.body and e.replaces is None]
    assert len(reminders) == 1


async def test_what_looks_like_the_mark_confirms_nothing(scene: MakeScene) -> None:
    """A tick or a thumb under a question or the explanation gets one clear word, and nothing is answered by it."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.say("!deactivate --keep-media")
    question = await talk.hears("Should your account also be erased?")
    shown = question
    for under in ("question", "explanation"):
        if under == "explanation":
            await talk.react(question, "❌")
            shown = await talk.hears(SHOWN)
        await talk.person.reacted(shown.event_id, "✅", by=stage.bot_id)
        await talk.person.react(talk.room, shown.event_id, "✔\ufe0f")
        await talk.hears("only ✅ confirms")
        for key in ("☑", "👍\U0001f3fd"):
            await handled(stage, await talk.person.react(talk.room, shown.event_id, key))
        assert states(stage) == ["asking" if under == "question" else "awaiting_confirmation"]
    told = [e for e in talk.person.timeline.events if "only ✅ confirms" in e.body]
    assert len(told) == 2
    await talk.react(shown, "✅")
    await talk.hears(TYPE_IT)


async def handled(stage: Scene, event_id: str) -> None:
    """Waits until the bot is done with an event."""
    question = "SELECT 1 FROM inbox WHERE status = 'handled' AND event_id = ?"

    async def done() -> bool:
        return bool(read_only(stage.bot.database, question, event_id))

    await settled(done)


async def test_each_message_carries_its_own_way_out(inside: MakeInside) -> None:
    """❌ under the explanation, the question for the Matrix ID, the date, the status and the reminder each stops it."""
    stage, bot = await inside(self_service={"grace_period": "7d", "requests_per_day": 9})
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.react(await talk.shown(), "❌")
    await talk.hears("Your account stays")
    await talk.react(await talk.agreed(), "❌")
    await talk.hears("Your account stays")
    await talk.react(await talk.confirmed(), "❌")
    await talk.hears("Your account stays")
    await talk.confirmed()
    status = await talk.ask("!status", "scheduled")
    await talk.person.react(talk.room, status.event_id, "❌")
    await talk.hears("Your account stays")
    await talk.confirmed()
    await bot.pass_time(DAY_BEFORE)
    await talk.react(await talk.hears("Reminder: your account"), "❌")
    await talk.hears("Your account stays")
    assert states(stage) == ["cancelled"] * 5
    await bot.pass_time(9 * DAY)
    assert not (await stage.user(talk.person.user_id))["deactivated"]


async def test_any_session_of_the_person_can_cancel(scene: MakeScene) -> None:
    """What one session confirmed another one of the same person stops, by command or by ❌."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    other = await person.log_in_again()
    await talk.confirmed()
    seen = await other.wait_for(lambda e: SCHEDULED in e.body, what="the date on the other session")
    await other.react(talk.room, seen.event_id, "❌")
    await talk.hears("Your account stays")
    await talk.confirmed()
    await other.say(talk.room, "!cancel")
    await talk.hears("Your account stays")
    assert states(stage) == ["cancelled", "cancelled"]


async def test_a_moderator_cancels_with_a_reason(scene: MakeScene) -> None:
    """`!cancel R1 --reason …` in the admin room stops a person's request, and the person reads the reason."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.confirmed()
    await stage.moderator.say(stage.room, "!cancel R1 --reason please call us first")
    stopped = await talk.hears("please call us first")
    assert "Your account stays" in stopped.body and stage.moderator.user_id in stopped.body
    assert states(stage) == ["cancelled"]


async def test_no_answer_in_time(inside: MakeInside) -> None:
    """A question that isn't answered within the hour ends the request; a late answer does nothing."""
    stage, bot = await inside()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.agreed()
    await bot.pass_time(3 * HOUR)
    await talk.hears("didn't answer in time")
    await talk.say(talk.person.user_id)
    await talk.hears("!deactivate")
    assert states(stage) == ["expired"]


async def test_asking_again_shows_what_is_there(scene: MakeScene) -> None:
    """A second `!deactivate` opens no second request: it shows where the first one stands."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.confirmed()
    await talk.ask("!deactivate", "scheduled")
    await talk.ask("!status R1", "scheduled")
    assert states(stage) == ["scheduled"]


async def test_leaving_doesnt_cancel_and_a_new_message_shows_it(scene: MakeScene) -> None:
    """Who leaves the direct message and opens a new one sees the request there, and can stop it there."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed()
    await person.leave(talk.room)
    again = await Talk.begin(stage, person)
    await again.hears("scheduled")
    assert states(stage) == ["scheduled"]
    await again.say("!cancel")
    await again.hears("Your account stays")
    assert states(stage) == ["cancelled"]


async def test_who_left_is_sought_for_the_reminder_and_the_end(inside: MakeInside) -> None:
    """Whoever leaves the direct message with somebody's session hides nothing: for the reminder and for the departure
    the bot opens a new, encrypted one with the person, and ❌ there works."""
    stage, bot = await inside(self_service={"grace_period": "7d"})
    person = await stage.person("leaver")
    other = await person.log_in_again()
    talk = await Talk.begin(stage, person)
    await talk.confirmed()
    await person.leave(talk.room)
    await bot.pass_time(DAY_BEFORE)
    found = await other.invited_to(by=stage.bot_id)
    await other.join(found)
    reminder = await other.wait_for(
        lambda e: e.room_id == found and "Reminder: your account" in e.body, what="the reminder"
    )
    assert reminder.encrypted and rings(person, reminder)
    assert await other.state(found, "m.room.name") == {"name": "Your account (R1)"}
    await other.leave(found)
    await bot.pass_time(DAY)
    last = await other.invited_to(by=stage.bot_id)
    assert last != found
    await receipt(stage)
    await gone(stage, person)

    stopped = await stage.person("leaver")
    once_more = await Talk.begin(stage, stopped)
    await once_more.confirmed()
    await stopped.leave(once_more.room)
    await bot.pass_time(DAY_BEFORE)
    found = await stopped.invited_to(by=stage.bot_id)
    await stopped.join(found)
    there = Talk(stage, stopped, found)
    await there.react(await there.hears("Reminder: your account"), "❌")
    await there.hears("Your account stays")
    await bot.pass_time(2 * DAY)
    assert not (await stage.user(stopped.user_id))["deactivated"]


@pytest.mark.parametrize("how", ["kick", "ban"])
async def test_who_throws_the_bot_out_is_sought_too(inside: MakeInside, how: str) -> None:
    """The person removed or banned the bot from the direct message: the reminder comes in a new one."""
    stage, bot = await inside(self_service={"grace_period": "7d"})
    person = await stage.person("leaver")
    room = await person.create_room(encrypted=True, invite=[stage.bot_id], is_direct=True)
    talk = Talk(stage, person, room)
    await talk.hears("I am Lethe")
    await talk.confirmed()
    await person.call("POST", f"/_matrix/client/v3/rooms/{{}}/{how}", talk.room, json={"user_id": stage.bot_id})
    await bot.pass_time(DAY_BEFORE)
    found = await person.invited_to(by=stage.bot_id)
    await person.join(found)
    await person.wait_for(lambda e: e.room_id == found and "Reminder: your account" in e.body, what="the reminder")
    assert states(stage) == ["scheduled"]


async def test_a_named_successor_is_in_power_afterwards(scene: MakeScene) -> None:
    """Rooms where one is the only admin are named; after `!handover #room @user` that user is admin afterwards."""
    stage = await scene(**AT_ONCE)
    person, heir, member = await stage.person("leaver"), await stage.person("heir"), await stage.person("member")
    alias = f"garden-{secrets.token_hex(3)}"
    garden = await person.create_room(name="Garden", preset="public_chat", room_alias_name=alias)
    for each in (heir, member):
        await each.join(garden)
    talk = await Talk.begin(stage, person)
    shown = await talk.shown()
    assert "You are the only admin in “Garden”." in shown.body and "!handover" in shown.body
    stranger = await stage.account("stranger")
    await talk.ask(f"!handover #{alias}:lethe.test {stranger}", "isn't in")
    await talk.ask(f"!handover #nowhere:lethe.test {heir.user_id}", "There is no room")
    await talk.ask(f"!handover #{alias}:lethe.test {person.user_id}", "That's you")
    await talk.ask(f"!handover #{alias}:lethe.test {heir.user_id}", "becomes admin")
    await talk.react(shown, "✅")
    await talk.hears(TYPE_IT)
    await talk.say(person.user_id)
    await receipt(stage)
    levels = await heir.state(garden, "m.room.power_levels")
    assert levels is not None and levels["users"].get(heir.user_id) == 100


async def test_a_person_banned_elsewhere_can_go(scene: MakeScene) -> None:
    """A ban in some room keeps nobody from leaving the server; the ban stays."""
    stage = await scene(**AT_ONCE)
    person, owner = await stage.person("leaver"), await stage.person("owner")
    room = await owner.create_room(preset="public_chat")
    await person.join(room)
    await owner.call("POST", "/_matrix/client/v3/rooms/{}/ban", room, json={"user_id": person.user_id})
    await (await Talk.begin(stage, person)).confirmed(then=BEGINS)
    assert "✗" not in (await receipt(stage)).body
    ban = await owner.state(room, "m.room.member", person.user_id)
    assert ban is not None and ban["membership"] == "ban"


@pytest.mark.parametrize("state", ["asking", "awaiting_confirmation", "awaiting_matrix_id", "awaiting_approval"])
async def test_a_restart_before_the_confirmation_is_complete(scene: MakeScene, state: str) -> None:
    """Killed at each question, the bot goes on where it was, and the answer given meanwhile counts."""
    stage = await scene(self_service={"approval": "moderator"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    if state == "asking":
        await talk.say("!deactivate --keep-media")
        await talk.react(await talk.hears("Should your account also be erased?"), "✅")
    elif state == "awaiting_confirmation":
        await talk.react(await talk.shown(), "✅")
    elif state == "awaiting_matrix_id":
        await talk.agreed()
        await talk.say(person.user_id)
    else:
        await talk.confirmed(then="must approve it")
        question = await stage.moderator.wait_for(lambda e: "wants to remove their own account" in e.body)
        await stage.moderator.react(stage.room, question.event_id, "✅")
    await stage.bot.kill()
    await stage.bot.start()
    follows = {
        "asking": SHOWN,
        "awaiting_confirmation": TYPE_IT,
        "awaiting_matrix_id": "must approve it",
        "awaiting_approval": SCHEDULED,
    }
    await talk.hears(follows[state])
    assert [request["id"] for request in requests(stage)] == [1]


async def test_a_setting_keeps_the_date_though_the_reminder_was_lost(inside: MakeInside) -> None:
    """`wait_for_reminder: false`: the bot was down from the day before to the date, and begins at once."""
    stage, bot = await inside(self_service={"grace_period": "7d", "wait_for_reminder": False})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed()
    await bot.stop()
    bot.clock.ahead += 8 * DAY
    await bot.start()
    await talk.hears(BEGINS)
    await gone(stage, person)


async def test_a_restart_during_the_grace_period_and_in_the_middle_of_it_all(inside: MakeInside) -> None:
    """Stopped while scheduled and started after the date, the bot says farewell and finishes; told once."""
    stage, bot = await inside(self_service={"grace_period": "7d"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed()
    await bot.stop()
    bot.clock.ahead += 8 * DAY
    await bot.start()
    # The reminder was lost with the day before: the person gets theirs now, and a day after it.
    await talk.hears("Reminder: your account")
    await bot.pass_time(23 * HOUR)
    assert states(stage) == ["scheduled"] and not (await stage.user(person.user_id))["deactivated"]
    await bot.pass_time(2 * HOUR)
    await talk.hears(BEGINS)
    await bot.stop()
    await bot.start()
    await receipt(stage)
    await gone(stage, person)
    assert [request["state"] for request in requests(stage)] == ["done"]


async def test_a_homeserver_that_is_away_on_the_day_before_costs_nobody_their_day(
    inside: MakeInside, proxy: Proxy
) -> None:
    """The bot runs on, and nobody could read a reminder: it comes once the homeserver is back, after the date, and the
    person has a day from then on."""
    stage, bot = await inside(homeserver={"url": proxy.base_url}, self_service={"grace_period": "7d"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed()
    away = proxy.on("*", "/", answer(502, {}))
    await away.hit()
    bot.clock.ahead += 8 * DAY
    await asyncio.sleep(3)
    away.lift()
    await talk.hears("Reminder: your account")
    assert states(stage) == ["scheduled"] and not (await stage.user(person.user_id))["deactivated"]
    await bot.pass_time(25 * HOUR)
    await talk.hears(BEGINS)
    await gone(stage, person)
