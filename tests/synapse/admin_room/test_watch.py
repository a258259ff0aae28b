"""The admin room under the bot's eyes: what lets others in is said once, and it follows only where both rooms agree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import answer, read_only, untouched
from tests.support.prompts import prompted
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]


def said(stage: Scene, containing: str, room: str | None = None) -> list[Seen]:
    """What the bot said in a room, the admin room where none is named, that holds a text."""
    return [
        event
        for event in stage.moderator.timeline.events
        if event.sender == stage.bot_id
        and event.room_id == (room or stage.room)
        and event.type == "m.room.message"
        and containing in event.body
    ]


async def hears(stage: Scene, containing: str, room: str | None = None) -> Seen:
    """Waits until the bot has said it."""
    return await stage.moderator.until(
        lambda: next(iter(said(stage, containing, room)), None), what=f"{containing!r} said by the bot"
    )


def alarms(stage: Scene) -> list[str]:
    """Every alarm in the audit, in order."""
    rows = read_only(
        stage.bot.database,
        "SELECT json_extract(public, '$.alarm') FROM audit WHERE action = 'AdminRoomAlarm' ORDER BY id",
    )
    return [alarm for (alarm,) in rows]


async def test_what_opens_the_room_is_said_once(scene: MakeScene) -> None:
    """Join rule, guests, readable history, a new moderator, power for everybody: each is said when it happens, in the
    room and in the log, and not again at a restart; a harmless change and one taken back aren't said."""
    stage = await scene()
    room, moderator = stage.room, stage.moderator
    newcomer = await stage.account("newcomer")
    assert alarms(stage) == []

    await moderator.set_state(room, "m.room.guest_access", {"guest_access": "can_join"})
    await moderator.set_state(room, "m.room.topic", {"topic": "orders only"})
    await moderator.set_state(room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    await hears(stage, "Anyone on the internet can read")
    await moderator.set_state(room, "m.room.join_rules", {"join_rule": "public"})
    opened = await hears(stage, "without a moderator's invitation")
    assert "public" in opened.body and "Guests can join" in opened.body
    await moderator.set_power(room, newcomer, 50)
    assert newcomer in (await hears(stage, "is now a moderator here")).body
    levels: dict[str, Any] = await moderator.state(room, "m.room.power_levels") or {}
    await moderator.set_state(room, "m.room.power_levels", {**levels, "users_default": 50})
    await hears(stage, "Everyone in this room is a moderator")
    once = ["world_readable", "join_rule", "guests", "new_moderator", "everybody_moderates"]
    assert alarms(stage) == once

    await stage.bot.restart()
    await answer(stage, "!help")
    assert alarms(stage) == once
    assert len(said(stage, "⚠️")) == 4  # join rule and guests stand in one message
    for words in ("Anyone on the internet", "without a moderator's invitation", newcomer):
        assert words in stage.bot.log

    await moderator.set_state(room, "m.room.join_rules", {"join_rule": "invite"})
    await answer(stage, "!help")
    assert alarms(stage) == once
    await moderator.set_state(room, "m.room.join_rules", {"join_rule": "public"})
    await settled(lambda: _are(stage, [*once, "join_rule", "guests"]))


async def _are(stage: Scene, expected: list[str]) -> bool:
    return alarms(stage) == expected


async def test_a_plain_room_is_said_once(scene: MakeScene) -> None:
    """An admin room without encryption is said to be one at the first start, and not at the next; once it's encrypted,
    commands have to be."""
    stage = await scene(encrypted=False)
    await hears(stage, "isn't encrypted")
    await stage.bot.restart()
    await answer(stage, "!help")
    assert len(said(stage, "isn't encrypted")) == 1

    await stage.moderator.set_state(stage.room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    async with untouched(stage):
        content = {"msgtype": "m.text", "body": f"!deactivate {await stage.account('target')}"}
        event_id = await stage.moderator.send_clear(stage.room, "m.room.message", content)
        assert "your message wasn't" in (await stage.moderator.reply_to(event_id)).body
    await answer(stage, "!help")


async def test_what_changed_while_the_bot_was_away_is_said_when_it_is_back(scene: MakeScene) -> None:
    """A moderator made while the bot didn't run is said at its next start."""
    stage = await scene()
    await answer(stage, "!help")
    await stage.bot.stop()
    newcomer = await stage.account("newcomer")
    await stage.moderator.set_power(stage.room, newcomer, 100)
    await stage.bot.start()
    assert newcomer in (await hears(stage, "is now a moderator here")).body
    assert alarms(stage) == ["new_moderator"]


# --- upgrades --------------------------------------------------------------------------------------------------------


async def upgrade(stage: Scene, to: str = "12") -> str:
    """The moderator upgrades the room as clients do; returns the successor's id."""
    path = "/_matrix/client/v3/rooms/{}/upgrade"
    answered = await stage.moderator.call("POST", path, stage.room, json={"new_version": to})
    return str(answered["replacement_room"])


async def test_an_upgraded_room_is_followed_and_pinned(scene: MakeScene) -> None:
    """After an upgrade and an invitation by the moderator, the bot obeys in the new room, over restarts, says so
    there, and the old room commands nothing any more."""
    stage = await scene()
    await answer(stage, "!help")
    target = await stage.account("target")
    old, new = stage.room, await upgrade(stage)
    await stage.moderator.invite(new, stage.bot_id)
    followed = await hears(stage, "I now take commands here", new)
    assert old in followed.body and stage.moderator.user_id in followed.body
    async with untouched(stage):
        event_id = await stage.moderator.say(old, f"!deactivate {target}")
        await stage.moderator.event(event_id)
        stage.room = new
        assert "!deactivate" in (await answer(stage, "!help")).body
    await stage.bot.restart()
    prompt = await answer(stage, f"!deactivate {target}")
    assert "to go on" in prompt.body
    await stage.moderator.react(new, prompt.event_id, "✅")
    await stage.moderator.edited(prompt.event_id, "· done")
    assert (await stage.user(target))["deactivated"]
    assert not said(stage, target, old)


async def test_an_open_prompt_ends_with_the_room_and_says_so_in_the_new_one(scene: MakeScene) -> None:
    """A ✅ under the old room's prompt does nothing after an upgrade: the prompt has ended, which the new room says;
    asked again there, it works."""
    stage = await scene()
    target = await stage.account("target")
    prompt = await prompted(stage, target)
    old, new = stage.room, await upgrade(stage)
    await stage.moderator.invite(new, stage.bot_id)
    ended = await hears(stage, f"{prompt.reference} · {target}: cancelled", new)
    assert "The admin room was upgraded" in ended.body and "ask again here" in ended.body
    stage.room = new
    await stage.moderator.react(old, prompt.event_id, "✅")
    assert "cancelled" in await prompt.status()
    assert not (await stage.user(target))["deactivated"]
    again = await prompted(stage, target)
    await again.react("✅")
    await again.hears("Read back from the homeserver")
    assert (await stage.user(target))["deactivated"]


async def test_an_invitation_before_the_tombstone_is_followed_too(scene: MakeScene) -> None:
    """Whoever makes the successor by hand, invites first and closes the old room later, takes the bot along."""
    stage = await scene()
    await answer(stage, "!help")
    new = await stage.moderator.create_room(name="Admins", encrypted=True, creation_content=_follows(stage.room))
    await stage.moderator.invite(new, stage.bot_id)
    await hears(stage, "I am Lethe", new)  # so far it can't be told from a direct message
    await _close_old(stage, new)
    await hears(stage, "I now take commands here", new)
    stage.room = new
    assert "!deactivate @user" in (await answer(stage, "!help")).body


async def test_a_successor_without_moderators_says_so(scene: MakeScene) -> None:
    """Where the upgrade lost everybody's power (the creator's from version 12 to 11), the bot says that it obeys
    nobody."""
    stage = await scene()
    await answer(stage, "!help")
    new = await upgrade(stage, to="11")
    await stage.moderator.invite(new, stage.bot_id)
    await hears(stage, "so I obey nobody", new)


@pytest.mark.slow
async def test_what_only_looks_like_the_successor_is_not_followed(scene: MakeScene) -> None:
    """A tombstone to a room that names no predecessor, or another, and an invitation by somebody without power in the
    old room, move nothing: the bot stays, says why, and obeys in the old room."""
    stage = await scene()
    impostor = await stage.add_moderator("impostor", level=0)
    levels: dict[str, Any] = await stage.moderator.state(stage.room, "m.room.power_levels") or {}
    levels["users"][stage.bot_id] = 50  # it can go on speaking in a closed room
    await stage.moderator.set_state(stage.room, "m.room.power_levels", levels)
    await answer(stage, "!help")

    for nonsense in ("not a room", f"!{'x' * 300}", "!../../v2/users"):
        await _close_old(stage, nonsense)
        assert nonsense[:200] in (await hears(stage, f"points to {nonsense[:200]}")).body
    unrelated = await stage.moderator.create_room(name="Admins", encrypted=True, invite=[stage.bot_id])
    await _close_old(stage, unrelated)
    assert unrelated in (await hears(stage, "doesn't say that it replaces this one")).body

    for by, words in ((impostor, "isn't a moderator here"), (stage.moderator, "as soon as a moderator")):
        new = await by.create_room(name="Admins", encrypted=True, creation_content=_follows(stage.room))
        if by is impostor:
            await by.invite(new, stage.bot_id)
            await settled(lambda: _is_in(stage, new))  # noqa: B023 - awaited at once
        await _close_old(stage, new)
        assert new in (await hears(stage, words)).body
        assert "!deactivate @user" in (await answer(stage, "!help")).body
    await stage.bot.restart()
    await answer(stage, "!help")
    assert len(said(stage, "This room was closed")) == 6
    assert not said(stage, "is now a moderator here"), "the bot's own power makes no moderator"


def _follows(room: str) -> dict[str, Any]:
    return {"predecessor": {"room_id": room, "event_id": "$none"}}


async def _close_old(stage: Scene, new: str) -> None:
    content = {"body": "moved", "replacement_room": new}
    await stage.moderator.set_state(stage.room, "m.room.tombstone", content)


async def _is_in(stage: Scene, room: str) -> bool:
    return room in (await stage.admin("GET", f"v1/users/{stage.bot_id}/joined_rooms"))["joined_rooms"]
