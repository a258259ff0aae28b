"""An event loop whose time passes only when nobody has anything to do, and then at once.

What is ready at the same time runs in an order that a seed decides. There are no threads and no sockets: what would
wait for one waits for ever, which `Stuck` tells.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Mapping
from typing import Any

TURNS_MAX = 2_000_000
"""Of one loop. A run takes a twentieth of that: more is somebody who goes round without a pause."""


class Stuck(Exception):
    """Everybody waits and nothing could wake anybody, or somebody runs without end."""


class _Nothing(selectors.BaseSelector):
    """A selector without files: instead of waiting it moves the time."""

    def __init__(self, advance: Callable[[float | None], None]) -> None:
        self._advance = advance
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._keys.setdefault(fileobj, selectors.SelectorKey(fileobj, 0, events, data))

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._advance(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class SimulatedLoop(asyncio.SelectorEventLoop):
    """
    Args:
        order: decides which of the callbacks that are ready comes first.
    """

    def __init__(self, order: random.Random) -> None:
        self._now = 0.0
        self._order = order
        self.turns = 0
        """How often the loop went round."""
        super().__init__(_Nothing(self._advance))
        # asyncio's own is lost in the rounding of large times, and a timer would never be due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def _advance(self, timeout: float | None) -> None:
        self.turns += 1
        if timeout is None or self.turns > TURNS_MAX:
            raise Stuck(f"{self.turns} turns, {self._now:.0f} s")
        self._now += timeout

    def _run_once(self) -> None:
        # asyncio runs first what became ready first. With real sockets and threads that order is chance.
        ready: Any = self._ready  # type: ignore[attr-defined] # asyncio's own queue
        if len(ready) > 1 and self._order.random() < 0.2:
            ready.rotate(self._order.randrange(len(ready)))
        super()._run_once()  # type: ignore[misc]
