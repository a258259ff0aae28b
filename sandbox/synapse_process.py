"""One Synapse process on 127.0.0.1: its configuration, start, readiness and end."""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import yaml

PROJECT_ROOT = Path(__file__).resolve().parent.parent
CHILD = Path(__file__).resolve().with_name("synapse_child.py")

READY_WITHIN = 90.0
"""Seconds until a start counts as failed: two loaded cores can stretch the usual second a good deal."""

STOP_WITHIN = 20.0
"""Seconds that SIGTERM is given before SIGKILL."""

_MANY = {"per_second": 10_000, "burst_count": 10_000}
GENEROUS_LIMITS: dict[str, Any] = {
    "rc_message": _MANY,
    "rc_registration": _MANY,
    "rc_login": {"address": _MANY, "account": _MANY, "failed_attempts": _MANY},
    "rc_admin_redaction": _MANY,
    "rc_joins": {"local": _MANY, "remote": _MANY},
    "rc_joins_per_room": _MANY,
    "rc_key_requests": _MANY,
    "rc_3pid_validation": _MANY,
    "rc_invites": {"per_room": _MANY, "per_user": _MANY, "per_issuer": _MANY},
    "rc_third_party_invite": _MANY,
    "rc_media_create": _MANY,
    "rc_presence": {"per_user": _MANY},
    "rc_delayed_event_mgmt": _MANY,
    "rc_room_creation": _MANY,
    "rc_reports": _MANY,
    "rc_user_directory": _MANY,
    "rc_profile": _MANY,
}
"""Every rate limit of Synapse's config/ratelimiting.py, out of the way."""


class SynapseFailed(Exception):
    """Synapse didn't start; the message ends with the last lines of its log."""


class PortTaken(SynapseFailed):
    """Another program listens on the port."""


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now.

    It lies below the range from which Linux takes ports for outgoing connections (32768 and up), so that a stopped
    homeserver finds its port still free when it starts again.
    """
    for port in random.sample(range(18_000, 32_000), 200):  # a free port needs no cryptographic chance
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SynapseFailed("no free port between 18000 and 32000")


def new_secret() -> str:
    """Return a random word for a secret of the configuration."""
    return secrets.token_urlsafe(16)


def base_config(data_dir: Path, server_name: str, registration_secret: str) -> dict[str, Any]:
    """Return the smallest homeserver.yaml that serves clients, without listeners and rate limits.

    Keys as in https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html
    """
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return {
        "server_name": server_name,
        "report_stats": False,
        "trusted_key_servers": [],
        "federation_domain_whitelist": [],
        "registration_shared_secret": registration_secret,
        "macaroon_secret_key": new_secret(),
        "form_secret": new_secret(),
        "signing_key": f"ed25519 a_sandbox {seed}",
        "database": {"name": "sqlite3", "args": {"database": str(data_dir / "homeserver.db")}},
        "media_store_path": str(data_dir / "media"),
        "presence": {"enabled": False},
        "bcrypt_rounds": 4,
        # Without the pauses (1 s between small batches) a new database is ready in a moment, see template.py.
        "background_updates": {"sleep_enabled": False},
    }


async def end_process(process: subprocess.Popen[bytes], with_signal: signal.Signals) -> None:
    """Ends a process by a signal, and by force where that takes longer than `STOP_WITHIN`."""
    if process.poll() is not None:
        return
    process.send_signal(with_signal)
    try:
        await asyncio.to_thread(process.wait, STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)


class SynapseProcess:
    """Starts and ends one Synapse. It dies with this process unless `stay` is set.

    Args:
        data_dir: an existing directory; the configuration and the log are written there.
        port: of 127.0.0.1, where it serves clients.
        stay: go on running when this process ends.
        name: of the two files, `NAME.yaml` and `NAME.log`.
    """

    def __init__(self, data_dir: Path, port: int, *, stay: bool = False, name: str = "homeserver") -> None:
        self.data_dir = data_dir
        self.port = port
        self.stay = stay
        self.base_url = f"http://127.0.0.1:{port}"
        self.config_file = data_dir / f"{name}.yaml"
        self.log_file = data_dir / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process, None when there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def start(self, config: dict[str, Any]) -> None:
        """Write the configuration with a listener on our port, start Synapse and wait until it answers.

        Args:
            config: homeserver.yaml; one with `worker_app` starts that worker. Its own listeners stay, beside ours.

        Raises:
            PortTaken: something else listens on the port.
            SynapseFailed: it ended, or didn't answer within `READY_WITHIN`.
        """
        if self.pid is not None:
            raise SynapseFailed("it is running already")
        listener = {
            "port": self.port,
            "type": "http",
            "bind_addresses": ["127.0.0.1"],
            "resources": [{"names": ["client"]}],
        }
        listeners = "worker_listeners" if "worker_app" in config else "listeners"
        whole = {**config, listeners: [listener, *config.get(listeners, [])]}
        self.config_file.write_text(yaml.safe_dump(whole), encoding="utf-8")
        already_logged = self.log_file.stat().st_size if self.log_file.exists() else 0
        flags = ["--stay"] if self.stay else []
        app = config.get("worker_app", "synapse.app.homeserver")
        arguments = [sys.executable, "-P", str(CHILD), str(PROJECT_ROOT), app, *flags, "--", "-c"]
        with self.log_file.open("ab") as log:
            # subprocess and not asyncio's: a homeserver is used from more than one event loop (a session's fixture).
            self._process = subprocess.Popen(  # noqa: ASYNC220 - starting it takes a millisecond
                [*arguments, str(self.config_file)],
                stdin=subprocess.DEVNULL if self.stay else subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                start_new_session=True,  # Ctrl-C in a terminal is for us, we then stop it in order
            )
        try:
            async with asyncio.timeout(READY_WITHIN):
                await self._answers()
        except BaseException as error:
            await self.kill()
            said = self._log_since(already_logged)
            if "CannotListenError" in said or "Address already in use" in said:
                raise PortTaken(f"port {self.port} is taken") from error
            if isinstance(error, SynapseFailed | TimeoutError):
                raise SynapseFailed(f"Synapse did not start: {error!r}\n{said[-3000:]}") from error
            raise

    async def _answers(self) -> None:
        """Return once the client API answers; raise SynapseFailed when the process ends before."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while True:
                if self.pid is None:
                    raise SynapseFailed("it ended")
                try:
                    async with session.get(f"{self.base_url}/_matrix/client/versions") as answer:
                        if answer.status == 200 and self.pid is not None:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(0.02)  # there is no event to wait for before it listens

    def _log_since(self, offset: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    async def stop(self) -> None:
        """End it in order (SIGTERM), and by force when it takes longer than `STOP_WITHIN`."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        await self._end(signal.SIGKILL)

    async def _end(self, with_signal: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        await end_process(process, with_signal)
        if process.stdin is not None:
            process.stdin.close()
        self._process = None
