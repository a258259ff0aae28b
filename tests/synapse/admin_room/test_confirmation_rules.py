"""Settings of confirmations: how long a prompt waits, who may answer it, how many removals an hour."""

from __future__ import annotations

import asyncio
import time

import pytest

from sandbox.proxy import Proxy, held, slow
from tests.support.prompts import OPEN, MakeScene, prompted
from tests.synapse.conftest import settled


async def test_a_prompt_expires_when_it_says_so(scene: MakeScene) -> None:
    """After `expires_after` the prompt is marked and its end is said, soon; a later ✅ gets one clear word."""
    stage = await scene(confirmation={"expires_after": "5s"})
    prompt = await prompted(stage, await stage.account("bystander"))
    await prompt.hears("nobody confirmed in time")
    late = time.time() - prompt.event.origin_server_ts / 1000 - 5
    await prompt.reads("expired")
    await prompt.react("✅")
    await prompt.hears(f"{prompt.reference}: it has expired")
    assert "expired" in await prompt.status()
    assert not await prompt.gone()
    assert 0 <= late < 4.5  # two seconds, and more for a loaded machine; it would be 5 if only the clock told


@pytest.mark.slow
async def test_waiting_for_a_prompts_end_is_cheap(scene: MakeScene, proxy: Proxy) -> None:
    """A prompt that ends soon makes the bot sync a few times more, never in a hot loop; not even where the end can't
    be told because something received before it can't be handled."""
    stage = await scene(homeserver={"url": proxy.base_url}, confirmation={"expires_after": "3s"})
    prompt = await prompted(stage, await stage.account("bystander"))
    gate = asyncio.Event()
    stuck = proxy.on("GET", r"/rooms/[^/]+/state$", held(gate))  # nobody can be authorised
    await stage.moderator.say(stage.room, "!requests")
    await stuck.hit()
    syncs = proxy.count("GET", "/sync")
    await proxy.seen("GET", "/sync", syncs + 5)
    assert time.time() > prompt.event.origin_server_ts / 1000 + 4.5  # at once would be 4.1
    assert prompt.said() == []
    gate.set()
    await prompt.hears("nobody confirmed in time")


@pytest.mark.slow
async def test_a_mark_in_time_counts_however_late_a_sync_answers(scene: MakeScene, proxy: Proxy) -> None:
    """A sync that was answered before the ✅ and arrives after the prompt's end doesn't prove that nobody confirmed."""
    stage = await scene(homeserver={"url": proxy.base_url}, confirmation={"expires_after": "6s"})
    prompt = await prompted(stage, await stage.account("spammer"))
    gate = asyncio.Event()
    late = proxy.on("GET", "/sync", held(gate, acts=True), times=1)
    await stage.moderator.say(stage.room, "ends the sync that is under way")
    await late.hit()
    await stage.moderator.say(stage.room, "ends the next one")
    await late.acted()
    await prompt.react("✅")
    end = prompt.event.origin_server_ts / 1000 + 6
    assert time.time() < end, "this machine is too slow for this test to prove anything"
    await asyncio.sleep(end + 1.5 - time.time())  # until the end has passed: the clock is the event
    proxy.on("GET", "/sync", slow(2.5), times=1)  # the ✅ isn't there at once either
    gate.set()
    await prompt.hears("Read back")


async def test_four_eyes(scene: MakeScene) -> None:
    """`other_moderator`: the requester's own ✅ gets one clear word, another moderator's counts."""
    stage = await scene(confirmation={"confirmed_by": "other_moderator"})
    other = await stage.add_moderator()
    prompt = await prompted(stage, await stage.account("spammer"))
    assert "Another moderator must confirm." in prompt.body
    assert f"Asked by {stage.moderator.user_id}" in prompt.body
    await prompt.react("✅")
    await prompt.hears(f"{prompt.reference}: another moderator must confirm it.")
    assert OPEN in await prompt.status()
    await prompt.react("✅", other)
    await settled(prompt.gone)


async def test_only_the_requester(scene: MakeScene) -> None:
    """`requester`: another moderator's ✅ gets one clear word, their ❌ counts; the requester's own ✅ counts."""
    stage = await scene(confirmation={"confirmed_by": "requester"})
    other = await stage.add_moderator()
    prompt = await prompted(stage, await stage.account("spammer"))
    await prompt.react("✅", other)
    await prompt.hears(f"{prompt.reference}: only {stage.moderator.user_id} may confirm this one.")
    await prompt.react("✅")
    await settled(prompt.gone)
    prompt = await prompted(stage, await stage.account("bystander"))
    await prompt.react("❌", other)
    await prompt.hears(f"cancelled by {other.user_id}")


async def test_the_cap_per_hour(scene: MakeScene) -> None:
    """Above `max_removals_per_hour` the prompt asks for another moderator and says why; who opened the prompts before
    reaching the cap is held to it as well."""
    stage = await scene(moderators={"max_removals_per_hour": 1})
    other = await stage.add_moderator()
    first = await prompted(stage, await stage.account("spammer"))
    early = await prompted(stage, await stage.account("spammer"))
    await first.react("✅")
    await settled(first.gone)

    await early.react("✅")
    refusal = "another moderator must confirm it, because the limit of removals per hour is reached."
    await early.hears(refusal)
    await early.reads("hourly limit reached")
    late = await prompted(stage, await stage.account("spammer"))
    assert "hourly limit reached" in late.body
    await late.react("✅")
    await late.hears(refusal)
    for prompt in (early, late):
        assert OPEN in await prompt.status()
        assert not await prompt.gone()
        await prompt.react("✅", other)
        await settled(prompt.gone)
