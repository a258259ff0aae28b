"""Whose turn it is to be deactivated and to leave rooms, which is what keeps a homeserver busy most; and when nobody's,
so that whoever talks there meets a quiet one."""

from __future__ import annotations

import asyncio
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
        self._nobody = asyncio.Event()
        self._one_by_one = asyncio.Lock()
        self._resting = False
        self._began = 0.0

    @property
    def working(self) -> bool:
        """Whether somebody has a turn."""
        return bool(self._taken)

    @property
    def resting(self) -> bool:
        """Whether there is a rest after each round."""
        return self._resting

    @resting.setter
    def resting(self, value: bool) -> None:
        if value and not self._resting:
            self._began = asyncio.get_running_loop().time()
        self._resting = value

    async def take(self, request_id: int, *, hurry: bool = False) -> None:
        """Waits until it is this request's turn. Args: hurry: doesn't wait for a rest to be over."""
        if hurry:
            await self._free.acquire()
        else:
            async with self._one_by_one:
                await self._free.acquire()
                try:
                    await self._rest()
                except asyncio.CancelledError:
                    self._free.release()
                    raise
        self._taken.add(request_id)
        self._nobody.clear()

    async def _rest(self) -> None:
        clock = asyncio.get_running_loop().time
        if not self._resting or clock() - self._began < ROUND:
            return
        if self._taken:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nobody.wait(), max(0.0, self._began + LONGEST_ROUND - clock()))
        await asyncio.sleep(REST * min(clock() - self._began, LONGEST_ROUND))
        self._began = clock()

    def end(self, request_id: int) -> None:
        """It is the next one's turn; nothing where this request had none."""
        if request_id in self._taken:
            self._taken.discard(request_id)
            self._free.release()
            if not self._taken:
                self._nobody.set()
