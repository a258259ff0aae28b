"""A homeserver full of spam accounts, made once and copied for every measurement, so that each begins alike."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp

from sandbox.homeserver import Homeserver
from sandbox.programs import POSTGRES_USER, Program, postgres
from sandbox.template import CACHE_DIR

SERVER = "lethe.test"
ROOMS = 60
MOST_ROOMS = 10
"""Rooms that one account is in at most: the first is in none, the second in one, and so on, and again."""
SIDE_BY_SIDE = 4


def spammer(number: int) -> str:
    """The Matrix ID of one of the crowd."""
    return f"@spam-{number:05}:{SERVER}"


def crowd(first: int, count: int) -> list[str]:
    """The Matrix IDs of so many of the crowd."""
    return [spammer(number) for number in range(first, first + count)]


class OnPostgres(Homeserver):
    """A Synapse whose database is a PostgreSQL of its own.

    Args:
        copied_from: the directory of a cluster that was stopped in order; a new one if None.
    """

    def __init__(self, copied_from: Path | None = None) -> None:
        super().__init__(server_name=SERVER)
        self._copied_from = copied_from
        self._program: Program | None = None

    @property
    def cluster(self) -> Path:
        """The directory of its PostgreSQL."""
        return self.data_dir / "postgres"

    async def start(self) -> None:
        """Starts both. Raises: ProgramFailed, SynapseFailed."""
        self.data_dir.chmod(0o755)  # PostgreSQL runs as a user of its own
        self._program = await postgres(self.cluster, self._copied_from)
        await self._program.start()
        arguments = {"user": POSTGRES_USER, "dbname": POSTGRES_USER, "host": "127.0.0.1", "port": self._program.port}
        self.config["database"] = {"name": "psycopg2", "args": {**arguments, "cp_min": 5, "cp_max": 10}}
        await super().start()

    async def stop(self) -> None:
        """Ends both in order."""
        await super().stop()
        if self._program is not None:
            await self._program.stop()


@dataclass(frozen=True)
class Crowd:
    """A database of Synapse that holds so many accounts, each in no room up to `most_rooms`."""

    count: int
    most_rooms: int = MOST_ROOMS
    on_postgres: bool = False

    @property
    def file(self) -> Path:
        """Where it is kept: SQLite's file, or the directory of a PostgreSQL cluster."""
        return CACHE_DIR / f"crowd-{self.count}-{self.most_rooms}.{'pg' if self.on_postgres else 'db'}"

    async def homeserver(self) -> Homeserver:
        """A homeserver of one's own that has this crowd, not started. The crowd is made where it isn't there yet."""
        if not self.file.exists():
            await self._make()
        if self.on_postgres:
            return OnPostgres(self.file)
        homeserver = Homeserver(server_name=SERVER)
        homeserver.data_dir.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(shutil.copyfile, self.file, homeserver.database_file)
        return homeserver

    async def _make(self) -> None:
        async with OnPostgres() if self.on_postgres else Homeserver(server_name=SERVER) as homeserver:
            host = await homeserver.register("host", "host", admin=True)
            rooms = []
            if self.most_rooms:
                for number in range(ROOMS):
                    body = {"preset": "public_chat", "name": f"Room {number}"}
                    made = await homeserver.call("POST", "/_matrix/client/v3/createRoom", token=host, json=body)
                    rooms.append(str(made["room_id"]))
            chance = random.Random(1)  # noqa: S311 - the same crowd every time
            waiting = iter(range(self.count))
            async with aiohttp.ClientSession(homeserver.base_url) as session, asyncio.TaskGroup() as group:
                for _ in range(SIDE_BY_SIDE):
                    group.create_task(self._fill(homeserver, session, waiting, rooms, chance))
            await homeserver.stop()
            CACHE_DIR.mkdir(parents=True, exist_ok=True)
            unfinished = self.file.with_suffix(".part")
            if isinstance(homeserver, OnPostgres):
                await asyncio.to_thread(shutil.copytree, homeserver.cluster, unfinished, dirs_exist_ok=True)
            else:
                with closing(sqlite3.connect(homeserver.database_file)) as database:
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                await asyncio.to_thread(shutil.copyfile, homeserver.database_file, unfinished)
            unfinished.rename(self.file)

    async def _fill(
        self,
        homeserver: Homeserver,
        session: aiohttp.ClientSession,
        waiting: Iterable[int],
        rooms: list[str],
        chance: random.Random,
    ) -> None:
        for number in waiting:
            token = await homeserver.register(spammer(number)[1:].partition(":")[0], "spam")
            for room in chance.sample(rooms, number % (self.most_rooms + 1)) if rooms else []:
                headers = {"Authorization": f"Bearer {token}"}
                async with session.post(f"/_matrix/client/v3/join/{quote(room)}", json={}, headers=headers) as answer:
                    answer.raise_for_status()
