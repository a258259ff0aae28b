"""A throw-away Synapse on 127.0.0.1 with SQLite, for the tests and the demo."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from sandbox.synapse_process import (
    GENEROUS_LIMITS,
    PortTaken,
    SynapseFailed,
    SynapseProcess,
    base_config,
    free_port,
    new_secret,
)
from sandbox.template import CACHE_DIR, template_database


class CallFailed(Exception):
    """The homeserver answered an error.

    Attributes:
        status: the HTTP status.
        errcode: Matrix' code (`M_FORBIDDEN` …), empty if it gave none.
    """

    def __init__(self, method: str, path: str, status: int, answer: Any) -> None:
        self.status = status
        self.errcode = str(answer.get("errcode", "")) if isinstance(answer, dict) else ""
        self.error = str(answer.get("error", "")) if isinstance(answer, dict) else str(answer)
        super().__init__(f"{method} {path}: {status} {self.errcode} {self.error}")


class Homeserver:
    """One Synapse with a database and configuration of its own.

    Args:
        data_dir: where it keeps everything; a new temporary directory, removed by `close`, if None.
        server_name: the part after the colon in its Matrix IDs.
        config: keys for homeserver.yaml, each replacing the default of that name whole; None as a value takes the key
            out. Modules are found by their dotted path from the project's root (`tests.synapse.modules.veto.Veto`).
        real_rate_limits: leave every `rc_*` at Synapse's own default instead of out of the way.
        cache_dir: where the template database is kept.
        stay: go on running when this process ends.
        port: where it listens; a free one if None.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        server_name: str = "lethe.test",
        config: Mapping[str, Any] | None = None,
        real_rate_limits: bool = False,
        cache_dir: Path = CACHE_DIR,
        stay: bool = False,
        port: int | None = None,
    ) -> None:
        self.server_name = server_name
        self.registration_secret = new_secret()
        self._temporary = data_dir is None
        self.data_dir = data_dir if data_dir is not None else Path(tempfile.mkdtemp(prefix="lethe-synapse-"))
        self._cache_dir = cache_dir
        self._stay = stay
        self._port = port
        self.config: dict[str, Any] = base_config(self.data_dir, server_name, self.registration_secret)
        if not real_rate_limits:
            self.config.update(GENEROUS_LIMITS)
        self.config.update(config or {})
        self.config = {key: value for key, value in self.config.items() if value is not None}
        self._process: SynapseProcess | None = None

    @property
    def base_url(self) -> str:
        """Its address, `http://127.0.0.1:PORT`; the same after a restart. Known once started."""
        return self._started_process().base_url

    @property
    def port(self) -> int:
        """Its port; the same after a restart. Known once started."""
        return self._started_process().port

    @property
    def pid(self) -> int | None:
        """The process' id, None while it isn't running."""
        return self._process.pid if self._process is not None else None

    @property
    def log_file(self) -> Path:
        """What Synapse logs (INFO), over all restarts."""
        return self.data_dir / "homeserver.log"

    @property
    def database_file(self) -> Path:
        """Its SQLite database."""
        return self.data_dir / "homeserver.db"

    def user_id(self, localpart: str) -> str:
        """Return the Matrix ID of a localpart here."""
        return f"@{localpart}:{self.server_name}"

    def _started_process(self) -> SynapseProcess:
        if self._process is None:
            raise SynapseFailed("it was never started")
        return self._process

    async def start(self) -> None:
        """Start it, the first time on a copy of the template and a free port; later with the same data and port.

        Raises:
            SynapseFailed: it doesn't start; the message holds the end of its log.
        """
        if self._process is not None:
            await self._start_again(self._process)
            return
        template = await template_database(self._cache_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if not self.database_file.exists():
            await asyncio.to_thread(shutil.copyfile, template, self.database_file)
        for attempt in range(10):
            process = SynapseProcess(self.data_dir, self._port or free_port(), stay=self._stay)
            try:
                await process.start(self.config)
            except PortTaken:  # somebody took it between our look and Synapse's start
                if attempt == 9:
                    raise
            else:
                self._process = process
                return

    async def _start_again(self, process: SynapseProcess) -> None:
        for attempt in range(10):
            try:
                await process.start(self.config)
            except PortTaken:  # its clients know this port: no other will do
                if attempt == 9:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    async def stop(self) -> None:
        """End it in order (SIGTERM). Data and port are kept for `start`."""
        if self._process is not None:
            await self._process.stop()

    async def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would. Data and port are kept for `start`."""
        if self._process is not None:
            await self._process.kill()

    async def restart(self) -> None:
        """Stop and start it again on the same data and port."""
        await self.stop()
        await self.start()

    async def close(self) -> None:
        """Stop it and remove its temporary directory (a directory given to the constructor is kept)."""
        await self.stop()
        if self._temporary:
            await asyncio.to_thread(shutil.rmtree, self.data_dir, ignore_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call any API of it and return the answer.

        Args:
            method: `GET`, `POST` …
            path: with every id already percent-encoded.
            token: an access token.
            json: the body.
            params: the query.

        Raises:
            CallFailed: any answer but 2xx.
            aiohttp.ClientError: no answer.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession(self.base_url, timeout=aiohttp.ClientTimeout(total=60)) as session,
            session.request(method, path, json=json, params=params, headers=headers) as answer,
        ):
            content = await answer.json(content_type=None)
            if answer.status >= 300 or not isinstance(content, dict):
                raise CallFailed(method, path, answer.status, content)
            return content

    async def register(self, localpart: str, password: str, admin: bool = False) -> str:
        """Make an account by the shared secret and return an access token of it.

        Source: https://element-hq.github.io/synapse/latest/admin_api/register_api.html

        Raises:
            CallFailed: 400 M_USER_IN_USE, for one.
        """
        nonce = (await self.call("GET", "/_synapse/admin/v1/register"))["nonce"]
        signed = b"\x00".join(
            [nonce.encode(), localpart.encode(), password.encode(), b"admin" if admin else b"notadmin"]
        )
        mac = hmac.new(self.registration_secret.encode(), signed, hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": localpart, "password": password, "admin": admin, "mac": mac}
        answer = await self.call("POST", "/_synapse/admin/v1/register", json=body)
        return str(answer["access_token"])
