"""The real bot, as a process of its own, for tests and the demo: with settings, start, stop, kill and log."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from sandbox.prepared import ForkedBot, Prepared, die_with_parent

PROJECT = Path(__file__).parent.parent


class Lethe:
    """One bot with a data directory of its own. `start` returns once it syncs."""

    prepared: Prepared | None = None
    """Where set, bots are forked from it; else each is `python bot.py`."""

    def __init__(
        self, url: str, user_id: str, password: str, admin_room: str, *, stay: bool = False, **settings: Any
    ) -> None:
        """
        Args:
            stay: it goes on when the process that started it ends.
            settings: laid over the usual ones, section by section: `confirmation={"expires_after": "2s"}`.
        """
        self._stay = stay
        self.directory = Path(tempfile.mkdtemp(prefix="lethe-bot-"))
        self.data_dir = self.directory / "data"
        self.config = self.directory / "config.yaml"
        self.log_file = self.directory / "bot.log"
        self.settings: dict[str, Any] = {
            "homeserver": {"url": url, "user_id": user_id, "password": password},
            "admin_room": admin_room,
            "data_dir": str(self.data_dir),
            "log": {"level": "debug"},
        }
        self.configure(**settings)
        self.environment: dict[str, str] = {}
        """Variables laid over this process's own, of which none that Lethe would read is passed on."""
        self._process: asyncio.subprocess.Process | ForkedBot | None = None

    def configure(self, **settings: Any) -> None:
        """Changes settings; they count from the next start."""
        for section, value in settings.items():
            if isinstance(value, dict):
                self.settings[section] = {**self.settings.get(section, {}), **value}
            else:
                self.settings[section] = value
        self.config.touch(mode=0o600)  # it holds the password
        self.config.write_text(yaml.safe_dump(self.settings))

    @property
    def database(self) -> Path:
        """The bot's database file."""
        return self.data_dir / "lethe.db"

    @property
    def credentials(self) -> dict[str, str]:
        """The log-in that it keeps."""
        return dict(json.loads((self.data_dir / "credentials.json").read_text()))

    @property
    def log(self) -> str:
        """Everything it logged so far, all starts."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    async def start(
        self, *, until: str = "Lethe is running", timeout: float = 30.0, arguments: tuple[str, ...] = ()
    ) -> None:
        """Starts it, with further arguments of `run`, and waits until its log says so.

        Raises:
            RuntimeError: it ended instead.
            TimeoutError: it didn't say so in time.
        """
        before = len(self.log)
        given = ["--config", str(self.config), *arguments]
        # What is to be loaded before everything else can't be had by a fork of what runs already.
        if self.prepared is not None and not self._stay and "LD_PRELOAD" not in self.environment:
            self._process = await self.prepared.start(given, self.log_file, self.environ())
        else:
            self._process = await self._execute(given)
        async with asyncio.timeout(timeout):
            while until not in self.log[before:]:
                if self._process.returncode is not None:
                    raise RuntimeError(f"the bot ended with {self._process.returncode}:\n{self.log[before:]}")
                await asyncio.sleep(0.02)

    async def _execute(self, arguments: list[str]) -> asyncio.subprocess.Process:
        with self.log_file.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "bot.py", *arguments,
                cwd=PROJECT, stdout=log, stderr=log, start_new_session=self._stay,
                preexec_fn=None if self._stay else die_with_parent,
                env=self.environ(),
            )  # fmt: skip

    def environ(self) -> dict[str, str]:
        """The environment that it gets."""
        return {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")} | self.environment

    @property
    def pid(self) -> int | None:
        """The process's id, None where it isn't running."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it by a signal; returns its exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    async def kill(self) -> None:
        """Ends it without a chance to clean up."""
        await self.stop(signal.SIGKILL)

    def suspend(self) -> None:
        """Holds it where it is, as a machine that sleeps would (SIGSTOP)."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on (SIGCONT)."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGCONT)

    async def restart(self) -> None:
        """Stops it and starts it again on the same data."""
        await self.stop()
        await self.start()

    async def wait(self, timeout: float = 30.0) -> int:
        """Waits until it ends by itself; returns its exit code."""
        if self._process is None:
            return 0
        async with asyncio.timeout(timeout):
            return await self._process.wait()

    async def logged(self, words: str, since: int = 0, timeout: float = 30.0) -> None:
        """Waits until its log says so, behind so many characters."""
        async with asyncio.timeout(timeout):
            while words not in self.log[since:]:  # noqa: ASYNC110 - another process' file
                await asyncio.sleep(0.02)

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Runs another command of bot.py, such as `check`; returns exit code and output."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "bot.py", *arguments, "--config", str(self.config),
            cwd=PROJECT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=self.environ(),
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def close(self) -> None:
        """Ends it and removes its files."""
        await self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
