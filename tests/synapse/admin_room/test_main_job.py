"""The main job with the real bot: a command, a prompt, a ✅, and an account that is gone as the homeserver says."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest

from sandbox.client import Person
from sandbox.homeserver import CallFailed
from sandbox.scene import Scene
from sandbox.timeline import Seen

MakeScene = Callable[..., Awaitable[Scene]]


async def prompted(scene: Scene, command: str, by: Person | None = None, **say: object) -> Seen:
    """Sends a command and returns the prompt that answers it, once ✅ and ❌ stand under it."""
    person = by or scene.moderator
    event_id = await person.say(scene.room, command, **say)  # type: ignore[arg-type]
    prompt = await person.reply_to(event_id, containing="to go on")
    for key in ("✅", "❌"):
        await person.reacted(prompt.event_id, key, by=scene.bot_id)
    return prompt


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_a_confirmed_command_deactivates_and_erases(scene: MakeScene, encrypted: bool) -> None:
    """After `!deactivate @user --erase` and ✅, the homeserver says that the account is gone, and a late joiner reads
    nothing of it."""
    stage = await scene(encrypted=encrypted)
    spammer = await stage.person("spammer")
    room = await stage.moderator.create_room(name="Lounge", invite=[spammer.user_id], preset="public_chat")
    await spammer.join(room)
    spam = await spammer.say(room, "buy my pills")
    await stage.moderator.event(spam)

    command = await stage.moderator.say(stage.room, f"!deactivate {spammer.user_id} --erase --reason spam")
    prompt = await stage.moderator.reply_to(command, containing=spammer.user_id)
    assert prompt.encrypted is encrypted
    assert re.search(r"^[0-9]+ devices? · 1 room · 0 files$", prompt.body, re.MULTILINE)
    await stage.moderator.react(stage.room, prompt.event_id, "✅")
    done = await stage.moderator.reply_to(command, containing="Read back from the homeserver")
    assert "✗" not in done.body and "✓ in no room" in done.body

    account = await stage.user(spammer.user_id)
    assert account["deactivated"] and account["erased"] and account["displayname"] is None
    assert (await stage.admin("GET", f"v1/users/{spammer.user_id}/joined_rooms"))["total"] == 0
    newcomer = await stage.person("newcomer")
    await newcomer.join(room)
    seen = await newcomer.call("GET", "/_matrix/client/v3/rooms/{}/event/{}", room, spam)
    assert seen["content"] == {}
    with pytest.raises(CallFailed):
        await spammer.call("GET", "/_matrix/client/v3/account/whoami")
    card = await stage.moderator.edited(prompt.event_id, "done")
    assert card.body.splitlines() == [card.body] and spammer.user_id in card.body
    assert f"Asked and confirmed by {stage.moderator.user_id}" in done.body


async def test_a_declined_prompt_touches_nothing(scene: MakeScene) -> None:
    """❌ ends the request, a later ✅ does nothing, and the account stays."""
    stage = await scene()
    target = await stage.account("bystander")
    prompt = await prompted(stage, f"!deactivate {target}")
    await stage.moderator.react(stage.room, prompt.event_id, "❌")
    await stage.moderator.edited(prompt.event_id, "cancelled")
    await stage.moderator.react(stage.room, prompt.event_id, "✅")
    help_id = await stage.moderator.say(stage.room, "!help")
    await stage.moderator.reply_to(help_id)
    assert not (await stage.user(target))["deactivated"]
