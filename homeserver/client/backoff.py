"""How long to wait before asking a homeserver again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from homeserver.client.api import HomeserverError, RateLimited, ServerFault, Unreachable

Answer = TypeVar("Answer")

PASSING = (Unreachable, ServerFault, RateLimited)
"""Errors that go away by themselves."""
GATEWAY = (502, 503, 504)
"""What a proxy answers for a homeserver that is away."""


class Backoff:
    """Longer and longer waits, each spread by chance so that many clients don't come back together.

    Args:
        first: seconds, the first wait at most.
        limit: seconds, every wait at most (what the homeserver itself asks for excepted).
    """

    def __init__(self, first: float = 1.0, limit: float = 60.0) -> None:
        self._first = first
        self._limit = limit
        self._failures = 0

    def reset(self) -> None:
        """It went well."""
        self._failures = 0

    def next_wait(self, error: HomeserverError) -> float:
        """Seconds to wait after one failure more. What a 429 asks for is obeyed, plus a small random addition."""
        ceiling = min(self._limit, self._first * 2 ** min(self._failures, 16))
        self._failures += 1
        wait = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return error.retry_after + random.uniform(0, min(1.0, ceiling))  # noqa: S311 - jitter
        return wait


class Outage:
    """Whether the homeserver seems to be away, and how long to leave it alone: so that many who wait for it don't each
    ask, but one of them, less and less often.

    Args:
        first: seconds, the first wait.
        limit: seconds, every wait at most.
        clock: seconds that only grow; the event loop's where none is given.
    """

    def __init__(self, first: float = 2.0, limit: float = 60.0, clock: Callable[[], float] | None = None) -> None:
        self._first = first
        self._limit = limit
        self._clock = clock or _loop_time
        self._wait = 0.0
        self._until = 0.0

    @property
    def on(self) -> bool:
        """Whether nobody has had an answer since the last failure."""
        return self._wait > 0

    def seconds(self) -> float:
        """So long nobody should ask; 0 where somebody may."""
        return max(0.0, self._until - self._clock())

    def failed(self, error: HomeserverError) -> None:
        """Somebody asked. An error that the homeserver itself gave is an answer, too."""
        if not (isinstance(error, Unreachable) or (isinstance(error, ServerFault) and error.status in GATEWAY)):
            self.answered()
        elif self.seconds() == 0:  # several who failed together failed once
            self._wait = min(self._limit, max(self._first, self._wait * 2))
            self._until = self._clock() + self._wait * random.uniform(0.7, 1.0)  # noqa: S311 - jitter

    def answered(self) -> None:
        """The homeserver is there."""
        self._wait = self._until = 0.0


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


async def patiently(ask: Callable[[], Awaitable[Answer]], log: logging.Logger, limit: float = 60.0) -> Answer:
    """Asks until there is an answer: a homeserver that is away comes back.

    Args:
        ask: must be safe to repeat.
        log: gets one line for each wait.
        limit: seconds, the longest wait.

    Raises:
        HomeserverError: anything but `PASSING`.
    """
    backoff = Backoff(limit=limit)
    while True:
        try:
            return await ask()
        except PASSING as error:
            wait = backoff.next_wait(error)
            log.warning("The homeserver isn't answering properly (%s). Trying again in %.0f s.", error, wait)
            await asyncio.sleep(wait)
