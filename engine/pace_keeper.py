"""Lets the homeserver rest in between, and makes fewer calls side by side, unless it answers as quickly as when it has
nothing to do for us."""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections import deque
from collections.abc import Awaitable, Callable

from engine.turns import Turns
from homeserver.client.api import HomeserverError
from homeserver.client.pace import Pace

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between looks."""
QUIET_LOOKS = 5
LATELY = 5
SLOW, QUICK = 2.0, 1.4
"""Times the quiet answer: above the first there are fewer calls and rests, below the second no rests and more calls."""
FEWEST = 2
"""Calls side by side at least: with one alone, Synapse waits between two accounts (measured)."""
LEAST = 0.002
"""Seconds: no quiet answer counts as quicker than this."""


class PaceKeeper:
    """Watches how long a question takes."""

    def __init__(self, pace: Pace, turns: Turns, ask: Callable[[], Awaitable[object]]) -> None:
        """
        Args:
            pace: how many calls.
            turns: where the rests are.
            ask: the question. Its answer doesn't matter, but it should wait for what people's messages wait for, too:
                the homeserver's processor and its database.
        """
        self._pace = pace
        self._turns = turns
        self._ask = ask
        self._quiet: float | None = None
        self._keeping = 0
        self._lately: deque[float] = deque(maxlen=LATELY)
        self._at_rest: deque[float] = deque(maxlen=LATELY)

    async def measure_quiet(self) -> None:
        """Before there is any load of ours: how long an answer takes then."""
        took = [seconds for seconds in [await self._look() for _ in range(QUIET_LOOKS)] if seconds is not None]
        if not took:
            log.warning("how quick the homeserver is can't be measured: it is seen in the rests")
            return
        # Somebody else may be busy just then, or the bot itself: the quickest look counts; while another wave is at
        # work, what was measured before that, too.
        self._quiet = min(took) if self._quiet is None or not self._keeping else min(self._quiet, *took)

    async def run(self) -> None:
        """Keeps the pace until cancelled; then everything is let through again."""
        self._lately.clear()
        self._at_rest.clear()
        self._keeping += 1
        self._turns.resting = True  # until it is known that nobody is disturbed
        try:
            while True:
                seconds = await self._look()
                if seconds is not None and self._turns.resting and not self._turns.working:
                    self._at_rest.append(seconds)
                    self._learn()
                elif seconds is not None:
                    self._lately.append(seconds)
                    self._adapt()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            self._keeping -= 1
            if not self._keeping:
                self._pace.limit = self._pace.most
                self._turns.resting = False

    def _learn(self) -> None:
        """A rest shows how quick it is: also where that wasn't measured before, as after a restart."""
        if len(self._at_rest) == LATELY:
            seen = statistics.median(self._at_rest)
            self._quiet = seen if self._quiet is None else min(self._quiet, seen)

    def _adapt(self) -> None:
        if self._quiet is None or len(self._lately) < LATELY:
            return
        lately, quiet = statistics.median(self._lately), max(self._quiet, LEAST)
        if lately > SLOW * quiet:
            self._turns.resting = True
            self._pace.limit = max(FEWEST, self._pace.limit - 1)
            self._lately.clear()
        elif lately < QUICK * quiet:
            self._turns.resting = False
            self._pace.limit += 1
            self._lately.clear()

    async def _look(self) -> float | None:
        began = asyncio.get_running_loop().time()
        try:
            await self._ask()
        except HomeserverError:
            return None
        return asyncio.get_running_loop().time() - began
