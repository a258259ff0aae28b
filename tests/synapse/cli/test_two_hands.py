"""Two bots: a stand-by on the same directory takes over, and a copy with the same account notices the other."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from bot import EXIT_ANOTHER_RUNS
from sandbox.lethe import Lethe
from sandbox.scene import Scene
from tests.support.direct_room import states
from tests.support.prompts import MakeScene, Prompt, prompted

NOTE = "/_matrix/client/v3/user/{}/account_data/lethe.running"


@pytest_asyncio.fixture
async def others() -> AsyncIterator[list[Lethe]]:
    """Further bots, ended afterwards."""
    made: list[Lethe] = []
    yield made
    for bot in made:
        await bot.close()


def another(stage: Scene, others: list[Lethe], data_dir: Path | None = None) -> Lethe:
    """A bot with the same settings, on a directory of its own (a copy is put there) or on this one."""
    home = stage.bot.settings["homeserver"]
    bot = Lethe(home["url"], home["user_id"], home["password"], stage.room)
    bot.configure(**{key: value for key, value in stage.bot.settings.items() if key != "data_dir"})
    if data_dir is not None:
        bot.data_dir = data_dir
        bot.configure(data_dir=str(data_dir))
    others.append(bot)
    return bot


async def ended(prompt: Prompt) -> None:
    """Waits until the account is gone."""
    async with asyncio.timeout(60):
        while not await prompt.gone():  # noqa: ASYNC110 - the homeserver's state
            await asyncio.sleep(0.2)


async def test_a_standby_takes_over(scene: MakeScene, others: list[Lethe]) -> None:
    """It waits while the other runs. When that one is killed in the middle of a removal, it ends the removal, and
    answers; the prompt that the other made is its own now."""
    stage = await scene()
    standby = another(stage, others, stage.bot.data_dir)
    starting = asyncio.create_task(standby.start(arguments=("--standby",), timeout=120))
    async with asyncio.timeout(30):
        while "Standing by" not in standby.log:  # noqa: ASYNC110 - another process' file
            await asyncio.sleep(0.05)
    going = await prompted(stage, await stage.account("leaver"))
    waiting = await prompted(stage, await stage.account("leaver"))
    await going.react("✅")
    await stage.bot.kill()
    asked = await stage.moderator.say(stage.room, "!requests")
    await starting
    await stage.moderator.reply_to(asked)
    await ended(going)
    await waiting.react("✅")
    await waiting.hears("is deactivated")
    assert "asking whether it still runs" not in standby.log  # the lock told it


async def test_a_standby_ends_when_told(scene: MakeScene, others: list[Lethe]) -> None:
    """SIGTERM while it waits; the other goes on."""
    stage = await scene()
    standby = another(stage, others, stage.bot.data_dir)
    await standby.start(arguments=("--standby",), until="Standing by")
    assert await standby.stop() == 0
    assert stage.bot.running


async def test_a_copy_stops_and_the_older_goes_on(scene: MakeScene, others: list[Lethe]) -> None:
    """A bot is started from a copied data directory while the first one runs: it stops by itself before it does
    anything, says which one runs, and the admin room hears of it once. What the copy still holds as confirmed, though
    it was cancelled since, isn't done."""
    stage = await scene()
    scheduled = await prompted(stage, await stage.account("leaver"), "--in 1h")
    await scheduled.react("✅")
    await scheduled.hears("will be deactivated")
    copy = another(stage, others)
    shutil.copytree(stage.bot.data_dir, copy.data_dir)
    await stage.moderator.say(stage.room, f"!cancel {scheduled.reference}")
    await scheduled.hears("cancelled by")
    for _ in range(2):
        code, output = await copy.command("run")
        assert code == EXIT_ANOTHER_RUNS, output
        assert "another Lethe runs with this account, on " in output and "Traceback" not in output
        assert "Lethe is running" not in output
    await stage.moderator.wait_for(lambda e: "A second Lethe was started with my account" in e.body)
    assert stage.bot.running and states(stage) == ["cancelled"]
    asked = await stage.moderator.say(stage.room, "!help")
    await stage.moderator.reply_to(asked)


async def test_they_notice_each_other_later_too(scene: MakeScene, others: list[Lethe]) -> None:
    """A copy that took the other for dead, since nobody answered in time: when the other is heard again, the younger
    stops."""
    stage = await scene()
    copy = another(stage, others)
    shutil.copytree(stage.bot.data_dir, copy.data_dir)
    stage.bot.suspend()
    try:
        await copy.start()
        assert "asking whether it still runs" in copy.log
    finally:
        stage.bot.resume()
    assert await copy.wait() == EXIT_ANOTHER_RUNS
    assert stage.bot.running


async def test_who_said_goodbye_is_not_waited_for(scene: MakeScene, others: list[Lethe]) -> None:
    """A directory that was moved after the bot was stopped: the bot starts elsewhere without asking anybody; after a
    kill on the same directory neither."""
    stage = await scene()
    await stage.bot.stop()
    moved = another(stage, others)
    shutil.copytree(stage.bot.data_dir, moved.data_dir)
    await moved.start()
    await moved.kill()
    await moved.start()
    assert "asking whether it still runs" not in moved.log
    await moved.stop()
    token = json.loads((moved.data_dir / "credentials.json").read_text())["access_token"]
    note = await stage.homeserver.call("GET", NOTE.format(stage.bot_id), token=token)
    assert note["ended"] is True
