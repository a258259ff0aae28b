"""Starts bots from a process that has imported everything already: each is a fork of it, there in a moment.

A start takes about two seconds of processor time for imports alone, and the tests start hundreds of bots. What is
forked has imported the modules and done nothing else: no event loop, no thread, no key, no random number.
`python bot.py` as people start it is used wherever a start itself is tested or measured.

Run as a program (`python -m sandbox.prepared`) it reads one JSON object a line from its standard input, forks, and
writes `{"pid": …}` for each start and `{"pid": …, "code": …}` for each end.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

PROJECT = Path(__file__).parent.parent


def die_with_parent() -> None:
    """In a new process: asks the kernel to end it with the one that started it (Linux, PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class ForkedBot:
    """A bot that was forked, seen as `asyncio.subprocess.Process` shows one, from any event loop."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        """As subprocess has it: negative where a signal ended it; None while it runs."""

    def send_signal(self, number: int) -> None:
        """Nothing where it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        while self.returncode is None:  # noqa: ASYNC110 - told by a thread, for any event loop
            await asyncio.sleep(0.01)
        return self.returncode


class Prepared:
    """The process that waits to be forked. It ends with this one, and its bots with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.prepared"], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._asked, self._told = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._starting = threading.Lock()
        self._started: queue.SimpleQueue[ForkedBot] = queue.SimpleQueue()
        self._bots: dict[int, ForkedBot] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    async def start(self, arguments: list[str], log: Path, environment: Mapping[str, str]) -> ForkedBot:
        """Starts `bot.py` with these arguments; what it writes goes to the end of `log`."""
        asked = {"arguments": arguments, "log": str(log), "environment": dict(environment)}
        return await asyncio.to_thread(self._start, json.dumps(asked).encode() + b"\n")

    def _start(self, line: bytes) -> ForkedBot:
        with self._starting:
            self._asked.write(line)
            self._asked.flush()
            return self._started.get(timeout=60)

    def close(self) -> None:
        """Ends it; bots that still run end too."""
        self._asked.close()
        self._process.wait()
        self._reader.join()
        self._told.close()

    def _read(self) -> None:
        for line in self._told:
            told = json.loads(line)
            if "code" in told:
                self._bots.pop(told["pid"]).returncode = told["code"]
            else:
                self._bots[told["pid"]] = bot = ForkedBot(told["pid"])
                self._started.put(bot)


def _serve() -> None:
    import bot
    import cli.run  # noqa: F401 - what a bot needs that runs

    gc.freeze()  # the pages stay shared
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    asked = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 1024)
            _report()
        if 0 not in ready:
            continue
        if not (read := os.read(0, 65_536)):
            break
        *lines, asked = (asked + read).split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                os.close(woken)
                os.close(wake)
                _become(bot, json.loads(line))
            _tell(pid=pid)
    # Whoever asked is gone: the bots get the signal that they asked the kernel for.


def _report() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(pid=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**what: int) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _become(bot: Any, asked: dict[str, Any]) -> None:
    """In the new process: a bot with these arguments. Doesn't return."""
    code = 1
    try:
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for descriptor, becomes in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, becomes)
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = ["bot.py", *asked["arguments"]]
        code = bot.main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
