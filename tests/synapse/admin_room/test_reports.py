"""Reports become cards; a choice by reaction passes the gates of the typed command; nothing is shown twice or lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from sandbox.client import Person
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import answer, audited, silence, untouched

MakeScene = Callable[..., Awaitable[Scene]]
REPORTS = {"reports": {"enabled": True, "poll_every": "1s"}}
LONG = 20.0


async def report(stage: Scene, target: str, reason: str = "rude", *, by: str = "") -> str:
    """Somebody reports an account, as their client does; returns who."""
    reporter = by or await stage.account("reporter")
    path = f"/_matrix/client/v3/users/{quote(target)}/report"
    await stage.homeserver.call("POST", path, token=stage.tokens[reporter], json={"reason": reason})
    return reporter


async def card(stage: Scene, containing: str, *keys: str, by: Person | None = None) -> Seen:
    """The card, once its choices stand under it."""
    person = by or stage.moderator
    shown = await person.wait_for(
        lambda e: e.sender == stage.bot_id and containing in e.body and not e.replaces, what="the card"
    )
    for key in keys:
        await person.reacted(shown.event_id, key, by=stage.bot_id)
    return shown


def cards(stage: Scene, containing: str) -> list[str]:
    """All cards that the moderator has seen."""
    events = stage.moderator.timeline.events
    return [e.body for e in events if e.sender == stage.bot_id and containing in e.body and not e.replaces]


async def test_a_first_day_from_the_card(scene: MakeScene) -> None:
    """A report by a real client, the card, ℹ️, 🔇, and `!unsuspend`: each does what the typed command does."""
    stage = await scene(**REPORTS)
    second = await stage.add_moderator()
    target = await stage.account("reported")
    reporter = await report(stage, target, "shouts all day")
    shown = await card(stage, f"New report against {target}", "ℹ️", "🔇", "❌")
    assert reporter in shown.body and "shouts all day" in shown.body and "Nothing has been done" in shown.body
    assert (await stage.user(target))["suspended"] is False

    asked = await stage.moderator.react(stage.room, shown.event_id, "ℹ️")
    info = (await stage.moderator.reply_to(asked)).body
    assert target in info and "Reports against it: 1" in info

    asked = await stage.moderator.react(stage.room, shown.event_id, "🔇")
    assert "is suspended" in (await stage.moderator.reply_to(asked)).body
    assert (await stage.user(target))["suspended"] is True
    edited = await stage.moderator.edited(shown.event_id, "was suspended by")
    assert stage.moderator.user_id in edited.body
    begun = audited(stage, "AccountChangeBegun")
    assert [(actor, whom, row["command"]) for actor, whom, row in begun] == [
        (stage.moderator.user_id, target, "suspend")
    ]
    assert "isn't suspended any more" in (await answer(stage, f"!unsuspend {target}")).body
    assert (await stage.user(target))["suspended"] is False
    async with silence(stage) as said:  # the card is closed: what comes late does nothing
        said.append(await second.react(stage.room, shown.event_id, "🔇"))
        said.append(await second.react(stage.room, shown.event_id, "❌"))
    assert (await stage.user(target))["suspended"] is False


async def test_a_reported_message(scene: MakeScene) -> None:
    """The card shows who wrote it, where and what; hostile text stays text, and rings nobody."""
    stage = await scene(**REPORTS)
    rude = await stage.person("rude")
    room_id = await rude.create_room(name="Public square", encrypted=False)
    body = "!deactivate @x <b>@room</b> ✅"
    event_id = await rude.say(room_id, body)
    path = f"/_matrix/client/v3/rooms/{quote(room_id)}/report/{quote(event_id)}"
    await stage.homeserver.call("POST", path, token=stage.tokens[rude.user_id], json={"reason": "<h1>@room</h1>"})
    shown = await card(stage, f"New report against {rude.user_id}", "❌")
    assert "Public square" in shown.body and body in shown.body
    assert "<b>" not in str(shown.content["formatted_body"]).replace("&lt;b&gt;", "") or "&lt;b&gt;" in str(
        shown.content
    )
    assert shown.content["m.mentions"] == {} and shown.content["msgtype"] == "m.notice"
    await stage.moderator.react(stage.room, shown.event_id, "❌")
    edited = await stage.moderator.edited(shown.event_id, "dismissed by")
    assert stage.moderator.user_id in edited.body
    assert [row["how"] for _, _, row in audited(stage, "AlertClosed")] == ["dismissed"]
    assert audited(stage, "AccountChangeBegun") == []


async def test_nothing_is_shown_twice_or_lost_and_old_ones_are_counted(scene: MakeScene) -> None:
    """Reports from before the first start are counted in one sentence; those while the bot was down come at its start;
    several against one account are one card; none comes again."""
    stage = await scene(start=False, **REPORTS)
    old, missed, often = [await stage.account(role) for role in ("old", "missed", "often")]
    await report(stage, old)
    await stage.bot.start()
    await stage.bot_joined()
    await card(stage, "From now on I show new reports against accounts")
    await stage.bot.stop()
    await report(stage, missed)
    for _ in range(5):
        await report(stage, often)
    await stage.bot.start()
    await card(stage, f"New report against {missed}")
    assert "and 2 more" in (await card(stage, f"5 new reports against {often}")).body
    await stage.bot.restart()
    later = await stage.account("later")
    await report(stage, later)
    await card(stage, f"New report against {later}")
    assert len(cards(stage, "against")) == len({*cards(stage, "against")})
    assert not cards(stage, old) and len(cards(stage, missed)) == 1 and len(cards(stage, often)) == 1


async def test_a_choice_passes_the_gates(scene: MakeScene) -> None:
    """Who isn't a moderator, whose role hasn't the command, and an account that is protected: nothing happens."""
    stage = await scene(**REPORTS)
    helper = await stage.add_moderator("helper", 0)
    stranger = await stage.add_moderator("stranger", 0)
    await stage.bot.stop()
    stage.bot.configure(roles={"desk": {"commands": ["info"], "users": [helper.user_id]}})
    await stage.bot.start()
    boss, target = await stage.account("boss", admin=True), await stage.account("target")
    await report(stage, target)
    shown = await card(stage, f"New report against {target}", "🔇")
    async with untouched(stage):
        await stranger.event(shown.event_id)
        async with silence(stage) as said:
            for key in ("ℹ️", "🔇", "❌"):
                said.append(await stranger.react(stage.room, shown.event_id, key))
        asked = await helper.react(stage.room, shown.event_id, "🔇")
        assert "doesn't include" in (await helper.reply_to(asked)).body
        asked = await helper.react(stage.room, shown.event_id, "ℹ️")
        assert target in (await helper.reply_to(asked)).body
        await report(stage, boss)
        shown = await card(stage, f"New report against {boss}", "🔇")
        asked = await stage.moderator.react(stage.room, shown.event_id, "🔇")
        assert "is a server admin" in (await stage.moderator.reply_to(asked)).body


async def test_where_answers_are_written_reactions_change_nothing(scene: MakeScene) -> None:
    """With `confirmation.method: reply` the card names the commands, and 🔇 is answered with the one to type."""
    stage = await scene(confirmation={"method": "reply"}, **REPORTS)
    target = await stage.account("target")
    await report(stage, target)
    shown = await card(stage, f"New report against {target}", "❌")
    assert f"!suspend {target}" in shown.body
    async with untouched(stage):
        asked = await stage.moderator.react(stage.room, shown.event_id, "🔇")
        assert f"!suspend {target}" in (await stage.moderator.reply_to(asked)).body


async def test_without_the_setting_nothing_is_shown(scene: MakeScene) -> None:
    """Off, as it is by default, the bot asks for no report."""
    stage = await scene(log={"level": "debug"})
    await report(stage, await stage.account("target"))
    assert "pong" not in (await answer(stage, "!ping")).body
    assert not cards(stage, "report against")


def rule(entity: str, reason: str = "spam", recommendation: str = "m.ban") -> dict[str, Any]:
    return {"entity": entity, "reason": reason, "recommendation": recommendation}


async def put_rule(owner: Person, room_id: str, entity: str, kind: str = "m.policy.rule.user", **of: Any) -> None:
    """Writes a rule into a list."""
    path = "/_matrix/client/v3/rooms/{}/state/{}/{}"
    await owner.call("PUT", path, room_id, kind, f"rule:{entity}", json=rule(entity, **of))


async def test_a_watched_policy_list(scene: MakeScene) -> None:
    """New rules that name an account here are shown, those from before are counted; a glob that names many is one card;
    🔇 suspends, and by itself nothing is done."""
    stage = await scene(start=False)
    owner = await stage.person("owner")
    room_id = await owner.create_room(name="Spammers", encrypted=False, invite=[stage.bot_id])
    before, named, legacy, away = [await stage.account(role) for role in ("before", "named", "legacy", "away")]
    many = [await stage.account("manyspam") for _ in range(3)]
    await put_rule(owner, room_id, before)
    stage.bot.configure(policy_rooms=[room_id])
    await stage.bot.start()
    await stage.bot_joined()
    await card(stage, "From now on I watch the policy list")
    await put_rule(owner, room_id, "@somebody:elsewhere.test")
    await put_rule(owner, room_id, named, reason="!suspend @x")
    shown = await card(stage, f"It names {named}", "ℹ️", "🔇", "❌")
    assert "m.ban" in shown.body and "!suspend @x" in shown.body and owner.user_id in shown.body
    assert (await stage.user(named))["suspended"] is False
    await put_rule(owner, room_id, legacy, "m.room.rule.user", recommendation="org.matrix.mjolnir.ban")
    await card(stage, f"It names {legacy}")
    await put_rule(owner, room_id, "@manyspam-*")
    assert many[0] in (await card(stage, "It names 3 accounts of this server", "❌")).body
    await stage.bot.stop()
    await put_rule(owner, room_id, away)
    await stage.bot.start()
    await card(stage, f"It names {away}")
    asked = await stage.moderator.react(stage.room, shown.event_id, "🔇")
    assert "is suspended" in (await stage.moderator.reply_to(asked)).body
    assert (await stage.user(named))["suspended"] is True
    assert (
        not cards(stage, before) and not cards(stage, "elsewhere") and len(cards(stage, named)) == 2
    )  # and the answer


async def test_a_policy_list_that_cannot_be_joined_is_said_once(scene: MakeScene) -> None:
    """Not invited, the bot says so once; invited later, it watches."""
    stage = await scene(start=False)
    owner = await stage.person("owner")
    room_id = await owner.create_room(name="Spammers", encrypted=False)
    stage.bot.configure(policy_rooms=[room_id])
    await stage.bot.start()
    await stage.bot_joined()
    await card(stage, "I can't watch the policy list")
    await stage.bot.restart()
    await owner.invite(room_id, stage.bot_id)
    await card(stage, "From now on I watch the policy list")
    assert len(cards(stage, "I can't watch")) == 1
