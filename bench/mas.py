"""What MAS adds to a removal: requests, and the time from ✅ to the receipt, against a plain Synapse in the same run.

`python -m bench.mas` measures plain Synapse and the stand-in; `MAS_CLI=/path/to/mas-cli` a real MAS, too. What it
prints stands in docs/install-mas.md.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from bench.removal import by_bot, member
from sandbox.homeserver import Homeserver
from sandbox.mas import Mas, StandInMas, synapse_config
from sandbox.mas_scene import MasScene
from sandbox.proxy import Proxy
from sandbox.scene import Scene

ROUNDS = 3


class Figures(NamedTuple):
    """Medians: seconds, and requests while the removal ran."""

    seconds: float
    to_synapse: int
    to_mas: int


async def plain() -> Figures:
    """A Synapse that keeps its accounts itself."""
    async with Homeserver() as homeserver, Proxy(homeserver.base_url) as synapse:
        return await _measure(Scene(homeserver), synapse, None)


async def with_mas(mas: Mas) -> Figures:
    """A Synapse in its MAS mode; the account has an address, a link, and sessions of all four kinds."""
    async with AsyncExitStack() as stack:
        homeserver = await stack.enter_async_context(Homeserver(config=synapse_config(mas.access.url, mas.secret)))
        await mas.start(homeserver)
        stack.push_async_callback(mas.close)
        synapse = await stack.enter_async_context(Proxy(homeserver.base_url))
        service = await stack.enter_async_context(Proxy(mas.access.url))
        return await _measure(MasScene(homeserver, mas), synapse, service)


async def _measure(stage: Scene, synapse: Proxy, service: Proxy | None) -> Figures:
    home: dict[str, object] = {"url": synapse.base_url}
    if isinstance(stage, MasScene) and service is not None:
        home["mas"] = {**stage.mas.access.settings, "url": service.base_url}
    try:
        await stage.set_up(homeserver=home)
        room = await stage.moderator.create_room(name="Lounge", preset="public_chat")
        runs: list[Figures] = []
        for _ in range(ROUNDS):
            user_id = await member(stage, room)
            if isinstance(stage, MasScene):
                await stage.furnish(user_id)
            before = _count(synapse, service)
            seconds = await by_bot(stage, user_id)
            after = _count(synapse, service)
            runs.append(Figures(seconds, after[0] - before[0], after[1] - before[1]))
        return Figures(
            statistics.median(each.seconds for each in runs),
            int(statistics.median(each.to_synapse for each in runs)),
            int(statistics.median(each.to_mas for each in runs)),
        )
    finally:
        await stage.close()


def _count(synapse: Proxy, service: Proxy | None) -> tuple[int, int]:
    """Requests to the admin APIs of both so far."""
    return synapse.count("*", "/_synapse/admin/"), len(service.requests) if service else 0


async def main() -> None:
    """Measures and prints a table."""
    found = {"plain Synapse": await plain(), "Synapse with the stand-in": await with_mas(StandInMas())}
    if program := os.environ.get("MAS_CLI"):
        from sandbox.real_mas import RealMas

        found["Synapse with a real MAS"] = await with_mas(RealMas(Path(program)))
    print("| one removal, erased, in one room; medians of three | ✅ to receipt | to Synapse's admin API | to MAS |")
    print("| --- | --- | --- | --- |")
    for name, figures in found.items():
        to_mas = figures.to_mas or "–"
        print(f"| {name} | {figures.seconds:.2f} s | {figures.to_synapse} requests | {to_mas} |")


if __name__ == "__main__":
    asyncio.run(main())
