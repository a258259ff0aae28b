"""✅ and ❌ under a prompt: whose count and when, and what must still be true. The tests share one bot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy, Rule, answer, held
from sandbox.scene import Scene
from tests.support.prompts import OPEN, Prompt, prompted, shown
from tests.synapse.conftest import settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Stage(Scene):
    """The scene that these tests share."""

    proxy: Proxy
    other: Person
    """A second moderator."""
    member: Person
    """Joined, without power."""

    def last_look(self, gate: asyncio.Event) -> Rule:
        """Holds up the request by which the bot reads the reactions again, right before it changes anything."""
        return self.proxy.on("GET", "/relations/", held(gate), times=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver) -> AsyncIterator[Stage]:
    """An encrypted admin room with two moderators and a member, the bot behind a proxy."""
    made = Stage(homeserver)
    async with Proxy(homeserver.base_url) as made.proxy:
        try:
            await made.set_up(homeserver={"url": made.proxy.base_url})
            made.other = await made.add_moderator()
            made.member = await made.add_moderator("member", level=0)
            yield made
        finally:
            await made.close()


# --- which reactions count, and whose --------------------------------------------------------------------------------


async def test_marks_count_however_a_client_writes_them(stage: Stage) -> None:
    """✅ and ❌ count with and without variation selector; a no also by the plain mark of some keyboards."""
    yes = {key: await prompted(stage, await stage.account("spammer")) for key in ("✅", "✅\ufe0f")}
    no = {key: await prompted(stage, await stage.account("bystander")) for key in ("❌", "❌\ufe0f", "✖\ufe0f")}
    for key, prompt in (yes | no).items():
        await prompt.react(key)
    for prompt in no.values():
        await prompt.hears(f"cancelled by {stage.moderator.user_id}")
        assert not await prompt.gone()
    for prompt in yes.values():
        await settled(prompt.gone)


async def test_what_looks_like_the_mark_confirms_nothing(stage: Stage) -> None:
    """A plain tick or a thumb gets one clear word, once for each moderator; others get none. ✅ then confirms."""
    prompt = await prompted(stage, await stage.account("spammer"))
    before = prompt.said()
    for key in ("✔\ufe0f", "☑", "☑\ufe0f", "✓", "👍\U0001f3fd", "🆗"):
        await prompt.react(key)
        await prompt.react(key, stage.member)
    told = await prompt.hears("only ✅ confirms")
    await prompt.stays_open([*before, told])
    await prompt.react("✔", stage.other)
    await prompt.stays_open([*before, told, told])
    await prompt.react("✅")
    await settled(prompt.gone)
    await prompt.react("☑", stage.other)
    await prompt.status()
    assert prompt.said().count(told) == 2


async def test_every_other_reaction_is_ignored(stage: Stage) -> None:
    """Hearts, words, two marks at once, and keys of nothing visible neither act nor get an answer."""
    prompt = await prompted(stage, await stage.account("bystander"))
    for key in ("❤️", "✅ yes", "✅✅", "yes", prompt.reference, "✅❌", "\ufe0f"):
        await prompt.react(key)
    await prompt.stays_open([])


async def test_only_a_moderators_reaction_counts(stage: Stage) -> None:
    """The bot's own reactions, made by itself or with its token by somebody else, and a plain member's do nothing."""
    prompt = await prompted(stage, await stage.account("bystander"))
    for key in ("✅", "❌"):
        await prompt.react(key, stage.member)
    path = f"/_matrix/client/v3/rooms/{quote(stage.room)}/send/m.reaction/{prompt.reference}"
    relation = {"rel_type": "m.annotation", "event_id": prompt.event_id, "key": "✅\ufe0f"}
    token = stage.tokens[stage.bot_id]
    await stage.homeserver.call("PUT", path, token=token, json={"m.relates_to": relation})
    await prompt.stays_open([])


async def test_reactions_elsewhere_do_nothing(stage: Stage) -> None:
    """✅ under the command and under another answer of the bot leave the request open."""
    prompt = await prompted(stage, await stage.account("bystander"))
    command = prompt.event.replies_to
    assert command is not None
    help_text = await stage.moderator.reply_to(await stage.moderator.say(stage.room, "!help"))
    for event_id in (command, help_text.event_id):
        await stage.moderator.react(stage.room, event_id, "✅")
    await prompt.stays_open([])


async def test_a_demoted_moderators_mark_is_nothing(stage: Stage) -> None:
    """Who lost the right between prompt and ✅ confirms nothing, not even their own request."""
    demoted = await stage.add_moderator()
    prompt = await prompted(stage, await stage.account("bystander"), by=demoted)
    await stage.moderator.set_power(stage.room, demoted.user_id, None)
    await prompt.react("✅", demoted)
    await prompt.stays_open([])


# --- one decision, once ----------------------------------------------------------------------------------------------


async def test_a_second_mark_does_nothing(stage: Stage) -> None:
    """Two moderators confirm: one removal, said once; a ❌ that comes after the end gets one clear word."""
    prompt = await prompted(stage, await stage.account("spammer"))
    await prompt.react("✅")
    await prompt.react("✅", stage.other)
    await prompt.hears("Read back from the homeserver")
    await prompt.react("✅\ufe0f", stage.other)
    await prompt.react("❌")
    await prompt.hears(f"{prompt.reference}: it is done.")
    assert "done" in await prompt.status()
    assert len(prompt.said()) == 2


async def test_cancel_ends_a_request_in_words(stage: Stage) -> None:
    """`!cancel R7` ends an open request with its reason; its ✅ is dead from then on."""
    prompt = await prompted(stage, await stage.account("bystander"))
    await stage.moderator.say(stage.room, f"!cancel {prompt.reference.lower()} --reason a mistake")
    assert "a mistake" in await prompt.hears(f"cancelled by {stage.moderator.user_id}")
    await prompt.reads("cancelled")
    await prompt.react("✅")
    assert "cancelled" in await prompt.status()
    assert len(prompt.said()) == 1 and not await prompt.gone()
    again = await stage.moderator.reply_to(await stage.moderator.say(stage.room, f"!cancel {prompt.reference}"))
    assert again.body == f"{prompt.reference}: it was cancelled."


async def test_asking_again_replaces_ones_own_prompt_only(stage: Stage) -> None:
    """The same moderator's new command replaces the open prompt, whose ✅ is dead from then on; another moderator's
    command shows the open one, and they confirm there."""
    target = await stage.account("spammer")
    first = await prompted(stage, target)
    second = await prompted(stage, target, "--erase")
    assert second.reference in await first.reads("replaced")
    await first.react("✅")
    answered = await stage.other.reply_to(await stage.other.say(stage.room, f"!deactivate {target}"))
    assert second.reference in answered.body and stage.moderator.user_id in answered.body
    assert OPEN in await second.status()
    assert first.said() == [] and not await first.gone()
    await second.react("✅", stage.other)
    await settled(second.gone)
    assert (await stage.user(target))["erased"]


# --- the account changed meanwhile -----------------------------------------------------------------------------------


async def test_a_target_that_became_a_moderator_is_refused(stage: Stage) -> None:
    """Who was given the power between prompt and ✅ is a moderator and stays: the request ends and says why."""
    promoted = await stage.add_moderator("member", level=0)
    prompt = await prompted(stage, promoted.user_id)
    await stage.moderator.set_power(stage.room, promoted.user_id, 50)
    await prompt.react("✅")
    assert f"{promoted.user_id} is a moderator" in await prompt.hears("cancelled by")
    assert not await prompt.gone()


async def test_a_target_that_became_a_server_admin_is_refused(stage: Stage) -> None:
    """Who became a server admin between prompt and ✅ stays: the request ends and says why."""
    prompt = await prompted(stage, await stage.account("bystander"))
    await stage.admin("PUT", f"v1/users/{prompt.target}/admin", json={"admin": True})
    await prompt.react("✅")
    assert f"{prompt.target} is a server admin" in await prompt.hears("cancelled by")
    assert not await prompt.gone()


async def test_a_target_that_somebody_else_deactivated_is_asked_about_again(stage: Stage) -> None:
    """Deactivated by somebody else meanwhile: a plain request ends and offers to erase; one with `--erase` says what
    changed and asks anew, and only the new ✅ erases."""
    plain = await prompted(stage, await stage.account("spammer"))
    erase = await prompted(stage, await stage.account("spammer"), "--erase")
    for prompt in (plain, erase):
        await stage.admin("POST", f"v1/deactivate/{prompt.target}", json={"erase": False})
    await plain.react("✅")
    assert f"!deactivate {plain.target} --erase" in await plain.hears("cancelled by")
    await erase.react("✅")
    assert "(deactivated)" in await erase.hears("has changed since I showed it to you")
    again = await shown(stage, lambda e: erase.target in e.body and e.event_id != erase.event_id, erase.target)
    assert "Already deactivated" in again.body
    assert not (await stage.user(erase.target))["erased"]
    await again.react("✅")
    await again.hears("Read back")
    assert (await stage.user(erase.target))["erased"]


async def test_a_target_that_changes_after_the_mark_is_asked_about_again(stage: Stage) -> None:
    """What changes between ✅ and the first step is seen too: nothing is done, and the bot asks anew."""
    prompt, _, gate = await confirmed_and_held(stage)
    await stage.admin("PUT", f"v2/users/{prompt.target}", json={"locked": True})
    gate.set()
    assert "(locked)" in await prompt.hears("has changed since I showed it to you")
    again = await shown(stage, lambda e: prompt.target in e.body and e.event_id != prompt.event_id, prompt.target)
    assert "cancelled" in await prompt.status()
    await again.stays_open([])
    assert stage.proxy.count("PUT", f"/suspend/{quote(prompt.target, safe='')}") == 0


# --- until the first step --------------------------------------------------------------------------------------------


async def confirmed_and_held(stage: Stage) -> tuple[Prompt, str, asyncio.Event]:
    """A request that is confirmed and whose last look is held up: the prompt, the id of the ✅, the gate."""
    prompt = await prompted(stage, await stage.account("spammer"))
    gate = asyncio.Event()
    last_look = stage.last_look(gate)
    mark = await prompt.react("✅")
    await last_look.hit()
    return prompt, mark, gate


async def test_a_mark_taken_back_before_the_first_step_does_not_count(stage: Stage) -> None:
    """The ✅ is redacted after it was taken in: the bot says so and waits again, and a new ✅ counts."""
    prompt, mark, gate = await confirmed_and_held(stage)
    await stage.moderator.redact(stage.room, mark)
    gate.set()
    await prompt.hears("the ✅ was taken back before anything was done")
    assert OPEN in await prompt.status()
    assert not await prompt.gone()
    await prompt.react("✅")
    await settled(prompt.gone)


@pytest.mark.parametrize("how", ["❌", "!cancel"])
async def test_a_no_beats_a_yes_until_the_first_step(stage: Stage, how: str) -> None:
    """❌ or `!cancel` after the ✅ ends the request as long as nothing was changed."""
    prompt, _, gate = await confirmed_and_held(stage)
    if how == "❌":
        await prompt.react(how, stage.other)
    else:
        await stage.other.say(stage.room, f"{how} {prompt.reference}")
    await prompt.hears("Nothing was done.")
    gate.set()
    assert "cancelled" in await prompt.status()
    assert stage.proxy.count("PUT", f"/suspend/{quote(prompt.target, safe='')}") == 0
    assert not await prompt.gone()


async def test_a_cross_that_only_the_last_look_sees_counts(stage: Stage) -> None:
    """A ❌ that the homeserver has but that hasn't come by sync yet stops the removal: it is read before acting."""
    prompt = await prompted(stage, await stage.account("bystander"))
    gate, blind = asyncio.Event(), asyncio.Event()
    last_look = stage.last_look(gate)
    await prompt.react("✅")
    await last_look.hit()
    deaf = stage.proxy.on("GET", "/sync", held(blind))
    await stage.moderator.say(stage.room, "ends the sync that is in progress")
    await deaf.hit()
    await prompt.react("❌", stage.other)
    gate.set()
    await prompt.hears(f"cancelled by {stage.other.user_id}")
    deaf.lift()
    blind.set()
    assert "cancelled" in await prompt.status()
    assert not await prompt.gone()


async def test_a_no_after_the_first_step_is_too_late(stage: Stage) -> None:
    """❌ while the account is being deactivated gets one clear word, and the removal goes on."""
    prompt = await prompted(stage, await stage.account("spammer"))
    gate = asyncio.Event()
    act = stage.proxy.on("POST", f"/deactivate/{quote(prompt.target, safe='')}", held(gate), times=1)
    await prompt.react("✅")
    await act.hit()
    await prompt.react("❌")
    await prompt.hears(f"{prompt.reference}: it has already begun.")
    gate.set()
    await prompt.hears("Read back")


async def test_nothing_is_done_while_the_last_look_fails(stage: Stage) -> None:
    """Where the reactions can't be read again, nothing is changed, and the ✅ counts once they can be."""
    prompt = await prompted(stage, await stage.account("spammer"))
    broken = stage.proxy.on("GET", "/relations/", answer(502))
    await prompt.react("✅")
    await broken.hit()
    assert "in progress" in await prompt.status()
    assert stage.proxy.count("PUT", f"/suspend/{quote(prompt.target, safe='')}") == 0
    broken.lift()
    await stage.moderator.reply_to(await stage.moderator.say(stage.room, f"!retry {prompt.reference}"))
    await settled(prompt.gone)
