"""Whose devices count: signed ones only, where so set, and a moderator whose identity was reset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from homeserver.encryption.cross_signing import Seeds
from homeserver.encryption.signing import SigningKey
from sandbox.client import Person
from sandbox.homeserver import CallFailed
from sandbox.scene import Scene
from tests.support.admin_room import answer, prompt, read_only, untouched
from tests.support.crafted_messages import make_identity, sign_device
from tests.synapse.admin_room.test_watch import hears, said

MakeScene = Callable[..., Awaitable[Scene]]


async def with_identity(person: Person) -> Seeds:
    """Gives somebody an identity, their device signed by it."""
    seeds = await make_identity(person)
    await sign_device(person, seeds)
    return seeds


async def reset_identity(person: Person) -> Seeds:
    """Replaces somebody's identity, as whoever knows the password can; their device is signed by the new one."""
    seeds = Seeds({usage: SigningKey.new_seed() for usage in ("master", "self_signing", "user_signing")})
    path, keys = "/_matrix/client/v3/keys/device_signing/upload", seeds.public_keys(person.user_id)
    with pytest.raises(CallFailed):  # not without the password
        await person.call("POST", path, json=keys)
    user = {"type": "m.id.user", "user": person.user_id}
    auth = {"type": "m.login.password", "identifier": user, "password": person.password}
    await person.call("POST", path, json={**keys, "auth": auth})
    await sign_device(person, seeds)
    return seeds


def audited(stage: Scene, action: str) -> int:
    """How many rows the audit has of an action."""
    return int(read_only(stage.bot.database, "SELECT COUNT(*) FROM audit WHERE action = ?", action)[0][0])


async def test_only_signed_devices_command_where_so_set(scene: MakeScene) -> None:
    """With `require_cross_signed_moderators`, a device that its owner hasn't signed commands nothing and is told how to
    verify; without an identity, ✅ counts nothing either; once signed, both count."""
    stage = await scene(require_cross_signed_moderators=True)
    other = await stage.add_moderator()
    await with_identity(stage.moderator)
    target = await stage.account("target")
    shown = await prompt(stage, f"!deactivate {target}")
    async with untouched(stage):
        refused = await answer(stage, f"!deactivate {target}", by=other)
        assert "verify it" in refused.body and "Sessions" in refused.body
        await other.event(shown.event_id)
        reaction = await other.react(stage.room, shown.event_id, "✅")
        assert "moderators with verified devices" in (await other.reply_to(reaction)).body
    seeds = await make_identity(other)
    async with untouched(stage):
        assert "verify it" in (await answer(stage, "!help", by=other)).body
    await sign_device(other, seeds)
    assert "!deactivate @user" in (await answer(stage, "!help", by=other)).body
    await other.redact(stage.room, reaction)
    await other.react(stage.room, shown.event_id, "✅")
    await other.edited(shown.event_id, "· done")


async def test_a_plain_room_cannot_tell_devices(scene: MakeScene) -> None:
    """With that setting, an admin room without encryption commands nothing, and `check` says why."""
    stage = await scene(encrypted=False, require_cross_signed_moderators=True)
    async with untouched(stage):
        assert "isn't encrypted" in (await answer(stage, "!help")).body
    code, output = await stage.bot.command("check")
    assert code == 1 and "can't tell devices apart" in output


@pytest.mark.slow
async def test_a_reset_identity_is_refused_until_somebody_accepts_it(scene: MakeScene) -> None:
    """With that setting, a moderator whose identity was reset commands nothing, by command or ✅, and the room hears of
    it once; nobody accepts themselves; another moderator does, and the audit has it all."""
    stage = await scene(require_cross_signed_moderators=True)
    other = await stage.add_moderator()
    for person in (stage.moderator, other):
        await with_identity(person)
    target = await stage.account("target")
    shown = await prompt(stage, f"!deactivate {target}")
    assert "!deactivate @user" in (await answer(stage, "!help", by=other)).body
    assert audited(stage, "IdentityFirstSeen") == 2

    seeds = await reset_identity(other)
    async with untouched(stage):
        refused = await answer(stage, f"!deactivate {target} --erase", by=other)
        assert "was reset" in refused.body and f"!accept {other.user_id}" in refused.body
        told = await hears(stage, "The identity of")
        assert other.user_id in told.body and seeds.master.public in told.body
        assert "bot.py accept" in told.body
        await other.event(shown.event_id)
        reaction = await other.react(stage.room, shown.event_id, "✅")
        assert "was reset" in (await other.reply_to(reaction)).body
        assert "was reset" in (await answer(stage, f"!accept {other.user_id}", by=other)).body
        assert "nothing to accept" in (await answer(stage, f"!accept {target}")).body
        assert "your own identity" in (await answer(stage, f"!accept {stage.moderator.user_id}")).body
        await stage.bot.restart()
        await answer(stage, "!help", by=other)
        assert len(said(stage, "The identity of")) == 1

    assert "Accepted the new identity" in (await answer(stage, f"!accept {other.user_id}")).body
    assert "!deactivate @user" in (await answer(stage, "!help", by=other)).body
    await other.redact(stage.room, reaction)
    await other.react(stage.room, shown.event_id, "✅")
    await other.edited(shown.event_id, "· done")
    assert (audited(stage, "IdentityChanged"), audited(stage, "IdentityAccepted")) == (1, 1)


@pytest.mark.slow
async def test_the_only_moderator_is_accepted_on_the_command_line(scene: MakeScene) -> None:
    """Nobody is locked out: `bot.py accept @user`, beside the running bot, has it obey again."""
    stage = await scene(require_cross_signed_moderators=True)
    await with_identity(stage.moderator)
    await answer(stage, "!help")
    code, output = await stage.bot.command("accept", stage.moderator.user_id)
    assert code == 1 and "Nothing to accept" in output
    await reset_identity(stage.moderator)
    async with untouched(stage):
        assert "bot.py accept" in (await answer(stage, "!help")).body
    code, output = await stage.bot.command("accept", stage.moderator.user_id)
    assert code == 0 and stage.moderator.user_id in output
    assert "!deactivate @user" in (await answer(stage, "!help")).body
    code, output = await stage.bot.command("audit", "verify")
    assert code == 0


async def test_without_the_setting_a_reset_identity_is_only_said(scene: MakeScene) -> None:
    """By default a reset identity is said in the room once, and its owner is obeyed all the same."""
    stage = await scene()
    await with_identity(stage.moderator)
    await answer(stage, "!help")
    await reset_identity(stage.moderator)
    for _ in range(2):
        assert "!deactivate @user" in (await answer(stage, "!help")).body
    told = await hears(stage, "The identity of")
    assert "!accept" not in told.body
    await stage.bot.restart()
    await answer(stage, "!help")
    assert len(said(stage, "The identity of")) == 1
