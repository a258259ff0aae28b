"""The bot stops, is killed, and starts again: nothing is lost, nothing acts twice, nothing is said just for that."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from contextlib import closing
from urllib.parse import quote

import pytest
import pytest_asyncio

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy, held, silence
from sandbox.scene import Scene
from tests.support.prompts import OPEN, Prompt, prompted, said
from tests.synapse.conftest import settled

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 3.0
"""Seconds within which a SIGTERM ends a bot that has nothing in hand."""
AT_MOST = 10.0
"""Seconds within which it ends one whose homeserver doesn't answer; docs/operations.md says so."""


class Stage(Scene):
    """The scene that these tests share."""

    proxy: Proxy
    other: Person
    """A second moderator."""

    def events(self) -> int:
        """How many events the bot has sent to the admin room as far as the moderator has seen: messages, edits,
        reactions."""
        return sum(e.sender == self.bot_id and e.room_id == self.room for e in self.moderator.timeline.events)

    async def quiet_since(self, before: int) -> None:
        """Asserts that the bot has handled all that was said in the admin room and had nothing to say but this."""
        await self.moderator.reply_to(await self.moderator.say(self.room, "!help cancel"))
        assert self.events() == before + 1

    def meta(self, key: str, value: str | None = None) -> str:
        """A value of the stopped bot's database; set to `value` where one is given."""
        with closing(sqlite3.connect(self.bot.database)) as database, database:
            if value is not None:
                database.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))
            return str(database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(homeserver: Homeserver) -> AsyncIterator[Stage]:
    """An encrypted admin room with two moderators, the bot behind a proxy."""
    made = Stage(homeserver)
    async with Proxy(homeserver.base_url) as made.proxy:
        try:
            await made.set_up(homeserver={"url": made.proxy.base_url})
            made.other = await made.add_moderator()
            yield made
        finally:
            await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> Stage:
    """The shared scene, with a running bot and a proxy that breaks nothing, however the last test ended."""
    shared.proxy.calm()
    if not shared.bot.running:
        await shared.bot.start()
    return shared


async def held_in_the_act(stage: Stage, gate: asyncio.Event, *, acts: bool) -> Prompt:
    """A confirmed removal whose deactivation is under way: about to reach the homeserver, or done there and unheard."""
    prompt = await prompted(stage, await stage.account("spammer"), "--erase")
    rule = stage.proxy.on("POST", f"/deactivate/{quote(prompt.target, safe='')}", held(gate, acts=acts), times=1)
    await prompt.react("✅")
    await (rule.acted() if acts else rule.hit())
    return prompt


# --- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_start_says_nothing_new(stage: Stage) -> None:
    """With open, cancelled and finished requests behind it, a bot that starts sends no message, edit or reaction."""
    done, cancelled, still = [await prompted(stage, await stage.account("spammer")) for _ in range(3)]
    await done.react("✅")
    await cancelled.react("❌")
    await done.hears("Read back")
    await done.reads("done")
    await cancelled.reads("cancelled")
    assert OPEN in await still.status()
    await stage.bot.stop()
    before = stage.events()
    await stage.bot.start()
    await stage.quiet_since(before)
    await stage.bot.kill()
    await stage.bot.start()
    await stage.quiet_since(before + 1)


@pytest.mark.slow
async def test_a_prompt_is_answered_while_the_bot_is_away_or_when_it_is_back(stage: Stage) -> None:
    """Prompts open when the bot stops: ✅ and ❌ made meanwhile count, and so does a ✅ made once it is back."""
    meanwhile, declined, later = [await prompted(stage, await stage.account("spammer")) for _ in range(3)]
    await stage.bot.stop()
    await meanwhile.react("✅", stage.other)
    await declined.react("❌")
    await stage.bot.start()
    await declined.hears(f"cancelled by {stage.moderator.user_id}")
    await settled(meanwhile.gone)
    assert OPEN in await later.status()
    assert not await later.gone()
    await later.react("✅")
    await settled(later.gone)
    assert stage.other.user_id in await meanwhile.hears("Read back")
    assert not await declined.gone()


@pytest.mark.slow
async def test_marks_of_those_who_lost_the_right_meanwhile_are_nothing(stage: Stage) -> None:
    """Who confirmed while the bot was away and then was demoted, left, or took it back, has confirmed nothing."""
    demoted, leaver = await stage.add_moderator(), await stage.add_moderator()
    prompts = [await prompted(stage, await stage.account("bystander")) for _ in range(3)]
    await stage.bot.stop()
    before = stage.events()
    await prompts[0].react("✅", demoted)
    await stage.moderator.set_power(stage.room, demoted.user_id, None)
    await prompts[1].react("✅", leaver)
    await leaver.leave(stage.room)
    mark = await prompts[2].react("✅")
    await stage.moderator.redact(stage.room, mark)
    await stage.bot.start()
    await stage.quiet_since(before)
    for prompt in prompts:
        await prompt.stays_open([])


@pytest.mark.parametrize("order", ["✅❌", "❌✅"])
async def test_a_no_beats_a_yes_when_both_come_at_once(stage: Stage, order: str) -> None:
    """✅ and ❌ both made while the bot is away: nothing is done, whichever came first."""
    prompt = await prompted(stage, await stage.account("bystander"))
    await stage.bot.stop()
    for key, by in zip(order, (stage.moderator, stage.other), strict=True):
        await prompt.react(key, by)
    await stage.bot.start()
    await prompt.hears("Nothing was done.")
    assert "cancelled" in await prompt.status()
    assert stage.proxy.count("PUT", f"/suspend/{quote(prompt.target, safe='')}") == 0
    assert not await prompt.gone()


@pytest.mark.slow
async def test_a_batch_that_comes_twice_acts_once(stage: Stage) -> None:
    """The sync token of the past is put back, as after a crash between two commits: commands, ✅ and ❌ come again,
    and nothing is asked, done or said a second time."""
    await stage.bot.stop()
    since = stage.meta("since")
    await stage.bot.start()
    done, cancelled = [await prompted(stage, await stage.account("spammer")) for _ in range(2)]
    await done.react("✅")
    await cancelled.react("❌")
    await done.hears("Read back")
    await cancelled.reads("cancelled")
    await done.reads("done")
    await stage.bot.stop()
    assert stage.meta("since") != since
    stage.meta("since", since)
    before, acts = stage.events(), stage.proxy.count("POST", "/deactivate/")
    await stage.bot.start()
    await stage.quiet_since(before)
    assert stage.proxy.count("POST", "/deactivate/") == acts
    assert not await cancelled.gone()
    await stage.bot.stop()
    assert stage.meta("since") != since


# --- in time, and handled late (bots of their own, for their settings) -----------------------------------------------


@pytest.mark.slow
async def test_a_mark_made_in_time_counts_when_the_bot_is_back_late(homeserver: Homeserver) -> None:
    """✅ before the end, handled after it but not as late again as the prompt was open: it counts."""
    stage = Stage(homeserver)
    try:
        await stage.set_up(confirmation={"expires_after": "10s"})
        prompt = await prompted(stage, await stage.account("spammer"))
        await stage.bot.stop()
        await prompt.react("✅")
        await clock_passes(prompt, 10.5)
        await stage.bot.start()
        await prompt.hears("Read back")
    finally:
        await stage.close()


@pytest.mark.slow
async def test_a_mark_made_in_time_is_void_when_the_bot_is_back_too_late(homeserver: Homeserver) -> None:
    """✅ before the end, handled later than `expires_after` after it: expired, and nothing is done."""
    stage = Stage(homeserver)
    try:
        await stage.set_up(confirmation={"expires_after": "4s"})
        prompt = await prompted(stage, await stage.account("bystander"))
        await stage.bot.stop()
        await prompt.react("✅")
        await clock_passes(prompt, 8.5)
        await stage.bot.start()
        await prompt.hears("nobody confirmed in time")
        assert "expired" in await prompt.status()
        assert not await prompt.gone()
    finally:
        await stage.close()


async def clock_passes(prompt: Prompt, seconds: float) -> None:
    """Waits until a prompt is so old: the clock itself is the event."""
    await asyncio.sleep(max(0.0, prompt.event.origin_server_ts / 1000 + seconds - time.time()))


# --- in the middle of a removal --------------------------------------------------------------------------------------


@pytest.mark.parametrize("acts", [False, True], ids=["before_the_homeserver_acted", "before_its_answer"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_a_removal_is_taken_up_again(stage: Stage, acts: bool, number: signal.Signals) -> None:
    """Killed while the deactivation is under way, or stopped and the homeserver doesn't answer, the bot finishes it at
    the next start and says so once; a SIGTERM ends it with 0 all the same."""
    gate = asyncio.Event()
    prompt = await held_in_the_act(stage, gate, acts=acts)
    began = time.monotonic()
    code = await stage.bot.stop(number)
    assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    assert time.monotonic() - began < AT_MOST
    gate.set()
    await stage.bot.start()
    assert "✗" not in await prompt.hears("Read back")
    await prompt.reads("done")
    assert (await stage.user(prompt.target))["erased"]
    assert "done" in await prompt.status()
    assert len(prompt.said()) == 1
    bodies = [event.body for event in said(stage) if event.body.startswith("R")]  # of requests
    assert len(bodies) == len(set(bodies))


async def test_sigterm_lets_the_step_in_hand_end_and_begins_no_other(stage: Stage) -> None:
    """The homeserver is deactivating the account when the bot is told to stop: its answer is waited for and stored,
    nothing follows, and a command that was heard before gets its answer. The next start goes on behind that step."""
    gate, looked = asyncio.Event(), asyncio.Event()
    prompt = await held_in_the_act(stage, gate, acts=True)
    bystander = await stage.account("bystander")
    asked = stage.proxy.on("GET", f"/users/{quote(bystander, safe='')}", held(looked), times=1)
    command = await stage.moderator.say(stage.room, f"!info {bystander}")
    await asked.hit()
    before = len(stage.bot.log)
    stopping = asyncio.create_task(stage.bot.stop())
    await stage.bot.logged("Stopping", before)
    acts = len(stage.proxy.requests)
    gate.set()
    await asyncio.sleep(0.3)
    looked.set()
    assert await stopping == 0
    assert "Not everything ended" not in stage.bot.log[before:]
    assert bystander in (await stage.moderator.reply_to(command)).body
    with closing(sqlite3.connect(stage.bot.database)) as database:
        question = "SELECT data FROM requests WHERE id = ?"
        (data,) = database.execute(question, (prompt.reference.lstrip("R"),)).fetchone()
    steps = {step["step"]: step for step in json.loads(data)["steps"]}
    assert steps["deactivate"]["state"] == "done" and steps["deactivate"]["attempts"] == 1
    after = list(steps)[list(steps).index("deactivate") + 1 :]
    assert after and not [name for name in after if steps[name]["attempts"]]
    assert not [each for each in stage.proxy.requests[acts:] if quote(prompt.target, safe="") in each.path]
    await stage.bot.start()
    assert "✗" not in await prompt.hears("Read back")
    assert stage.proxy.count("POST", f"/deactivate/{quote(prompt.target, safe='')}") == 1


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_sigterm_ends_an_idle_bot_at_once(stage: Stage) -> None:
    """SIGTERM: exit code 0 within three seconds, although a sync would wait for thirty."""
    began = time.monotonic()
    assert await stage.bot.stop() == 0
    assert time.monotonic() - began < AT_ONCE
    assert "Lethe has stopped" in stage.bot.log


async def test_sigterm_ends_a_bot_whose_homeserver_is_silent_or_away(stage: Stage) -> None:
    """SIGTERM while every request hangs, while connections are refused, and before the bot has ever got an answer."""
    hanging = stage.proxy.on("*", ".", silence)
    await stage.moderator.say(stage.room, "ends the sync that is under way")
    await hanging.hit()
    began = time.monotonic()
    assert await stage.bot.stop() == 0
    assert time.monotonic() - began < AT_MOST
    for start in ("hanging", "away"):
        if start == "away":
            hanging.lift()
            await stage.proxy.go_away()
        await stage.bot.start(until="Trying again" if start == "away" else "", timeout=20)
        if start == "hanging":
            hits = hanging.hits
            await hanging.hit(hits + 1)
        began = time.monotonic()
        assert await stage.bot.stop() == 0
        assert time.monotonic() - began < AT_ONCE
    await stage.proxy.start()


# --- the files -------------------------------------------------------------------------------------------------------


async def test_every_file_is_for_the_owner_alone(stage: Stage) -> None:
    """Directories in `data_dir` are 0700 and files 0600, every one, whatever the umask was, running and stopped."""
    prompt = await prompted(stage, await stage.account("bystander"))
    for _ in ("running", "stopped"):
        found = [stage.bot.data_dir, *stage.bot.data_dir.rglob("*")]
        assert {path.name for path in found} >= {"lethe.db", "credentials.json", "lock"}
        for path in found:
            wanted = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.lstat().st_mode) == wanted, path
        await stage.bot.stop()
    assert json.loads((stage.bot.data_dir / "credentials.json").read_text())["user_id"] == stage.bot_id
    await stage.bot.start()
    await prompt.react("❌")
    await prompt.hears("Nothing was done")
