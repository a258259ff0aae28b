"""`confirmation.method: reply`: in an encrypted room only an encrypted `yes R7` counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sandbox.scene import Scene
from tests.support.admin_room import answer, prompt, silence, untouched
from tests.support.crafted_messages import make_identity, sign_device

MakeScene = Callable[..., Awaitable[Scene]]

REPLY = {"method": "reply"}


async def test_only_an_encrypted_answer_confirms(scene: MakeScene) -> None:
    """The prompt asks for `yes R1` and carries no ✅; a reaction, a clear-text answer, an answer by somebody without
    power, one to another request and an edit into one count nothing; the encrypted answer does."""
    stage = await scene(confirmation=REPLY)
    member = await stage.add_moderator("member", level=0)
    target = await stage.account("target")
    shown = await prompt(stage, f"!deactivate {target}")
    assert "yes R1" in shown.body and "✅" not in shown.body
    async with untouched(stage):
        for key in ("✅", "❌"):
            reaction = await stage.moderator.react(stage.room, shown.event_id, key)
            if key == "✅":
                assert "Write yes R1" in (await stage.moderator.reply_to(reaction)).body
        clear = {"msgtype": "m.text", "body": "yes R1"}
        forged = await stage.moderator.send_clear(stage.room, "m.room.message", clear)
        assert "your message wasn't" in (await stage.moderator.reply_to(forged)).body
        assert "only moderators" in (await answer(stage, "yes R1", by=member)).body
        async with silence(stage) as said:
            said.append(await stage.moderator.say(stage.room, "yes R99"))
            said.append(await stage.moderator.say(stage.room, "yes"))
            said.append(await stage.moderator.say(stage.room, "oh yes R1 please"))
            said.append(await member.react(stage.room, shown.event_id, "✅"))
            first = await stage.moderator.say(stage.room, "perhaps")
            said += [first, await stage.moderator.edit(stage.room, first, "yes R1")]
    assert not stage.moderator.reactions_on(shown.event_id)[3:]  # the moderator's two and the member's, none of the bot
    await stage.moderator.say(stage.room, "Yes r1")
    await stage.moderator.edited(shown.event_id, "· done")
    assert (await stage.user(target))["deactivated"]


async def test_no_ends_it(scene: MakeScene) -> None:
    """`no R1` ends the prompt, and a later `yes R1` is told so."""
    stage = await scene(confirmation=REPLY)
    shown = await prompt(stage, f"!deactivate {await stage.account('target')}")
    await stage.moderator.say(stage.room, "no R1")
    await stage.moderator.edited(shown.event_id, "cancelled")
    async with untouched(stage):
        assert "it was cancelled" in (await answer(stage, "yes R1")).body


async def test_four_eyes_are_asked_for_in_writing(scene: MakeScene) -> None:
    """With `other_moderator`, the requester's own `yes R1` counts nothing, the other's does."""
    stage = await scene(confirmation={**REPLY, "confirmed_by": "other_moderator"})
    other = await stage.add_moderator()
    shown = await prompt(stage, f"!deactivate {await stage.account('target')}")
    async with untouched(stage):
        assert "another moderator must confirm" in (await answer(stage, "yes R1")).body
    await other.event(shown.event_id)
    await other.say(stage.room, "yes R1")
    await other.edited(shown.event_id, "· done")


async def test_an_answer_needs_the_same_trust_as_a_command(scene: MakeScene) -> None:
    """Where moderators must be cross-signed, `yes R1` from a device that isn't signed counts nothing."""
    stage = await scene(confirmation=REPLY, require_cross_signed_moderators=True)
    seeds = await make_identity(stage.moderator)
    await sign_device(stage.moderator, seeds)
    shown = await prompt(stage, f"!deactivate {await stage.account('target')}")
    second = await stage.moderator.log_in_again()
    async with untouched(stage):
        assert "verify it" in (await answer(stage, "yes R1", by=second)).body
    await sign_device(second, seeds)
    await second.say(stage.room, "yes R1")
    await stage.moderator.edited(shown.event_id, "· done")


async def test_a_plain_room_is_answered_by_reaction(scene: MakeScene) -> None:
    """Where the room isn't encrypted there is nothing to gain: ✅ counts, as the prompt says."""
    stage = await scene(encrypted=False, confirmation=REPLY)
    shown = await prompt(stage, f"!deactivate {await stage.account('target')}")
    assert "✅ to go on" in shown.body
    await stage.moderator.react(stage.room, shown.event_id, "✅")
    await stage.moderator.edited(shown.event_id, "· done")
