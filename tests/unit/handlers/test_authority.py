"""Who is a moderator, and what about the admin room is worth a word: by the room's real state alone."""

from __future__ import annotations

from typing import Any

import pytest

import config
from handlers.admin_room.watch import Alarm, Look
from handlers.authority import AdminRoom, Policy
from handlers.roles import Roles
from homeserver.client.rooms import RoomState

BOT, LOCAL, REMOTE, LISTED = "@lethe:here", "@moderator:here", "@moderator:elsewhere", "@listed:here"


def policy(**changes: Any) -> Policy:
    """The usual settings."""
    usual: dict[str, Any] = {
        "bot_id": BOT, "power_level": 50, "users": (LISTED,), "allow_remote": False, "protected": (),
    }  # fmt: skip
    return Policy(**{**usual, **changes})


def state(event_type: str, state_key: str = "", sender: str = LOCAL, **content: Any) -> dict[str, Any]:
    """A state event."""
    return {"type": event_type, "state_key": state_key, "sender": sender, "content": content}


def room(*more: dict[str, Any], power: dict[str, int] | None = None, **changes: Any) -> AdminRoom:
    """An encrypted room that everybody is in."""
    people = [state("m.room.member", user, user, membership="join") for user in (BOT, LOCAL, REMOTE, LISTED)]
    events = [
        state("m.room.create", room_version="11"),
        state("m.room.power_levels", users={LOCAL: 50, REMOTE: 100, BOT: 100} if power is None else power),
        state("m.room.encryption", algorithm="m.megolm.v1.aes-sha2"),
        *people,
    ]
    given = {(each["type"], each["state_key"]) for each in more}
    kept = [each for each in events if (each["type"], each["state_key"]) not in given]
    return AdminRoom("!admin:here", RoomState.from_events([*kept, *more]), policy(**changes))


def test_another_servers_admin_is_no_moderator() -> None:
    """An account of another server with all the power commands nothing, unless the settings allow it."""
    assert room().moderators() == {LOCAL, LISTED}
    assert room(allow_remote=True).moderators() == {LOCAL, REMOTE, LISTED}
    assert room(users=(LISTED, REMOTE)).moderators() == {LOCAL, LISTED}
    assert not room(power={REMOTE: 100}, users=()).moderators()


def test_what_looks_like_local_is_not() -> None:
    """Server names are compared whole."""
    for user in (
        "@moderator:here.elsewhere",
        "@moderator:HERE",
        "@moderator:here:8448",
        "moderator",
        "@moderator",
        "@:here",
    ):
        joined = state("m.room.member", user, user, membership="join")
        assert not room(joined, power={user: 100}).is_moderator(user)


@pytest.mark.parametrize("membership", ["leave", "ban", "invite", "knock", None, 1])
def test_power_without_being_in_the_room_is_none(membership: object) -> None:
    """Whoever isn't joined is no moderator, by power level or by the list, but never a target either."""
    for user in (LOCAL, LISTED):
        gone = room(state("m.room.member", user, user, membership=membership))
        assert not gone.is_moderator(user)
        assert user in gone.could_moderate()


def test_the_bot_is_no_moderator() -> None:
    """Whatever power the bot has in its room, it gives itself no orders."""
    assert not room(users=(BOT,)).is_moderator(BOT)


def test_the_settings_say_what_authority_follows() -> None:
    """Each by its own setting."""
    settings = config.validate(
        {
            "homeserver": {"url": "https://m.test", "user_id": BOT, "password": "x"},
            "admin_room": "!a:here",
            "data_dir": "data",
            "moderators": {"power_level": 60, "users": [LISTED], "allow_remote": True},
            "protected_users": ["vip*"],
            "shared_admin_room": {"other_bots": ["@bot:elsewhere"]},
            "roles": {"desk": {"commands": ["info"], "users": [LOCAL]}},
        },
        {},
    )
    roles = Roles({LOCAL: frozenset({"info"})})
    assert Policy.of(settings) == Policy(BOT, 60, (LISTED,), True, ("vip*",), ("@bot:elsewhere",), roles)


ALARMS: dict[str, tuple[dict[str, Any], list[Alarm]]] = {
    "public": (state("m.room.join_rules", join_rule="public"), [Alarm.JOIN_RULE]),
    "unreadable": (state("m.room.join_rules", join_rule="knock_restricted"), [Alarm.JOIN_RULE]),
    "guests_with_invitation": (state("m.room.guest_access", guest_access="can_join"), []),
    "world_readable": (
        state("m.room.history_visibility", history_visibility="world_readable"), [Alarm.WORLD_READABLE],
    ),
    "shared": (state("m.room.history_visibility", history_visibility="shared"), []),
    "everybody": (state("m.room.power_levels", users={LOCAL: 50}, users_default=50), [Alarm.EVERYBODY_MODERATES]),
    "one_more": (state("m.room.power_levels", users={LOCAL: 50, "@new:here": 50}), [Alarm.NEW_MODERATOR]),
    "one_from_elsewhere": (state("m.room.power_levels", users={LOCAL: 50, "@new:elsewhere": 100}), []),
    "one_below": (state("m.room.power_levels", users={LOCAL: 50, "@new:here": 49}), []),
    "one_less": (state("m.room.power_levels", users={LISTED: 50}), [Alarm.NEW_MODERATOR]),
    "nothing": (state("m.room.topic", topic="orders"), []),
}  # fmt: skip


@pytest.mark.parametrize("case", ALARMS)
def test_what_is_news_about_the_room(case: str) -> None:
    """Each change that lets others in, shows the room to others or gives somebody power is news once, others aren't."""
    change, expected = ALARMS[case]
    before = Look.at(room())
    after = Look.at(room(change))
    assert [alarm for alarm, _ in after.news(before)] == expected
    assert after.news(after) == []
    assert Look.load(after.dump()) == after
    back = Look.at(room())
    assert [alarm for alarm, _ in back.news(after)] in ([], [Alarm.NEW_MODERATOR])


def test_the_first_look_says_what_is_wrong_and_names_nobody() -> None:
    """Whoever has power when the bot comes has it by right; an open room is said at once."""
    open_room = room(
        state("m.room.join_rules", join_rule="public"), state("m.room.guest_access", guest_access="can_join")
    )
    assert [alarm for alarm, _ in Look.at(open_room).news(None)] == [Alarm.JOIN_RULE, Alarm.GUESTS]
    assert Look.at(room()).news(None) == []


def test_a_room_where_nobody_has_power_is_said_to_be_one() -> None:
    """Power of other servers, and the bot's own, count nothing; the list of the settings does."""
    lost = room(power={REMOTE: 100, BOT: 100}, users=())
    assert [alarm for alarm, _ in Look.at(lost).news(None)] == [Alarm.NOBODY_MODERATES]
    assert Look.at(room(power={})).news(None) == []
