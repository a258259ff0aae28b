"""The way between the bot and the homeserver: an `aiohttp.ClientSession` for `Api`, and all that can go wrong with one.

A request travels, is handled, and its answer travels back; each takes time. What may happen to it stands in `Weather`.
Handling is the homeserver's own task: it goes on when the bot has given up, or has died, meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from simulation.model import admin_api, client_api
from simulation.model.routes import answer
from simulation.model.server import Server

_RANDOM = re.compile(r"lethe\.[0-9a-f]{8}\.")
"""What the bot makes up by itself, once for its whole life: the beginning of its transaction ids."""
MODEL = (admin_api, client_api)
"""Imported for the routes that they declare."""


@dataclass
class Weather:
    """How often (0 to 1) something goes wrong with one request."""

    lost: float = 0.0
    """It never arrives; the connection breaks, or the bot waits in vain."""
    answer_lost: float = 0.0
    """It is handled, and nobody hears of it."""
    doubled: float = 0.0
    """It is handled twice."""
    fault: float = 0.0
    """A 5xx, before or after it was handled."""
    limited: float = 0.0
    """A 429."""
    garbled: float = 0.0
    """A proxy's own page instead of the answer."""
    slow: float = 0.0
    """It takes seconds, up to minutes."""
    down: bool = False
    """Nobody listens at all."""


class Response:
    """What came back."""

    def __init__(self, status: int, raw: bytes, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._raw = raw

    async def read(self) -> bytes:
        return self._raw


class Network:
    """
    Args:
        server: the other end.
        chance: decides what goes wrong, and how long things take.
        noted: called with what was asked and what was answered, once the homeserver has handled it.
    """

    def __init__(
        self, server: Server, chance: random.Random, noted: Callable[[str, str, bytes, int, Any], None]
    ) -> None:
        self.weather = Weather()
        self.requests = 0
        self.trace = hashlib.sha256()
        """Over when was asked for what."""
        self._server = server
        self._chance = chance
        self._noted = noted
        self._handling: set[asyncio.Task[tuple[int, Any]]] = set()

    def session(self, token: str, door: Callable[[], None]) -> aiohttp.ClientSession:
        """A session of one client. `door` is called before a request leaves and after its answer came; it may raise."""
        return _Session(self, token, door)  # type: ignore[return-value] # as much of one as `Api` uses

    async def exchange(self, token: str, method: str, url: str, body: bytes, timeout: float) -> Response:
        """Raises: TimeoutError, aiohttp.ClientError."""
        self.requests += 1
        now = asyncio.get_running_loop().time()
        self.trace.update(f"{now:.6f} {method} {_RANDOM.sub('', url)}\n".encode())
        weather, chance = self.weather, self._chance
        async with asyncio.timeout(timeout):
            await self._travel(weather)
            if weather.down:
                raise aiohttp.ClientConnectionError("nobody listens")
            if chance.random() < weather.lost:
                await self._vanish()
            if chance.random() < weather.limited:
                wait = chance.choice((200, 2_000, 9_000))
                return _response(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": wait})
            if chance.random() < weather.fault / 2:
                return self._fault()
            handling = self._handle(token, method, url, body)
            if chance.random() < weather.doubled:
                second = self._handle(token, method, url, body, after=chance.random() * 3)
                handling = chance.choice((handling, second))
            status, value = await asyncio.shield(handling)
            await self._travel(weather)
            if chance.random() < weather.answer_lost:
                await self._vanish()
            if weather.down or chance.random() < weather.fault / 2:
                return self._fault()
            if chance.random() < weather.garbled:
                return Response(chance.choice((200, 403, 404, 502)), b"<html>", {})
            return _response(status, value)

    async def _travel(self, weather: Weather) -> None:
        slow = self._chance.random() < weather.slow
        await asyncio.sleep(self._chance.choice((1.0, 5.0, 100.0)) if slow else self._chance.random() * 0.03)

    async def _vanish(self) -> None:
        if self._chance.random() < 0.5:
            raise aiohttp.ServerDisconnectedError
        await asyncio.Event().wait()

    def _fault(self) -> Response:
        if self._chance.random() < 0.5:
            return _response(500, {"errcode": "M_UNKNOWN", "error": "Internal server error"})
        return Response(self._chance.choice((502, 503, 504)), b"<html>", {})

    def _handle(
        self, token: str, method: str, url: str, body: bytes, after: float = 0.0
    ) -> asyncio.Task[tuple[int, Any]]:
        async def handle() -> tuple[int, Any]:
            await asyncio.sleep(after)
            status, value = await answer(self._server, method, url, token, body)
            self._noted(method, url, body, status, value)
            return status, value

        task = asyncio.get_running_loop().create_task(handle())
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)
        return task


def _response(status: int, value: Any) -> Response:
    return Response(status, json.dumps(value).encode(), {})


class _Session:
    def __init__(self, network: Network, token: str, door: Callable[[], None]) -> None:
        self._network = network
        self._token = token
        self._door = door

    @asynccontextmanager
    async def request(
        self, method: str, url: Any, *, data: bytes | None, timeout: aiohttp.ClientTimeout, **options: Any
    ) -> Any:
        self._door()
        body, path = data or b"", url.raw_path_qs
        try:
            yield await self._network.exchange(self._token, method, path, body, timeout.total or 300.0)
        finally:
            self._door()
