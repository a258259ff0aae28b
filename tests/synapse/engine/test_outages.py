"""The homeserver is away, limits the bot, forgets its token, or dies in the middle: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from sandbox.homeserver import Homeserver
from sandbox.proxy import Fault, Proxy, answer, cut_midway, garbage, held, limited, lose
from sandbox.scene import Scene
from tests.support.prompts import MakeScene, Prompt, prompted, said

MakeHomeserver = Callable[..., Awaitable[Homeserver]]

DEAD_TOKEN = 3
"""The exit code that says so."""


@asynccontextmanager
async def behind_a_proxy(homeserver: Homeserver, **settings: Any) -> AsyncIterator[tuple[Scene, Proxy]]:
    """A scene on a homeserver that may be killed: ends before the homeserver does."""
    scene = Scene(homeserver)
    async with Proxy(homeserver.base_url) as proxy:
        try:
            await scene.set_up(homeserver={"url": proxy.base_url}, **settings)
            yield scene, proxy
        finally:
            await scene.close()


def once(scene: Scene) -> None:
    """Asserts that no message of the bot's is there twice."""
    bodies = [event.body for event in said(scene)]
    assert len(bodies) == len(set(bodies)), bodies


# --- away ------------------------------------------------------------------------------------------------------------


async def test_the_bot_waits_for_a_homeserver_that_is_away_at_the_start(scene: MakeScene, proxy: Proxy) -> None:
    """First ever start while connections are refused, then while only errors come: the bot waits without hurry, and
    works once the homeserver does."""
    stage = await scene(homeserver={"url": proxy.base_url}, start=False)
    await proxy.go_away()
    await stage.bot.start(until="Trying again")
    broken = proxy.on("*", ".", answer(503))
    await proxy.start()
    await broken.hit()
    broken.lift()
    await stage.bot_joined()
    assert len(proxy.requests) < 60
    assert "lethe can't run" not in stage.bot.log.lower()
    await (await prompted(stage, await stage.account("bystander"))).react("❌")


@pytest.mark.parametrize("acted", [False, True], ids=["before_it_acted", "before_its_answer"])
@pytest.mark.slow
async def test_a_homeserver_that_dies_in_the_middle(fresh_homeserver: MakeHomeserver, acted: bool) -> None:
    """Synapse is killed while it deactivates, and started again: the bot finishes, and says it once."""
    homeserver = await fresh_homeserver()
    async with behind_a_proxy(homeserver) as (stage, proxy):
        spammer = await stage.person("spammer")
        rooms = [await spammer.create_room(preset="public_chat") for _ in range(3)]
        prompt = await prompted(stage, spammer.user_id, "--erase")
        gate = asyncio.Event()
        act = proxy.on("POST", "/deactivate/", held(gate, acts=acted), times=1)
        await prompt.react("✅")
        await act.hit()
        if acted:
            await spammer.until(lambda: spammer.signed_out, what="its end")
        await homeserver.kill()
        gate.set()
        await homeserver.start()
        assert "✗" not in await prompt.hears("Read back", timeout=90)
        account = await stage.user(prompt.target)
        assert account["deactivated"] and account["erased"]
        assert (await stage.admin("GET", f"v1/users/{quote(prompt.target)}/joined_rooms"))["total"] == 0
        assert len(rooms) == 3
        assert len(prompt.said()) == 1
        once(stage)


