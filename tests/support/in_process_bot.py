"""The real bot inside the test's own process, with a clock that the test moves: days pass at once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

import config
from cli.run import run
from engine.unit_of_work import UnitsOfWork
from homeserver.client.clock import HomeserverClock, local_ms
from sandbox.scene import Scene

HOUR = 3_600_000
DAY = 24 * HOUR


MakeInside = Callable[..., Awaitable[tuple[Scene, "Inside"]]]


class MovedClock:
    """The time, plus what the test added to it. Milliseconds."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return local_ms() + self.ahead


class Inside:
    """Runs the bot of a scene that was set up with `start=False`, by the same settings file and data directory."""

    def __init__(self, stage: Scene, *, wrong_clock: bool = False) -> None:
        """Args: wrong_clock: moving the clock sets this machine's wrong; time passes nowhere."""
        self._stage = stage
        self._wrong_clock = wrong_clock
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._units: UnitsOfWork | None = None
        self.clock = MovedClock()

    async def start(self) -> None:
        """Starts it; returns once it is in the admin room."""
        settings = config.load(self._stage.bot.config, {})
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stop = asyncio.Event()
        self._units = None
        joined = asyncio.create_task(self._stage.bot_joined())
        with patch("cli.run.UnitsOfWork", self._keep):
            self._task = asyncio.create_task(
                run(settings, self._stop, HomeserverClock(self.clock) if self._wrong_clock else self.clock)
            )
            while self._units is None and not self._task.done():  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.01)
        await asyncio.wait({self._task, joined}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            joined.cancel()
            self._task.result()
        await joined

    def _keep(self, *arguments: Any, **options: Any) -> UnitsOfWork:
        self._units = UnitsOfWork(*arguments, **options)
        return self._units

    async def stop(self) -> None:
        """Ends it in order."""
        if self._task is not None:
            self._stop.set()
            await self._task
            self._task = None

    async def close(self) -> None:
        """Ends it, whatever state it is in."""
        with contextlib.suppress(Exception):
            await self.stop()

    async def pass_time(self, ms: int) -> None:
        """Lets time pass, and has everybody look at the clock once the bot has heard all that was said before."""
        self.clock.ahead += ms
        said = await self._stage.moderator.say(self._stage.room, "tick")
        async with asyncio.timeout(30):
            while not self._has_handled(said):  # noqa: ASYNC110 - nothing tells us when it has
                await asyncio.sleep(0.05)
        if self._units is not None:
            self._units.notify()

    def _has_handled(self, event_id: str) -> bool:
        with contextlib.closing(sqlite3.connect(f"file:{self._stage.bot.database}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT status FROM inbox WHERE event_id = ?", (event_id,)).fetchone()
        return bool(found == ("handled",))
