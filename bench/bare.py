"""A bot on matrix-nio that does the least: what the real one's cost is compared to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sandbox.prepared import PROJECT, die_with_parent
from sandbox.scene import Scene


@asynccontextmanager
async def beside(stage: Scene, program: str, user: str, *arguments: str) -> AsyncIterator[tuple[int, int]]:
    """Runs a program that says a line once it is ready; gives the process ids of the stage's bot and of the program.

    Args:
        program: Python; it gets the homeserver's address, `user`, their password and `arguments`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stage.homeserver.base_url, user, stage.passwords[user], *arguments,
        cwd=PROJECT, stdout=asyncio.subprocess.PIPE, preexec_fn=die_with_parent,
    )  # fmt: skip
    try:
        assert process.stdout is not None and stage.bot.pid is not None  # noqa: S101 - just started
        await process.stdout.readline()
        yield stage.bot.pid, process.pid
    finally:
        process.kill()
        await process.wait()
