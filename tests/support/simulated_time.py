"""Work in time that passes only when nobody has anything to do: hours at once, and the same each time."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from simulation.loop import SimulatedLoop

Found = TypeVar("Found")


def in_simulated_time(work: Coroutine[Any, Any, Found]) -> Found:
    """Runs it to its end on a loop of its own, and returns what it returns."""
    loop = SimulatedLoop(random.Random(1))  # noqa: S311 - the same each time
    try:
        return loop.run_until_complete(work)
    finally:
        loop.end()