# --- the disk --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_database_that_cannot_be_written_stops_the_bot(scene: MakeScene, proxy: Proxy) -> None:
    """Another program locks the database while a removal is under way and a command comes: the bot ends with one clear
    line, and does neither what it can't record. Started again, it answers and finishes, each once."""
    stage = await scene(homeserver={"url": proxy.base_url})
    prompt = await prompted(stage, await stage.account("spammer"))
    gate = asyncio.Event()
    act = proxy.on("POST", "/deactivate/", held(gate), times=1)
    await prompt.react("✅")
    await act.hit()
    with closing(sqlite3.connect(stage.bot.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        target = await stage.account("bystander")
        command = await stage.moderator.say(stage.room, f"!deactivate {target}")
        gate.set()
        assert await stage.bot.wait() == 1
    last = stage.bot.log.strip().splitlines()[-1]
    assert last.startswith("Lethe can't run: ") and "lethe.db" in last and "locked" in last
    assert len(prompt.said()) == 0
    await stage.bot.start()
    await prompt.hears("Read back")
    assert target in (await stage.moderator.reply_to(command)).body
    once(stage)


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_real_limit_is_waited_out(fresh_homeserver: MakeHomeserver) -> None:
    """Synapse's own limiter, and more to say than it allows: the bot waits as it is told, and every answer comes once
    and in order."""
    homeserver = await fresh_homeserver(config={"rc_message": {"per_second": 1, "burst_count": 3}})
    async with behind_a_proxy(homeserver) as (stage, proxy):
        lift = {"messages_per_second": 0, "burst_count": 0}
        await stage.admin("POST", f"v1/users/{quote(stage.moderator.user_id)}/override_ratelimit", json=lift)
        commands = [await stage.moderator.say(stage.room, "!help") for _ in range(6)]
        prompt = await prompted(stage, await stage.account("bystander"))
        assert [event.replies_to for event in said(stage)] == [*commands, prompt.event.replies_to]
        refused = Counter(each.path for each in proxy.requests if each.status == 429)
        assert refused, "nothing was limited: this proves nothing"
        assert max(refused.values()) == 1  # no message came back earlier than it was told


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(homeserver: Homeserver) -> AsyncIterator[tuple[Scene, Proxy]]:
    """One bot behind a proxy, for the faults of sending."""
    async with behind_a_proxy(homeserver) as stage_and_proxy:
        yield stage_and_proxy


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("fault", "times", "wait"),
    [
        (limited(2), 1, 2.0),
        (limited(1.5, in_body=True), 1, 1.5),
        (limited(), 1, 0.5),
        (answer(502, "<html>Bad Gateway</html>"), 2, 0.5),
        (garbage(), 2, 0.5),
        (cut_midway, 2, 0.5),
        (lose, 2, 0.0),
    ],
    ids=["429_header", "429_body", "429_bare", "502", "garbage", "cut_midway", "lost"],
)
async def test_a_message_that_fails_comes_once(
    shared: tuple[Scene, Proxy], fault: Fault, times: int, wait: float
) -> None:
    """Whatever goes wrong while a prompt is sent, it appears once, with its reactions, after the wait asked for."""
    stage, proxy = shared
    broken = proxy.on("PUT", "/send/m.room.encrypted/", fault, times=times)
    command = await stage.moderator.say(stage.room, f"!deactivate {await stage.account('bystander')}")
    await broken.hit()
    began = time.monotonic()
    await broken.hit(times)
    sent = proxy.count("PUT", "/send/m.room.encrypted/")
    await proxy.seen("PUT", "/send/m.room.encrypted/", sent + 1)
    assert time.monotonic() - began >= wait
    answered = await stage.moderator.reply_to(command)
    for key in ("✅", "❌"):
        await stage.moderator.reacted(answered.event_id, key, by=stage.bot_id)
    prompt = Prompt(stage, answered, "")
    await prompt.react("❌")
    await prompt.hears("Nothing was done")
    assert sum(event.replies_to == command for event in said(stage)) == 2  # the prompt, and what became of it
    once(stage)


# --- the token -------------------------------------------------------------------------------------------------------


async def test_a_token_that_dies_ends_the_bot(scene: MakeScene) -> None:
    """The running bot is logged out from outside: it ends with a code of its own and one clear line. Started again with
    the password, it is back, as does what was said meanwhile."""
    stage = await scene()
    prompt = await prompted(stage, await stage.account("bystander"))
    stored = json.loads((stage.bot.data_dir / "credentials.json").read_text())
    await stage.homeserver.call("POST", "/_matrix/client/v3/logout", token=stored["access_token"], json={})
    assert await stage.bot.wait() == DEAD_TOKEN
    last = stage.bot.log.strip().splitlines()[-1]
    assert last.startswith("Lethe has to stop: ") and "token" in last
    assert stored["access_token"] not in stage.bot.log
    await prompt.react("❌")
    await stage.bot.start()
    await prompt.hears("Nothing was done")


async def test_a_dead_token_without_a_password_is_told_at_the_start(scene: MakeScene) -> None:
    """Only a token is given, and it is dead: exit code 3 and one clear line, no traceback."""
    stage = await scene(start=False)
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": stage.bot_id},
        "password": stage.passwords[stage.bot_id],
    }
    given = await stage.homeserver.call("POST", "/_matrix/client/v3/login", json=login)
    del stage.bot.settings["homeserver"]["password"]
    stage.bot.configure(homeserver={"access_token": given["access_token"], "device_id": given["device_id"]})
    await stage.bot.start()
    await stage.bot_joined()
    await (await prompted(stage, await stage.account("bystander"))).react("❌")
    assert await stage.bot.stop() == 0
    await stage.homeserver.call("POST", "/_matrix/client/v3/logout", token=given["access_token"], json={})
    before = len(stage.bot.log)
    with pytest.raises(RuntimeError, match="ended with 3"):
        await stage.bot.start()
    told = stage.bot.log[before:]
    assert told.strip().splitlines()[-1].startswith("Lethe has to stop: ")
    assert "Traceback" not in told and given["access_token"] not in told
