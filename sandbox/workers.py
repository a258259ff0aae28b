"""A throw-away Synapse as large servers run it: PostgreSQL, Redis, a main process, two workers, behind nginx.

The workers are generic; the first one persists the events. Which requests go to them is what Synapse's documentation
says: https://element-hq.github.io/synapse/latest/workers.html. One more does: `GET /_synapse/admin/v2/users/{user_id}`,
which the documentation gives to workers where accounts live in MAS, and which every worker serves. What a worker still
remembers of an account is seen through it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import psycopg2

from sandbox.homeserver import Homeserver
from sandbox.programs import Program, nginx, postgres, redis
from sandbox.synapse_process import SynapseFailed, SynapseProcess, free_port, new_secret

PERSISTER, WORKER = "worker1", "worker2"
UPDATES_WITHIN = 120.0
"""Seconds until the background updates of a new database count as stuck."""

_V = "(api/v1|r0|v3|unstable)"
_ANY_METHOD = (
    # Registration and log-in
    f"{_V}/login$", "(r0|v3|unstable)/register(/available)?$", "(r0|v3|unstable)/password_policy$", "versions$",
    "(r0|v3|unstable)/capabilities$", "(r0|v3|unstable)/account/(whoami|3pid|deactivate)$",
    # Encryption
    "(r0|v3|unstable)/keys/(query|changes|claim)$", "(r0|v3|unstable)/keys/upload", "(r0|v3|unstable)/room_keys/",
    f"{_V}/keys/(device_signing|signatures)/upload$", f"{_V}/devices(/|$)", "(r0|v3)/delete_devices$",
    # Rooms, and sending
    f"{_V}/createRoom$", f"{_V}/(join|knock)/", f"{_V}/joined_rooms$", f"{_V}/directory/room/.*$", f"{_V}/search$",
    f"{_V}/profile/", f"{_V}/rooms/.*/(joined_members|members|state|aliases)$", f"{_V}/rooms/.*/(context|event|state)/",
    f"{_V}/rooms/.*/(redact|send)", f"{_V}/rooms/.*/(join|invite|leave|ban|unban|kick)$",
    "(v1|unstable)/rooms/.*/relations/", "v1/rooms/.*/(hierarchy|threads|timestamp_to_event)$",
    "(r0|v3|unstable)/user/.*/filter(/|$)", "(r0|v3|unstable)/user_directory/search$",
)  # fmt: skip
_ONLY_GET = (f"{_V}/pushrules/", "(r0|v3|unstable)/.*/(tags|account_data)")
_SYNC = (f"{_V}/(sync|events|initialSync)$", f"{_V}/rooms/[^/]+/initialSync$")
_BY_ROOM = (f"{_V}/rooms/.*/messages$",)


def _routes(port: int, main: int, workers: list[int]) -> str:
    """nginx's `http` block: who gets which request."""
    servers = "".join(f" server 127.0.0.1:{each};" for each in workers)
    to = "proxy_pass http://{};"

    def locations(patterns: tuple[str, ...], upstream: str) -> str:
        return "\n".join(f'location ~ "^/_matrix/client/{pattern}" {{ {to.format(upstream)} }}' for pattern in patterns)

    return f"""
map $http_authorization $whose {{ default $http_authorization; "~Bearer syt_(?<name>[^_]+)_" $name; }}
map $uri $room {{ default $uri; "~/rooms/(?<id>[^/]+)/" $id; }}
map $request_method $by_method {{ default main; GET workers; }}
upstream main {{ server 127.0.0.1:{main}; }}
upstream workers {{{servers} }}
upstream sync {{ hash $whose consistent;{servers} }}
upstream by_room {{ hash $room consistent;{servers} }}
server {{
listen 127.0.0.1:{port};
client_max_body_size 50m;
proxy_read_timeout 300s;
proxy_http_version 1.1;
proxy_set_header Host $host;
proxy_set_header X-Forwarded-For $remote_addr;
add_header X-Served-By $upstream_addr always;
{locations(_SYNC, "sync")}
{locations(_BY_ROOM, "by_room")}
{locations(_ONLY_GET, "$by_method")}
{locations(_ANY_METHOD, "workers")}
location ~ "^/_synapse/admin/v1/rooms/[^/]+$" {{ {to.format("$by_method")} }}
location ~ "^/_synapse/admin/v2/users/[^/]+$" {{ {to.format("$by_method")} }}
location ~ "^/(_matrix|_synapse/client|_synapse/admin)" {{ {to.format("main")} }}
}}
"""


