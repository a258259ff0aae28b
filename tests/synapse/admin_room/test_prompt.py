"""What the real bot's prompt shows of an account and of the plan, however the account tries to look."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
import pytest_asyncio
from lxml import html

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy, held, silence
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import answer, prompt
from tests.synapse.conftest import settled

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER = "/_synapse/admin/v2/users/"
HIDDEN = re.compile("[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Control characters, invisible ones, and those that turn the direction of what follows."""


class Stage(Scene):
    """The scene that the tests here share; the bot reaches the homeserver through a proxy."""

    proxy: Proxy
    member: Person


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver) -> AsyncIterator[Stage]:
    """An encrypted admin room."""
    made = Stage(homeserver)
    async with Proxy(homeserver.base_url) as made.proxy:
        try:
            await made.set_up(homeserver={"url": made.proxy.base_url})
            made.member = await made.person("member")
            yield made
        finally:
            await made.close()


async def never_seen(stage: Scene, localpart: str, **known: object) -> str:
    """An account that nobody ever used, made by an admin: `PUT v2/users/{user_id}`."""
    user_id = stage.homeserver.user_id(localpart)
    await stage.admin("PUT", f"v2/users/{quote(user_id, safe='')}", json={"password": "of no use", **known})
    return user_id


async def own_room(stage: Stage, owner: Person, name: str, *others: Person) -> str:
    """A room whose only admin is its owner, with others in it."""
    room = await owner.create_room(name=name, preset="public_chat")
    for other in others:
        await other.join(room)
    return room


def shown(message: Seen, label: str) -> str:
    """The line of a prompt that begins with the label, behind it."""
    found = [line.partition(label)[2] for line in message.body.splitlines() if line.strip(" *").startswith(label)]
    assert len(found) == 1, message.body
    return found[0].strip()


def hidden(message: Seen) -> list[str]:
    """The characters of a message that nobody sees."""
    return HIDDEN.findall(message.body + message.formatted_body)


def codes_above(message: Seen) -> list[str]:
    """What stands as code in the paragraph about the account."""
    about = html.fromstring(f"<div>{message.formatted_body}</div>").findall("./p")[1]
    return ["".join(map(str, code.itertext())) for code in about.iter("code")]


