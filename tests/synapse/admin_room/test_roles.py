"""Roles: a helper without power may use the commands of the role and confirm nothing else; nobody gets round it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sandbox.client import Person
from sandbox.scene import Scene
from tests.support.admin_room import answer, audited, untouched
from tests.support.prompts import prompted

MakeScene = Callable[..., Awaitable[Scene]]
NOT_YOURS = "doesn't include"


async def helper_with(stage: Scene, *commands: str, level: int = 0) -> Person:
    """A member of the admin room who is named in a role."""
    helper = await stage.add_moderator("helper", level)
    await stage.bot.stop()
    stage.bot.configure(roles={"desk": {"commands": list(commands), "users": [helper.user_id]}})
    await stage.bot.start()
    return helper


async def test_a_helper_may_use_the_roles_commands_only(scene: MakeScene) -> None:
    """Without power: `!suspend` works, `!deactivate` and the rest don't, and help shows what there is."""
    stage = await scene()
    helper = await helper_with(stage, "info", "suspend")
    target = await stage.account("loud")
    assert target in (await answer(stage, f"!info {target}", by=helper)).body
    async with untouched(stage):
        for command in (f"!deactivate {target}", f"!lock {target}", "!audit", "!cancel R1", "!accept @x", "!retry B1"):
            assert NOT_YOURS in (await answer(stage, command, by=helper)).body
    assert "is suspended" in (await answer(stage, f"!suspend {target}", by=helper)).body
    shown = (await answer(stage, "!help", by=helper)).body
    assert "!suspend" in shown and "!info" in shown and "!help" in shown
    assert "!deactivate" not in shown.replace("!help deactivate", "") and "!unsuspend" not in shown
    assert "!unsuspend" in (await answer(stage, "!help")).body
    refused = audited(stage, "CommandRefused")
    assert len(refused) == 6 and {(actor, row["because"]) for actor, _, row in refused} == {
        (helper.user_id, "not_yours")
    }


async def test_a_power_level_does_not_widen_a_role(scene: MakeScene) -> None:
    """A moderator with all the power who is named in a role can neither ask nor confirm, nor stop, a removal; what the
    role protects from nobody, the protections still do."""
    stage = await scene()
    limited = await helper_with(stage, "suspend", level=99)
    target = await stage.account("spammer")
    prompt = await prompted(stage, target)
    await limited.reacted(prompt.event_id, "✅", by=stage.bot_id)
    for key in ("✅", "❌", "👍"):
        await prompt.react(key, by=limited)
    await limited.wait_for(lambda e: e.sender == stage.bot_id and NOT_YOURS in e.body)
    assert "waiting for ✅" in await prompt.status()
    assert not await prompt.gone()
    async with untouched(stage):
        assert "moderator" in (await answer(stage, f"!suspend {stage.moderator.user_id}", by=limited)).body
    assert {row["command"] for _, _, row in audited(stage, "ReactionRefused")} == {"deactivate"}
    await prompt.react("✅")
    await prompt.hears("Read back")


async def test_a_no_counts_from_whom_may_cancel(scene: MakeScene) -> None:
    """A role with `cancel` stops a removal by ❌, and confirms none."""
    stage = await scene()
    limited = await helper_with(stage, "cancel")
    prompt = await prompted(stage, await stage.account("bystander"))
    await limited.reacted(prompt.event_id, "❌", by=stage.bot_id)
    await prompt.react("✅", by=limited)
    await limited.wait_for(lambda e: e.sender == stage.bot_id and NOT_YOURS in e.body)
    assert not await prompt.gone()
    await prompt.react("❌", by=limited)
    await prompt.reads("cancelled")
    assert [actor for actor, _, _ in audited(stage, "Declined")] == [limited.user_id]


async def test_a_wave_obeys_roles(scene: MakeScene) -> None:
    """✅ under a wave's prompt, and ❌, need the command as well."""
    stage = await scene()
    limited = await helper_with(stage, "pause", level=50)
    targets = [await stage.account("many") for _ in range(2)]
    await stage.moderator.say(stage.room, "!deactivate " + " ".join(targets))
    card = await stage.moderator.wait_for(lambda e: e.sender == stage.bot_id and "Deactivate 2 accounts" in e.body)
    await stage.moderator.reacted(card.event_id, "✅", by=stage.bot_id)
    await limited.reacted(card.event_id, "✅", by=stage.bot_id)
    await limited.react(stage.room, card.event_id, "✅")
    await limited.wait_for(lambda e: e.sender == stage.bot_id and NOT_YOURS in e.body)
    for target in targets:
        assert (await stage.user(target))["deactivated"] is False
    await stage.moderator.react(stage.room, card.event_id, "❌")
    await stage.moderator.edited(card.event_id, "cancelled")


async def test_a_role_that_was_taken_since_confirms_nothing(scene: MakeScene) -> None:
    """Confirmed for tomorrow, limited today: whoever confirmed lost the right, so nothing is removed."""
    stage = await scene()
    second = await stage.add_moderator()
    prompt = await prompted(stage, await stage.account("bystander"), "--in 12s")
    await second.reacted(prompt.event_id, "✅", by=stage.bot_id)
    await prompt.react("✅", by=second)
    await prompt.reads("scheduled")
    await stage.bot.stop()
    stage.bot.configure(roles={"desk": {"commands": ["info"], "users": [second.user_id]}})
    await stage.bot.start()
    await prompt.reads("cancelled")
    assert not await prompt.gone()


async def test_an_unknown_command_in_a_role_is_refused_at_the_start(scene: MakeScene) -> None:
    """The bot doesn't start, and says which word it doesn't know; `check` says the same."""
    stage = await scene(start=False)
    stage.bot.configure(roles={"desk": {"commands": ["suspnd"], "users": [stage.moderator.user_id]}})
    for command in ("run", "check"):
        code, output = await stage.bot.command(command)
        assert code == 1 and "roles.desk.commands[1]: got 'suspnd'" in output and "did you mean suspend?" in output
