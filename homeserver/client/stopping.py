"""Work that goes on until it is done or until somebody stops it, whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Answer = TypeVar("Answer")


class Stopped(Exception):
    """It was stopped before it was done."""


async def unless(stop: asyncio.Event, work: Awaitable[Answer]) -> Answer:
    """Awaits the work.

    Raises:
        Stopped: `stop` was set before it was done; the work is cancelled.
    """
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Stopped
    finally:
        task.cancel()
        stopped.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)
