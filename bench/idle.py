"""What the bot costs while nobody says anything, against the least that a bot on the same library could do.

    python -m bench.idle [--seconds 300]

The least is matrix-nio's client logged in, in a room of its own, in `sync_forever`. Both idle side by side on one
Synapse, so that what else the machine does hits both alike.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass

from bench.bare import beside
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from sandbox.usage import Usage, usage

SETTLE = 20.0
"""Seconds after the start that don't count."""

BARE = """
import asyncio, sys
from nio import AsyncClient

async def main(url, user_id, password):
    client = AsyncClient(url, user_id)
    await client.login(password)
    print("ready", flush=True)
    await client.sync_forever(timeout=30000)

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Idle:
    """Of one bot: milliseconds of processor time a minute, and megabytes."""

    cpu: float
    memory: float


async def measure(seconds: float) -> tuple[Idle, Idle]:
    """The bot, and the bare one."""
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        try:
            await stage.set_up(log={"level": "info"})
            user = await stage.account("bare")
            async with beside(stage, BARE, user) as pids:
                await asyncio.sleep(SETTLE)
                before = [usage(pid) for pid in pids]
                await asyncio.sleep(seconds)
                ours, theirs = (_idle(one, usage(pid), seconds) for one, pid in zip(before, pids, strict=True))
                return ours, theirs
        finally:
            await stage.close()


def _idle(before: Usage, after: Usage, seconds: float) -> Idle:
    return Idle((after.cpu - before.cpu) / seconds * 60_000, after.memory / 1024**2)


async def main(seconds: float) -> None:
    """Measures and prints."""
    ours, bare = await measure(seconds)
    print(f"Idle for {seconds:.0f} s, processor time a minute:")
    print(f"  Lethe {ours.cpu:.0f} ms ({ours.cpu / 600:.2f} %), {ours.memory:.0f} MB")
    print(f"  a bare nio bot {bare.cpu:.0f} ms ({bare.cpu / 600:.2f} %), {bare.memory:.0f} MB")
    print(f"  {ours.cpu / bare.cpu:.1f} ×" if bare.cpu else "  the bare one took nothing that could be measured")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    asyncio.run(main(parser.parse_args().seconds))
