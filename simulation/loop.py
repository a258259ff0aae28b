"""An event loop whose time passes only when nobody has anything to do, and then at once.

What is ready at the same time runs in an order that a seed decides. There are no threads and no sockets: what would
wait for one waits for ever, which `Stuck` tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any

TURNS_MAX = 2_000_000
"""Of one loop. A run takes a twentieth of that: more is somebody who goes round without a pause."""
RESOLUTION = 1e-6
"""Seconds within which two points of time are the same one."""
ENDINGS = 5
"""So often whoever is left is told to end; some begin something new while they do."""
Awaited = Generator[Any, None, Any] | Coroutine[Any, Any, Any]


class Stuck(Exception):
    """Everybody waits and nothing could wake anybody, or somebody runs without end."""


class _Numbered(asyncio.Task[Any]):
    """A task with a number for its hash.

    asyncio keeps tasks in sets, and cancels a group in the order of its set. By default that is the order of their
    places in memory, which no seed decides.
    """

    _number: int

    def __new__(cls, coroutine: Awaited, *, loop: SimulatedLoop, **_: Any) -> _Numbered:
        made = super().__new__(cls)
        made._number = loop.next_number()  # its hash is asked for while it is being made
        return made

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.BaseEventLoop):
    """
    Args:
        order: decides which of the callbacks that are ready comes first.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, order: random.Random) -> None:
        self._now = 0.0
        self._order = order
        self._number = 0
        self.turns = 0
        """How often the loop went round."""
        super().__init__()
        self.set_task_factory(lambda _, coroutine, **options: _Numbered(coroutine, loop=self, **options))

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def end(self) -> None:
        """Cancels whoever is still there, lets them end, and closes the loop.

        Whoever was left to the garbage collector would end in the middle of a later run.
        """
        with contextlib.suppress(Stuck):  # somebody who refuses to end
            for _ in range(ENDINGS):
                left = sorted(asyncio.all_tasks(self), key=hash)
                if not left:
                    break
                for task in left:
                    task.cancel()
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    def _write_to_self(self) -> None:
        """Wakes the loop for another thread. There is none."""

    def _run_once(self) -> None:
        """One turn: what is ready; where nothing is, time passes until something is."""
        self.turns += 1
        if self.turns > TURNS_MAX:
            raise Stuck(f"{self.turns} turns in {self._now:.0f} s")
        ready, scheduled = self._ready, self._scheduled
        if not ready:
            while scheduled and scheduled[0].cancelled():
                heapq.heappop(scheduled)
            if not scheduled:
                raise Stuck(f"nobody could wake anybody after {self.turns} turns, {self._now:.0f} s")
            self._now = max(self._now, scheduled[0].when())
        due = self._now + RESOLUTION
        while scheduled and scheduled[0].when() < due:
            ready.append(heapq.heappop(scheduled))
        # asyncio runs first what became ready first. With real sockets and threads that order is chance.
        if len(ready) > 1 and self._order.random() < 0.2:
            ready.rotate(self._order.randrange(len(ready)))
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
