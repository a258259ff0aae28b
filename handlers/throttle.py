"""Rate limits per person, so that nobody keeps the bot from answering others."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

REMEMBERED = 10_000
"""Number of people remembered at most, so that a flood of accounts doesn't fill the memory."""


class Throttle:
    """Counts what each person does, in memory: after a restart everybody begins anew."""

    def __init__(self, limit: int, within_ms: int, clock: Callable[[], int]) -> None:
        """Args: limit: so many within `within_ms` milliseconds."""
        self._limit = limit
        self._within_ms = within_ms
        self._clock = clock
        self._seen: OrderedDict[str, deque[int]] = OrderedDict()

    def allows(self, who: str) -> bool:
        """Counts one more, where it's within the limit."""
        now = self._clock()
        times = self._seen.setdefault(who, deque())
        self._seen.move_to_end(who)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        while times and times[0] <= now - self._within_ms:
            times.popleft()
        if len(times) >= self._limit:
            return False
        times.append(now)
        return True
