"""PostgreSQL, Redis and nginx as throw-away programs on 127.0.0.1, for a Synapse with workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sandbox.prepared import die_with_parent
from sandbox.synapse_process import end_process, free_port

READY_WITHIN = 30.0
"""Seconds until a start counts as failed."""
POSTGRES_USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package makes this user."""


class ProgramFailed(Exception):
    """A program didn't start; the message ends with the last lines of its log."""


def program(name: str) -> str | None:
    """The path of a program, None where it isn't installed. Debian keeps PostgreSQL's outside of the PATH."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, newest_first), "/usr/sbin"]))


def missing() -> list[str]:
    """The Debian packages to install before a Synapse with workers can be started here; empty where all is there."""
    needed = {"postgresql": "postgres", "redis-server": "redis-server", "nginx": "nginx"}
    return [package for package, name in needed.items() if program(name) is None]


class Program:
    """One program that listens on a port of 127.0.0.1. It dies with this process.

    Args:
        arguments: its path and what it is given; it has to stay in the foreground.
        port: where it answers once it is ready.
        log_file: gets what it says.
        stop_signal: ends it in order, connections included.
        user: as whom it runs, this process's own if None.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        port: int,
        log_file: Path,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        user: str | None = None,
    ) -> None:
        self.port = port
        self._arguments = list(arguments)
        self._log_file = log_file
        self._stop_signal = stop_signal
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and return once it accepts connections. Raises: ProgramFailed."""
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - starting it takes a millisecond
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else (),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            async with asyncio.timeout(READY_WITHIN):
                await self._answers()
        except (TimeoutError, ProgramFailed) as error:
            await self.kill()
            said = self._log_file.read_text("utf-8", errors="replace")
            raise ProgramFailed(f"{self._arguments[0]} did not start: {error!r}\n{said[-2000:]}") from error

    async def _answers(self) -> None:
        while True:
            if self._process is None or self._process.poll() is not None:
                raise ProgramFailed("it ended")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)  # there is no event to wait for before it listens
            else:
                writer.close()
                return

    async def stop(self) -> None:
        """End it in order; its data is kept for `start`."""
        await self._end(self._stop_signal)

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        await self._end(signal.SIGKILL)

    async def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            await end_process(process, with_signal)


def _path(name: str) -> str:
    found = program(name)
    if found is None:
        raise ProgramFailed(f"{name} isn't installed. On Debian: apt-get install {' '.join(missing())}")
    return found


async def postgres(directory: Path, copied_from: Path | None = None) -> Program:
    """A PostgreSQL of its own, not started yet, with an empty cluster in this directory, or a copy of another.

    Its superuser is `postgres`, without a password. Databases made with the template `template0` have the collation
    that Synapse demands (C).

    Args:
        copied_from: the directory of a cluster that isn't running.
    """
    user = POSTGRES_USER if os.geteuid() == 0 else None
    server = _path("postgres")
    if copied_from is not None:
        await asyncio.to_thread(_copy_cluster, copied_from, directory, user)
    elif not directory.exists():  # noqa: ASYNC240 - takes no time
        await _new_cluster(directory, user)
    port = free_port()
    # Nothing here has to outlive the machine, so it doesn't wait for the disk.
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    arguments = [server, "-D", str(directory), *(f"--{key}={value}" for key, value in options.items())]
    log_file = directory.with_suffix(".log")
    return Program(arguments, port, log_file, stop_signal=signal.SIGINT, user=user)


def _copy_cluster(source: Path, directory: Path, user: str | None) -> None:
    shutil.copytree(source, directory)
    if user is not None:
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, user, user)


async def _new_cluster(directory: Path, user: str | None) -> None:
    directory.mkdir()  # noqa: ASYNC240 - takes no time
    if user is not None:
        shutil.chown(directory, user, user)
    made = await asyncio.to_thread(
        subprocess.run,
        [_path("initdb"), "-D", str(directory), "-U", POSTGRES_USER, "-A", "trust", "-E", "UTF8", "--locale=C"],
        capture_output=True,
        cwd="/",
        user=user,
        group=user,
        extra_groups=None if user is None else (),
        check=False,
    )
    if made.returncode:
        raise ProgramFailed(f"initdb: {made.stderr.decode(errors='replace')[-2000:]}")


def redis(directory: Path) -> Program:
    """A Redis of its own that keeps nothing, not started yet."""
    port = free_port()
    arguments = [
        _path("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(directory),
    ]
    return Program(arguments, port, directory / "redis.log")


def nginx(directory: Path, port: int, http: str) -> Program:
    """An nginx, not started yet.

    Args:
        directory: for its files.
        port: where its server listens.
        http: what stands between `http {` and `}`.
    """
    own = directory / "nginx"
    own.mkdir()
    temporary = "\n".join(
        f"{kind}_temp_path {own}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # One process only: killed, it leaves no child behind.
    config = f"""
daemon off;
master_process off;
pid {own}/pid;
error_log {own}/error.log;
events {{ worker_connections 1024; }}
http {{
access_log {own}/access.log combined;
{temporary}
{http}
}}
"""
    (own / "nginx.conf").write_text(config, "utf-8")
    arguments = [_path("nginx"), "-e", f"{own}/error.log", "-c", f"{own}/nginx.conf"]
    return Program(arguments, port, directory / "nginx.log", stop_signal=signal.SIGQUIT)
