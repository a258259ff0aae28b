"""A program in JavaScript that is told what to do: `tests/js/driver.mjs` with one of the modules beside it, in Node."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent.parent / "tests" / "js"
OLDEST_NODE = 20


class NodeFailed(Exception):
    """The program refused, did not see what it was to wait for, or ended. `str()` says what it said."""


def why_not() -> str | None:
    """Why no such program can run here, and what to do; None where it can."""
    node = shutil.which("node")
    if node is None:
        return f"matrix-js-sdk needs Node {OLDEST_NODE} or newer, and there is no node here"
    asked = subprocess.run([node, "-p", "process.versions.node"], capture_output=True, text=True, check=False)
    version = asked.stdout.strip()
    if asked.returncode or not version or int(version.split(".")[0]) < OLDEST_NODE:
        return f"matrix-js-sdk needs Node {OLDEST_NODE} or newer, and {node} is {version or 'broken'}"
    if not (DIRECTORY / "node_modules" / "matrix-js-sdk").is_dir():
        return "matrix-js-sdk isn't installed: `make js` does it"
    return None


class NodeProgram:
    """One running program; `do` calls its methods, as many side by side as one likes.

    Args:
        module: a file in `tests/js` whose export `Program` it is.
        name: what errors call it.
    """

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    async def start(self) -> None:
        """Starts it. What keeps it from running is said by the first `do`."""
        self._process = await asyncio.create_subprocess_exec(
            "node", "driver.mjs", self._module, cwd=DIRECTORY, limit=2**24,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen(self._process), name=self._name)

    async def do(self, order: str, **given: Any) -> Any:
        """Calls a method with these named arguments, and returns its answer.

        Raises:
            NodeFailed: it raised an error, or the program has ended.
        """
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("start it first")
        number = next(self._numbers)
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        if self._listening is None or self._listening.done():
            raise NodeFailed(self._epitaph())
        self._process.stdin.write(json.dumps({"id": number, "do": order, "with": given}).encode() + b"\n")
        try:
            # The program's own limits are shorter, and their errors say more.
            async with asyncio.timeout(given.get("timeout", 60.0) + 10):
                return await answer
        except TimeoutError:
            raise NodeFailed(f"{order}: no answer; {self._epitaph()}") from None
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        """Ends it."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # it ends when its input does
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._listening is not None:
            await asyncio.gather(self._listening, return_exceptions=True)
        self._errors.close()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise RuntimeError("started without a pipe")
        async for line in process.stdout:
            reply = json.loads(line)
            waiting = self._waiting.get(reply["id"])
            if waiting is None or waiting.done():
                continue
            if "error" in reply:
                waiting.set_exception(NodeFailed(f"{self._name}: {reply['error']}"))
            else:
                waiting.set_result(reply["answer"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(NodeFailed(self._epitaph()))

    def _epitaph(self) -> str:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        return f"{self._name} said on standard error:\n{said[-4000:]}"
