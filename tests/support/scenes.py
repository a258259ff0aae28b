"""Several scenes on one homeserver, closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sandbox.homeserver import Homeserver
from sandbox.scene import Scene


@asynccontextmanager
async def making_scenes(homeserver: Homeserver) -> AsyncIterator[Callable[..., Awaitable[Scene]]]:
    """Makes scenes (arguments as for `Scene.set_up`, and `on`: another homeserver), each with a bot of its own."""
    made: list[Scene] = []

    async def make(*, on: Homeserver | None = None, **options: object) -> Scene:
        made.append(Scene(on or homeserver))
        await made[-1].set_up(**options)  # type: ignore[arg-type] # passed through as they are
        return made[-1]

    yield make
    for each in made:
        await each.close()
