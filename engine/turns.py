"""Whose turn it is to be deactivated and to leave rooms, which is what keeps a homeserver busy most; and when nobody's,
so that whoever talks there meets a quiet one."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

GOING = 8
"""So many accounts are deactivated and still in rooms at once: enough that Synapse never waits for the next one."""
ROUND = 2.0
"""Seconds after which nobody more gets a turn before there was a rest."""
REST = 1.5
"""A rest, in times of the round before it: with a bit more than one, the homeserver is quiet more often than not."""
LONGEST_ROUND = 10.0
"""Seconds after which a rest comes though somebody is still in rooms: one that doesn't get out must not hold up all."""


class Turns:
    """Who may be deactivated and leave rooms now."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(GOING)
        self._taken: set[int] = set()
        self._nobody, self._no_rests = asyncio.Event(), asyncio.Event()
        self._nobody.set()
        self._no_rests.set()
        self._one_by_one = asyncio.Lock()
        self._began = self._ended = -math.inf
        """The round; of one that is over, since when nobody has a turn."""

    @property
    def working(self) -> bool:
        """Whether somebody has a turn."""
        return bool(self._taken)

    @property
    def resting(self) -> bool:
        """Whether there is a rest after each round."""
        return not self._no_rests.is_set()

    @resting.setter
    def resting(self, value: bool) -> None:
        if not value:
            self._no_rests.set()
        elif not self.resting:
            self._no_rests.clear()
            self._began = asyncio.get_running_loop().time()

    async def take(self, request_id: int, *, hurry: bool = False) -> None:
        """Waits until it is this request's turn. Args: hurry: doesn't wait for a rest to be over."""
        if request_id in self._taken:
            return
        if hurry:
            await self._free.acquire()
        else:
            async with self._one_by_one:
                await self._free.acquire()
                while self._is_over():
                    self._free.release()  # others may use it meanwhile
                    await self._rest()
                    await self._free.acquire()
        self._taken.add(request_id)
        self._nobody.clear()

    def _is_over(self) -> bool:
        """Whether a rest comes before the next one's turn."""
        return self.resting and asyncio.get_running_loop().time() - self._began >= ROUND

    async def _rest(self) -> None:
        clock = asyncio.get_running_loop().time
        with suppress(TimeoutError):
            async with asyncio.timeout_at(max(clock(), self._began + LONGEST_ROUND)):
                await self._nobody.wait()
        ended = clock() if self._taken else max(self._ended, self._began)
        rest = REST * min(ended - self._began, LONGEST_ROUND) - (clock() - ended)
        with suppress(TimeoutError):
            async with asyncio.timeout(rest):
                await self._no_rests.wait()
        self._began = clock()

    def end(self, request_id: int) -> None:
        """It is the next one's turn; nothing where this request had none."""
        if request_id in self._taken:
            self._taken.discard(request_id)
            self._free.release()
            if not self._taken:
                self._ended = asyncio.get_running_loop().time()
                self._nobody.set()
