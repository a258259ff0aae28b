"""The machine on which the bot runs: its disk, its clock, its process, which can be killed at any of its doors.

The bot's doors are the database and the network. A kill shuts both at once: what was not committed is rolled back, as
SQLite does it after a kill, and whatever the dying tasks still try reaches nobody. What was sent is on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite

from cli.run import run_with
from config import Settings
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api
from homeserver.client.clock import HomeserverClock
from homeserver.client.credentials import Credentials
from homeserver.client.matrix_client import MatrixClient
from homeserver.client.sync import Sync
from homeserver.client.timeline import Reader
from homeserver.encryption.cross_signing import Identity, IdentityStatus
from simulation.encryption import Known, Readable
from simulation.network import Network
from storage.database import FILE, Database


class Process:
    """One life of the bot's process."""

    def __init__(self, on_door: Callable[[Process], None]) -> None:
        self.alive = True
        self.connections: list[sqlite3.Connection] = []
        self._on_door = on_door

    def door(self) -> None:
        """Everything that reaches beyond the process goes through here. Raises: CancelledError: it is dead."""
        if self.alive:
            self._on_door(self)
        self.check()

    def check(self) -> None:
        """Raises: CancelledError: it is dead."""
        if not self.alive:
            raise asyncio.CancelledError

    def kill(self) -> None:
        self.alive = False
        self.close_files()

    def close_files(self) -> None:
        """As the operating system does it when a process has ended, whatever it left open."""
        for connection in self.connections:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            connection.close()


PAUSES = 0.1
"""How many (0 to 1) of the statements take a moment, in which others run."""
_BORDERS = ("BEGIN", "COMMIT", "ROLLBACK")


class _Connection(aiosqlite.Connection):
    """Statements run in the loop's own thread; before each the process may die, and after a commit, too."""

    def __init__(self, process: Process, chance: random.Random, path: Path, **options: Any) -> None:
        super().__init__(functools.partial(sqlite3.connect, path, **options), 64)
        self._process = process
        self._chance = chance

    def __await__(self) -> Any:
        return self._open().__await__()

    async def _open(self) -> aiosqlite.Connection:
        self._process.door()
        self._connection = connection = self._connector()
        self._process.connections.append(connection)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # nobody else looks at it meanwhile
        connection.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing by that, only a killed machine
        return self

    def execute(self, sql: str, parameters: Any = None) -> Any:
        # Of a transaction's borders many are crossed, most without a pause: they need no coroutine.
        if parameters is None and sql.startswith(_BORDERS) and self._chance.random() >= PAUSES:
            self._process.door()
            done = asyncio.get_running_loop().create_future()
            try:
                done.set_result(self._conn.execute(sql))
            except sqlite3.Error as error:
                done.set_exception(error)
            return done
        return super().execute(sql, parameters)

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not args:  # fetching what was found, and closing: nothing new happens on the disk
            self._process.check()
            return fn(**kwargs)
        if self._chance.random() < PAUSES:
            await asyncio.sleep(self._chance.random() * 0.01)
        self._process.door()
        if args == ("PRAGMA synchronous = FULL", []):
            args = ("SELECT 1",)
        result = fn(*args, **kwargs)
        if args[0] == "COMMIT":
            await asyncio.sleep(self._chance.random() * 0.01)
            self._process.door()
        return result

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def __del__(self) -> None:
        """Nothing: a killed process closes its files, and doesn't call this an error."""


class _Client(MatrixClient):
    """The bot's Matrix client without log-in and keys: it is the same device for ever."""

    def __init__(
        self, settings: Settings, api: Api, encrypted_rooms: set[str], clock: HomeserverClock, known: Known
    ) -> None:
        home = settings.homeserver
        super().__init__(home.url, home.user_id, settings.data_dir, None, "token", "DEVICE", clock=clock)
        self._parts = _Parts(self, api, encrypted_rooms, clock, known)

    async def start(self) -> Credentials:
        self._running = self._parts  # type: ignore[assignment] # as much of it as is used without keys
        self.identity = Identity(IdentityStatus.OK)
        return Credentials(self._user_id, "DEVICE", "token")

    async def close(self) -> None: ...