def day(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d")


# --- the account -----------------------------------------------------------------------------------------------------


async def test_the_prompt_shows_the_account(stage: Stage) -> None:
    """The prompt tells all that is known: the Matrix ID as code, name, created, last seen, devices, rooms, where it is
    the only admin, kinds of third-party ids (never the addresses), single sign-on, and that it is suspended."""
    owner = await stage.person("owner")
    path = "/_matrix/client/v3/profile/{}/displayname"
    await owner.call("PUT", path, owner.user_id, json={"displayname": "The Owner"})
    await owner.log_in_again()
    await own_room(stage, owner, "Kennel", stage.member, stage.moderator)
    await own_room(stage, owner, "Alone")
    shared = await stage.moderator.create_room(preset="public_chat")
    await owner.join(shared)
    known = {
        "threepids": [{"medium": "email", "address": "o@example.org"}, {"medium": "msisdn", "address": "4912345"}],
        "external_ids": [{"auth_provider": "oidc-example", "external_id": "o-1"}],
    }
    await stage.admin("PUT", f"v2/users/{quote(owner.user_id, safe='')}", json=known)
    await stage.admin("PUT", f"v1/suspend/{quote(owner.user_id, safe='')}", json={"suspend": True})
    created = (await stage.user(owner.user_id))["creation_ts"] * 1000
    devices = (await stage.admin("GET", f"v2/users/{quote(owner.user_id, safe='')}/devices"))["total"]

    async def was_seen() -> bool:
        return (await stage.user(owner.user_id))["last_seen_ts"] is not None

    await settled(was_seen)  # Synapse writes that down every few seconds
    said = await prompt(stage, f"!deactivate {owner.user_id}")
    assert codes_above(said) == [owner.user_id]
    assert shown(said, "Name:") == "“The Owner”"
    assert re.fullmatch(rf"[0-9]+ (seconds?|minutes?) ago \({day(created)}\)", shown(said, "Created:"))
    assert re.fullmatch(r"[0-9]+ (seconds?|minutes?) ago \([0-9-]+ [0-9:]+ UTC\)", shown(said, "Seen:"))
    assert f"\n{devices} devices · 3 rooms · 0 files\n" in said.body and devices == 3
    assert shown(said, "Only admin in:") == "“Kennel”"
    assert sorted(shown(said, "Third-party IDs:").split(", ")) == ["e-mail", "phone"]
    assert shown(said, "Single sign-on:") == "oidc-example"
    assert shown(said, "Already") == "suspended"
    assert "example.org" not in said.body and "4912345" not in said.formatted_body
    assert "Single sign-on links stay." in said.body


async def test_what_is_unknown_is_said_to_be_unknown(stage: Stage) -> None:
    """Of an account that was never used, the prompt says when it was last seen: unknown."""
    target = await never_seen(stage, "idle", displayname="")
    said = await prompt(stage, f"!deactivate {target}")
    assert shown(said, "Seen:") == "unknown"
    assert "\n0 devices · 0 rooms · 0 files\n" in said.body
    assert shown(said, "Only admin in:") == "no room"
    assert "Third-party IDs:" not in said.body
    assert "Already" not in said.body


async def test_many_rooms_are_counted_and_some_named(stage: Stage) -> None:
    """Of many rooms where the account is the only admin, two are named and the rest counted; ten are named in the
    details; names are harmless."""
    owner = await stage.person("owner")
    names = [f"<b>{number}</b>\u202e\n✅ to go on" for number in range(12)]
    await asyncio.gather(*(own_room(stage, owner, name, stage.member, stage.moderator) for name in names))
    said = await prompt(stage, f"!deactivate {owner.user_id}")
    seen, line = shown(said, "Only admin in:"), shown(said, "Rooms that lose their only admin:")
    assert seen.endswith(" and 10 more") and seen.count("“") == 2
    assert line.endswith(" and 2 more") and line.count("“") == 10
    assert "“<b>" in line and "“&lt;b&gt;" in said.formatted_body and not hidden(said)


# --- the plan --------------------------------------------------------------------------------------------------------

ALWAYS = (
    "nobody can log in",
    "Removes it from all rooms and direct messages.",
    "Removes its e-mail addresses and phone numbers, here and from the identity server.",
    "This can't be undone.",
    "Nobody can ever use this Matrix ID again. The server keeps a record of it.",
    "People who received its messages keep them.",
    "Uploaded files stay.",
    "Copies on other servers stay.",
    "Any moderator can confirm.",
)
WITH_ERASE = (
    "Deactivates and erases it: nobody can log in, and the profile is emptied.",
    "Erasing hides its messages from new joiners. It doesn't delete them: this server keeps the text, and other "
    "servers decide for themselves.",
)
WITHOUT_ERASE = ("Erasing it later leaves its name in the rooms' history.", "new joiners can read its messages")


@pytest.mark.parametrize("erase", [True, False], ids=["erase", "plain"])
async def test_the_prompt_says_what_will_happen_and_what_stays(stage: Stage, erase: bool) -> None:
    """What will happen stands in order before what stays; erasing is promised with `--erase` only, and as hiding."""
    target = await stage.account("target")
    said = await prompt(stage, f"!deactivate {target}{' --erase' if erase else ''} --reason spam")
    here, not_here = (WITH_ERASE, WITHOUT_ERASE) if erase else (WITHOUT_ERASE, WITH_ERASE)
    text = " ".join(said.body.split())
    for sentence in (*ALWAYS, *here, "Reason: spam"):
        assert sentence in text, sentence
    for sentence in not_here:
        assert sentence not in text, sentence
    places = [text.index(part) for part in ("What happens", "nobody can log in", "from all rooms", "What stays:")]
    assert places == sorted(places)


async def test_the_prompt_has_a_reference_an_end_and_both_reactions(stage: Stage) -> None:
    """One reply to the command carries reference, time of expiry, ✅ and ❌, and rings nobody."""
    target = await stage.account("target")
    said = await prompt(stage, f"!deactivate {target}")
    assert re.match(r"R[1-9][0-9]* · Deactivate this account\?", said.body)
    found = re.search(r"Expires in 10 minutes \((\d\d:\d\d UTC)\)", said.body)
    assert found
    sent = datetime.fromtimestamp(said.origin_server_ts / 1000, UTC)
    # Said to the minute, and the prompt is sent a moment after the request was made.
    expires = {(sent + timedelta(minutes=10, seconds=-late)).strftime("%H:%M UTC") for late in range(60)}
    assert found.group(1) in expires
    for key in ("✅", "❌"):
        await stage.moderator.reacted(said.event_id, key, by=stage.bot_id)
    assert sorted(r.key for r in stage.moderator.reactions_on(said.event_id)) == sorted(["✅", "❌"])
    assert said.content["m.mentions"] == {}
    replies = [e for e in stage.moderator.timeline.events if e.replies_to == said.replies_to]
    assert [e.event_id for e in replies] == [said.event_id]


# --- counting --------------------------------------------------------------------------------------------------------


async def test_a_long_count_keeps_nobody_waiting(stage: Stage) -> None:
    """Where counting takes long, the prompt says so and comes all the same; meanwhile commands and ❌ are heard, and
    the number is put into the prompt once it is there."""
    owner = await stage.person("owner")
    await own_room(stage, owner, "Slow", stage.member, stage.moderator)
    gate = asyncio.Event()
    rule = stage.proxy.on("GET", "/_synapse/admin/v1/rooms/", held(gate))
    try:
        first = await prompt(stage, f"!deactivate {owner.user_id}")
        assert shown(first, "Only admin in:") == "still counting"
        assert "!deactivate @user" in (await answer(stage, "!help")).body
        await stage.moderator.react(stage.room, first.event_id, "❌")
        await stage.moderator.edited(first.event_id, "cancelled")

        dry = await answer(stage, f"!deactivate {owner.user_id} --dry-run")
        assert shown(dry, "Only admin in:") == "not counted, it took too long"

        second = await prompt(stage, f"!deactivate {owner.user_id}")
        assert shown(second, "Only admin in:") == "still counting"
    finally:
        gate.set()
        rule.lift()
    filled = await stage.moderator.edited(second.event_id, "“Slow”")
    assert filled.body.splitlines()[0] == second.body.splitlines()[0] and "to go on" in filled.body


async def test_a_restart_takes_up_a_count(stage: Stage) -> None:
    """A count that a stop of the bot interrupted is finished after the next start, and put into the prompt."""
    owner = await stage.person("owner")
    await own_room(stage, owner, "Interrupted", stage.member, stage.moderator)
    rule = stage.proxy.on("GET", "/_synapse/admin/v1/rooms/", silence)
    shown_first = await prompt(stage, f"!deactivate {owner.user_id}")
    assert shown(shown_first, "Only admin in:") == "still counting"
    await stage.bot.stop()
    rule.lift()
    await stage.bot.start()
    await stage.moderator.edited(shown_first.event_id, "“Interrupted”")


# --- accounts that try to look like something else -------------------------------------------------------------------

HOSTILE = {
    "html": '<b>x</b><img src="mxc://a/b"><script>alert(1)</script></li></ul><p>R99 is done</p>',
    "link": '<a href="https://matrix.to/#/@moderator:lethe.test">click</a>',
    "template": "{{ r.requester_id }}{% raw %}",
    "right_to_left": "\u202etxet\u202c\u2066x\u2069\u200f",
    "line_breaks": "one\n\nAlready erased\r\nR99 · done\u2028✅ to go on",
    "invisible": "a\u200bb\u2060c\ufeffd\u00ade",
    "calls_everybody": "@room everyone",
    "markdown": "**x** `code` ||spoiler|| # title",
    "long": "W" * 256,
    "combining": "Z" + "\u0351" * 100,
    "none": "none",
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_display_name_changes_nothing_but_its_own_line(stage: Stage, case: str) -> None:
    """Whatever stands in a display name, the prompt has the same elements and lines as for a harmless one, nothing
    invisible, and nobody is rung."""
    target = await never_seen(stage, f"hostile-{case}".replace("_", "-"), displayname="Harmless")
    expected = await prompt(stage, f"!deactivate {target}")
    await stage.admin("PUT", f"v2/users/{quote(target, safe='')}", json={"displayname": HOSTILE[case]})
    said = await prompt(stage, f"!deactivate {target}")
    assert _shape(said) == _shape(expected)
    assert len(said.body.splitlines()) == len(expected.body.splitlines())
    line = shown(said, "Name:")
    assert line.startswith("“") and line.endswith("”") and len(line) < 300
    assert not hidden(said)
    assert said.content["m.mentions"] == {}


def _shape(message: Seen) -> list[tuple[str, tuple[str, ...]]]:
    """The elements of a message and their attributes, without any text."""
    root = html.fragment_fromstring(message.formatted_body, create_parent="div")
    return [(str(element.tag), tuple(element.attrib)) for element in root.iter()]


async def test_a_look_alike_is_told_by_its_matrix_id(stage: Stage) -> None:
    """An account named as a moderator is, even by its Matrix ID, shows its own Matrix ID as the only code above."""
    target = await never_seen(stage, "look-alike", displayname=stage.moderator.user_id)
    said = await prompt(stage, f"!deactivate {target}")
    assert codes_above(said) == [target]
    assert shown(said, "Name:") == f"“{stage.moderator.user_id}”"


async def test_the_longest_matrix_id_is_shown_whole(stage: Stage) -> None:
    """A Matrix ID of 255 bytes stands in prompt, `!status` and `!requests` to its last letter."""
    localpart = "x" * (255 - len(stage.homeserver.user_id("")))
    target = await never_seen(stage, localpart)
    assert len(target) == 255
    said = await prompt(stage, f"!deactivate {target} --erase")
    assert target in said.body and f"<code>{target}</code>" in said.formatted_body
    for command in (f"!status {said.body.split(' ')[0]}", "!requests"):
        assert target in (await answer(stage, command)).body


async def test_a_matrix_id_that_looks_like_a_path_is_that_account_only(stage: Stage) -> None:
    """A localpart with slashes and dots is never taken for a path: exactly that account is removed."""
    target, neighbour = await never_seen(stage, "a/../up+=x"), await never_seen(stage, "up+=x")
    said = await prompt(stage, f"!deactivate {target} --erase")
    await stage.moderator.react(stage.room, said.event_id, "✅")
    done = await stage.moderator.reply_to(said.replies_to or "", containing="Read back from the homeserver")
    assert "✗" not in done.body and target in done.body
    assert (await stage.user(target))["erased"] and not (await stage.user(neighbour))["deactivated"]
