"""Moderators on another server: refused, unless the settings allow them; their server's clock is never believed."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest

from sandbox.client import Person
from sandbox.federation import FederatedHomeserver
from sandbox.scene import Scene
from tests.conftest import People
from tests.support.admin_room import answer, untouched
from tests.support.prompts import OPEN, Prompt, prompted
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]
ALLOWED = {"moderators": {"allow_remote": True}}
HOUR_MS = 3_600_000


async def moderator_there(stage: Scene, strangers: People, level: int = 50) -> Person:
    """A moderator of the other server, in the admin room."""
    person = await strangers("moderator")
    await stage.moderator.invite(stage.room, person.user_id)
    await person.invited_to(by=stage.moderator.user_id)
    await person.join(stage.room)
    if level:
        await stage.moderator.set_power(stage.room, person.user_id, level)
    await stage.moderator.wait_for(lambda e: e.state_key == person.user_id and e.content.get("membership") == "join")
    return person


async def react_at(other: FederatedHomeserver, prompt: Prompt, by: Person, sent_ts: int) -> str:
    """The other server sends a ✅ under a prompt, and says that it is of this time (ms)."""
    relation = {"rel_type": "m.annotation", "event_id": prompt.event_id, "key": "✅"}
    answered = await other.call(
        "PUT",
        f"/_matrix/client/v3/rooms/{quote(prompt.scene.room, safe='')}/send/m.reaction/{uuid.uuid4().hex}",
        token=other.as_token,
        params={"user_id": by.user_id, "ts": str(sent_ts)},
        json={"m.relates_to": relation},
    )
    return str(answered["event_id"])


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_a_remote_moderator_is_refused(scene: MakeScene, strangers: People) -> None:
    """However much power: commands are refused with the reason, ✅ does nothing, ❌ neither."""
    stage = await scene()
    remote = await moderator_there(stage, strangers, level=99)
    target = await stage.account("bystander")
    async with untouched(stage):
        refused = await answer(stage, f"!deactivate {target}", by=remote)
        assert stage.homeserver.server_name in refused.body
    prompt = await prompted(stage, target)
    await remote.reacted(prompt.event_id, "✅", by=stage.bot_id)
    for key in ("✅", "❌"):
        reaction = await prompt.react(key, by=remote)
        await stage.moderator.event(reaction)
        await prompt.stays_open([])
    await prompt.react("❌")
    await prompt.reads("cancelled")


async def test_a_remote_moderator_is_heard_where_the_settings_allow_it(scene: MakeScene, strangers: People) -> None:
    """Command and ✅ from the other server, both encrypted as the room is, and the account is gone."""
    stage = await scene(**ALLOWED)
    remote = await moderator_there(stage, strangers)
    prompt = await prompted(stage, await stage.account("spammer"), "--erase", by=remote)
    await remote.reacted(prompt.event_id, "✅", by=stage.bot_id)
    await prompt.react("✅", by=remote)
    receipt = await prompt.hears("Read back", timeout=60)
    assert "✗" not in receipt and f"confirmed by {remote.user_id}" in receipt
    assert await prompt.gone()


async def test_a_remote_yes_dated_in_the_future_counts_as_of_now(
    scene: MakeScene, strangers: People, other: FederatedHomeserver
) -> None:
    """Another server's clock is an hour ahead: its moderator's ✅ came in time all the same."""
    stage = await scene(**ALLOWED)
    remote = await moderator_there(stage, strangers)
    prompt = await prompted(stage, await stage.account("spammer"))
    await react_at(other, prompt, remote, now_ms() + HOUR_MS)
    assert "✗" not in await prompt.hears("Read back", timeout=60)


async def test_a_remote_yes_dated_back_does_not_revive_what_has_expired(
    scene: MakeScene, strangers: People, other: FederatedHomeserver
) -> None:
    """Whatever time the other server gives to a ✅: it came after the prompt's end. Nor does it help that the bot was
    down meanwhile."""
    stage = await scene(**ALLOWED, confirmation={"expires_after": "20s"})
    remote = await moderator_there(stage, strangers)
    prompt = await prompted(stage, await stage.account("bystander"))
    asked_ts = prompt.event.origin_server_ts
    await stage.bot.stop()
    await asyncio.sleep(max(0.0, (asked_ts + 21_000 - now_ms()) / 1000))
    reaction = await react_at(other, prompt, remote, asked_ts + 5_000)
    await stage.moderator.event(reaction)
    await stage.bot.start()
    await prompt.reads("expired")
    await prompt.hears("nobody confirmed in time")
    assert OPEN not in await prompt.status()
    assert not await prompt.gone()


@pytest.mark.parametrize("level", [0, 50], ids=["no moderator", "power without the setting"])
async def test_a_name_that_imitates_a_moderator(
    scene: MakeScene, strangers: People, other: FederatedHomeserver, level: int
) -> None:
    """The same localpart and display name as the moderator's, on another server: neither commands nor ✅ of theirs
    count, what concerns them is said by their whole Matrix ID, and they can't be removed in the moderator's place."""
    stage = await scene()
    localpart = stage.moderator.user_id[1:].partition(":")[0]
    await other.register(localpart, "password")
    imitator = Person(other.base_url, other.user_id(localpart))
    try:
        await imitator.login("password")
        body = {"displayname": "Moderator"}
        for person in (stage.moderator, imitator):
            await person.call("PUT", "/_matrix/client/v3/profile/{}/displayname", person.user_id, json=body)
        await stage.moderator.invite(stage.room, imitator.user_id)
        await imitator.invited_to(by=stage.moderator.user_id)
        await imitator.join(stage.room)
        if level:
            await stage.moderator.set_power(stage.room, imitator.user_id, level)
        target = await stage.account("bystander")
        async with untouched(stage):
            await answer(stage, f"!deactivate {target}", by=imitator)
            refused = await answer(stage, f"!deactivate {imitator.user_id}")
            assert imitator.user_id in refused.body
        prompt = await prompted(stage, target)
        await imitator.reacted(prompt.event_id, "✅", by=stage.bot_id)
        reaction = await prompt.react("✅", by=imitator)
        await stage.moderator.event(reaction)
        await prompt.stays_open([])
        assert stage.moderator.user_id in prompt.body or "Any moderator" in prompt.body
    finally:
        await imitator.close()


async def test_a_remote_no_stops_it_where_the_settings_allow_it(scene: MakeScene, strangers: People) -> None:
    """❌ from the other server ends the prompt."""
    stage = await scene(**ALLOWED)
    remote = await moderator_there(stage, strangers)
    prompt = await prompted(stage, await stage.account("bystander"))
    await remote.reacted(prompt.event_id, "❌", by=stage.bot_id)
    await prompt.react("❌", by=remote)
    await prompt.reads("cancelled")
    await prompt.hears(f"cancelled by {remote.user_id}")

    async def ended() -> bool:
        return not await prompt.gone()

    await settled(ended)
