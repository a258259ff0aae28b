"""How fast the bot is with 100,000 old requests and a million audit rows, against a small database: as ratios."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.filling import MODERATOR, ROOM, fill, target
from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from handlers.admin_room import audit as audit_handler
from handlers.admin_room import requests as requests_handler
from handlers.admin_room.commands import for_admin_room
from handlers.command import UsageError, parse
from handlers.context import Context, ModeratorCommand
from handlers.message import read
from removal.incoming import DeviceTrust, Incoming
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from storage.database import Database
from texts import Texts

REQUESTS, AUDIT_ROWS = 100_000, 1_000_000
SMALL = 40
"""Requests in the small database: as many as fill an answer, so that both answers say equally much."""
ROUNDS = 40
STARTS = 5

Handler = Callable[[Context, ModeratorCommand], Awaitable[None]]
COMMANDS: tuple[tuple[str, Handler], ...] = (
    ("!status R1", requests_handler.status),
    ("!requests", requests_handler.listing),
    ("!requests --all", requests_handler.listing),
    (f"!audit {target(1)}", audit_handler.search),
    (f"!audit {MODERATOR}", audit_handler.search),
    ("!audit --since 30d", audit_handler.search),
    ("!audit --request R1", audit_handler.search),
)


class Bench:
    """Commands given to their handlers, on one database file, without a homeserver."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        units = UnitsOfWork(self._database, Texts(), lambda: time.time_ns() // 1_000_000, CurrentAdminRoom(ROOM))
        nobody = cast(Any, None)  # these handlers ask neither the homeserver nor the settings
        self._context = Context(units, nobody, nobody, nobody, nobody)
        self._commands = for_admin_room("!")
        self._number = 0

    async def open(self) -> None:
        """Opens the file."""
        await self._database.open()

    async def close(self) -> None:
        """Closes it."""
        await self._database.close()

    async def seconds(self, text: str, handler: Handler) -> float:
        """What one command takes, from the handler's call to the commit of the answer."""
        asked = self._asked(text)
        began = time.perf_counter()
        await handler(self._context, asked)
        return time.perf_counter() - began

    def _asked(self, text: str) -> ModeratorCommand:
        self._number += 1
        content = {"msgtype": "m.text", "body": text}
        event = Incoming(
            f"${time.time_ns()}", ROOM, MODERATOR, "m.room.message", content, 0, encrypted=True,
            trust=DeviceTrust.SIGNED,
        )  # fmt: skip
        message = read(content, "!")
        if message is None or message.command is None:
            raise ValueError(text)
        command = next(command for command in self._commands.all if command.name == message.command)
        parsed = parse(command, message, "lethe.test")
        if isinstance(parsed, UsageError):
            raise ValueError(f"{text}: {parsed}")
        return ModeratorCommand(event, parsed, cast(Any, None))


@dataclass(frozen=True)
class Figures:
    """Seconds, each on a small database and on the full one."""

    start_up: tuple[float, float]
    commands: list[tuple[str, float, float]]
    first_answer: float
    """After a start on the full one, with a retention to keep."""


async def measure() -> Figures:
    """Starts a real bot on a new database and on a full one, then gives commands to their handlers on both kinds."""
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        try:
            await stage.set_up()
            empty = await _starts(stage)
            await stage.bot.stop()
            await asyncio.to_thread(fill, stage.bot.database, REQUESTS, AUDIT_ROWS)
            full = await _starts(stage)
            stage.bot.configure(audit={"retention": "3650d"})
            await stage.bot.restart()
            began = time.perf_counter()
            asked = await stage.moderator.say(stage.room, "!requests")
            await stage.moderator.reply_to(asked)
            first = time.perf_counter() - began
            await stage.bot.stop()
            return Figures((empty, full), await _commands(stage.bot.database), first)
        finally:
            await stage.close()


async def _starts(stage: Scene) -> float:
    """From starting the process to "Lethe is running", the median of some."""
    times = []
    for _ in range(STARTS):
        await stage.bot.stop()
        began = time.perf_counter()
        await stage.bot.start()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _commands(full: Path) -> list[tuple[str, float, float]]:
    """Medians for each command: on a database with as much as one answer shows, and on the full one."""
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as folder:
        small = Path(folder) / "small.db"
        database = Database(small)
        await database.open()
        await database.close()
        await asyncio.to_thread(fill, small, SMALL, SMALL * AUDIT_ROWS // REQUESTS)
        benches = [Bench(small), Bench(full)]
        for bench in benches:
            await bench.open()
        found = []
        for text, handler in COMMANDS:
            # In turn, so that what else the machine does hits both alike.
            times = [[await bench.seconds(text, handler) for bench in benches] for _ in range(ROUNDS)]
            found.append((text, *(statistics.median(column) for column in zip(*times, strict=True))))
        for bench in benches:
            await bench.close()
        return [(text, few, many) for text, few, many in found]