class Synapse:
    """One of the processes, with its configuration: what is killed and started again."""

    def __init__(self, process: SynapseProcess, config: dict[str, Any]) -> None:
        self._process = process
        self._config = config
        self.port = process.port

    async def start(self) -> None:
        """Start it, and return once it answers. Raises: SynapseFailed."""
        await self._process.start(self._config)

    async def stop(self) -> None:
        """End it in order."""
        await self._process.stop()

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        await self._process.kill()


class WorkersHomeserver(Homeserver):
    """A homeserver of many processes. `base_url` is the proxy's.

    Attributes:
        postgres, redis, proxy: the programs around it.
        main: the main process.
        persister: the worker that persists the events.
        worker: the other worker.
    """

    postgres: Program
    redis: Program
    proxy: Program
    main: Synapse
    persister: Synapse
    worker: Synapse

    @property
    def base_url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.proxy.port}"

    @property
    def port(self) -> int:
        """The proxy's port."""
        return self.proxy.port

    async def start(self) -> None:
        """Make everything the first time, and start it. Raises: ProgramFailed, SynapseFailed."""
        if not hasattr(self, "proxy"):
            await self._make()
        for program in (self.postgres, self.redis):
            await program.start()
        await self.main.start()
        await asyncio.to_thread(self._await_updates)
        await asyncio.gather(self.persister.start(), self.worker.start())
        await self.proxy.start()

    async def _make(self) -> None:
        self.data_dir.chmod(0o711)  # PostgreSQL, as a user of its own, has to get through
        self.postgres = await postgres(self.data_dir / "postgres")
        self.redis = redis(self.data_dir)
        replication = {name: free_port() for name in ("main", PERSISTER, WORKER)}
        database = {"user": "postgres", "dbname": "postgres", "host": "127.0.0.1", "port": self.postgres.port}
        shared: dict[str, Any] = {
            **self.config,
            "database": {"name": "psycopg2", "args": {**database, "cp_min": 2, "cp_max": 5}},
            "redis": {"enabled": True, "host": "127.0.0.1", "port": self.redis.port},
            "worker_replication_secret": new_secret(),
            "instance_map": {name: {"host": "127.0.0.1", "port": port} for name, port in replication.items()},
            "stream_writers": {"events": PERSISTER},
        }

        def synapse(name: str) -> Synapse:
            listener = {
                "port": replication[name],
                "type": "http",
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["replication"]}],
            }
            process = SynapseProcess(self.data_dir, free_port(), name=name)
            if name == "main":
                return Synapse(process, {**shared, "listeners": [listener]})
            own = {"worker_app": "synapse.app.generic_worker", "worker_name": name, "worker_listeners": [listener]}
            return Synapse(process, {**shared, **own})

        self.main, self.persister, self.worker = (synapse(name) for name in ("main", PERSISTER, WORKER))
        port = free_port()
        routes = _routes(port, self.main.port, [self.persister.port, self.worker.port])
        self.proxy = nginx(self.data_dir, port, routes)

    def _await_updates(self) -> None:
        """Until a new database is ready, parts of the admin API answer 500."""
        until = time.monotonic() + UPDATES_WITHIN
        while self.query("SELECT count(*) FROM background_updates") != [(0,)]:
            if time.monotonic() > until:
                raise SynapseFailed("the background updates don't end")
            time.sleep(0.1)

    def query(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of its database."""
        connection = psycopg2.connect(host="127.0.0.1", port=self.postgres.port, user="postgres", dbname="postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute(question, values)
                return list(cursor.fetchall())
        finally:
            connection.close()

    @property
    def log_files(self) -> list[Path]:
        """What all of its processes logged."""
        return sorted(self.data_dir.glob("*.log"))

    async def stop(self) -> None:
        """End everything in order."""
        if hasattr(self, "proxy"):
            for part in (self.proxy, self.worker, self.persister, self.main, self.redis, self.postgres):
                await part.stop()
