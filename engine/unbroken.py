"""What was begun is ended: work that isn't broken off when the bot is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from storage.database import StorageError

log = logging.getLogger(__name__)

WITHIN = 7.0
"""Seconds for what is under way at the end. With all else the bot ends within ten, which is what Docker allows."""


class Unbroken:
    """Counts the pieces of work under way: an event in hand, a step and its record."""

    def __init__(self) -> None:
        self.closing = False
        """The bot was told to stop: nothing more is begun."""
        self._under_way = 0
        self._none = asyncio.Event()
        self._none.set()
        self._never = asyncio.Event()

    @asynccontextmanager
    async def piece(self) -> AsyncIterator[None]:
        """One piece; pieces don't stand inside each other. Who begins one too late waits until it is cancelled."""
        if self.closing:
            await self._never.wait()
        self._under_way += 1
        self._none.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._none.set()

    async def close(self) -> None:
        """Nothing is begun any more; returns once all that was begun is ended."""
        self.closing = True
        await self._none.wait()


async def finish(unbroken: Unbroken, emptied: Callable[[], Awaitable[None]], within: float = WITHIN) -> None:
    """Lets what was begun end, and its messages be sent. What takes longer is broken off, as by a crash: the next start
    goes on with it.

    Args:
        emptied: waits until no message is there that could be sent.
        within: seconds for all of it.
    """
    try:
        async with asyncio.timeout(within):
            await unbroken.close()
            await emptied()
    except TimeoutError:
        log.warning("Not everything ended within %.0f s. It goes on at the next start.", within)
    except StorageError as error:
        log.error("the last messages can't be read: %s", error)