class _Parts:
    def __init__(
        self, client: _Client, api: Api, encrypted_rooms: set[str], clock: HomeserverClock, known: Known
    ) -> None:
        crypto: Any = Readable()
        directory: Any = known
        self.api = api
        self.crypto = crypto
        self.encrypted_rooms = encrypted_rooms
        self.reader = Reader(crypto, directory, client._log)
        self.sync = Sync(
            api, crypto, directory, self.reader, client._user_id, self.pin_encrypted, self._nothing, client._log,
            client._backoff(), clock,
        )  # fmt: skip

    def pin_encrypted(self, room_id: str) -> None:
        self.encrypted_rooms.add(room_id)

    async def _nothing(self) -> None: ...


class Machine:
    """
    Args:
        settings: the bot's; `data_dir` is its disk.
        network: the way to the homeserver.
        clock: the wall's, as the bot sees it; milliseconds since 1970.
        chance: how long its disk takes.
        seed: of the jitter in the bot's own waits.
    """

    def __init__(
        self, settings: Settings, network: Network, clock: Callable[[], int], chance: random.Random, seed: str
    ) -> None:
        self.settings = settings
        self.starts = 0
        self.kills = 0
        self.ended: list[BaseException] = []
        """What ended the process, where it wasn't a kill."""
        self.dies_at: int | None = None
        """After so many more doors, counted down; None lives on."""
        self.known = Known()
        """What the bot finds out about people's devices."""
        self._network = network
        self._clock = clock
        self._chance = chance
        self._seed = seed
        self._encrypted_rooms: set[str] = set()
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._token = f"token of {settings.homeserver.user_id}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.alive and self._task is not None and not self._task.done()

    @property
    def crashed(self) -> bool:
        """Whether the process ended by itself."""
        return self._process is not None and self._process.alive and self._task is not None and self._task.done()

    def look(self) -> Database:
        """The bot's database, for somebody who looks at the machine's disk."""
        return self._open(Process(lambda process: None))

    def _open(self, process: Process) -> Database:
        def connect(path: Path, **options: Any) -> _Connection:
            return _Connection(process, self._chance, path, **options)

        return Database(self.settings.data_dir / FILE, connect=connect)

    async def start(self) -> None:
        """Starts the bot; one that ran before is buried first."""
        await self.bury()
        random.seed(f"{self._seed} {self.starts}")
        self.starts += 1
        self._process = process = Process(self._on_door)
        session = self._network.session(self._token, process.door)
        loop = asyncio.get_running_loop()
        clock = HomeserverClock(self._clock, lambda: int(loop.time() * 1000))
        client = _Client(
            self.settings, Api(session, "http://model", None, clock), self._encrypted_rooms, clock, self.known
        )

        database = self._open(process)
        self._stop = asyncio.Event()

        async def arrive() -> Synapse:
            await client.start()
            return Synapse(client.api)

        self._task = asyncio.get_running_loop().create_task(
            run_with(self.settings, client, database, arrive, self._stop, clock)
        )

    def _on_door(self, process: Process) -> None:
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at <= 0:
                self.dies_at = None
                self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.alive:
            self.kills += 1
            self._process.kill()
            if self._task is not None:
                self._task.cancel()

    async def stop(self) -> None:
        """SIGTERM, and waits until it has ended."""
        self._stop.set()
        await self.bury()

    async def bury(self) -> None:
        """Waits until nothing is left of the process."""
        if self._task is None:
            return
        task, process = self._task, self._process
        await asyncio.wait({task})  # whoever waits here may be cancelled: the next one waits on
        if self._task is not task:
            return
        self._task = None
        if process is not None:
            killed = not process.alive
            process.alive = False
            process.close_files()
            if not killed and not task.cancelled() and (error := task.exception()) is not None:
                self.ended.append(error)
