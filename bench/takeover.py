"""How long nobody answers when the bot is killed and a stand-by on the same data directory takes over."""

from __future__ import annotations

import asyncio
import statistics
import time

from sandbox.homeserver import Homeserver
from sandbox.lethe import Lethe
from sandbox.scene import Scene

ROUNDS = 5


async def measure() -> tuple[float, float]:
    """Medians in seconds from SIGKILL: until the stand-by runs, and until a command said at once has its answer."""
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        try:
            await stage.set_up()
            running, answering = [], []
            for _ in range(ROUNDS):
                standby = Lethe(homeserver.base_url, stage.bot_id, stage.passwords[stage.bot_id], stage.room)
                standby.data_dir = stage.bot.data_dir
                standby.configure(data_dir=str(standby.data_dir))
                starting = asyncio.create_task(standby.start(arguments=("--standby",), timeout=120))
                while "Standing by" not in standby.log:  # noqa: ASYNC110 - another process' file
                    await asyncio.sleep(0.05)
                began = time.perf_counter()
                await stage.bot.kill()
                asked = await stage.moderator.say(stage.room, "!help")
                await starting
                running.append(time.perf_counter() - began)
                await stage.moderator.reply_to(asked)
                answering.append(time.perf_counter() - began)
                stage.bot = standby
            return statistics.median(running), statistics.median(answering)
        finally:
            await stage.close()
