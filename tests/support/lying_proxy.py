"""A homeserver that lies: everything goes through to a real one, except what a rule answers or changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

Rule = Callable[[str, str, Any], tuple[int, Any] | None]
"""(method, path, body) → (status, answer), or None to let it through."""
Change = Callable[[str, dict[str, Any]], None]
"""(path, answer): changes the real answer in place."""


class Proxy:
    """Stands before a homeserver.

    Args:
        target: its address.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.rules: list[Rule] = []
        self.changes: list[Change] = []
        self.asked: list[tuple[str, str]] = []
        self.base_url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._session = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        self.asked.append((request.method, request.path))
        for rule in self.rules:
            made = rule(request.method, request.path, body)
            if made is not None:
                status, answer = made
                if isinstance(answer, str):
                    return web.Response(status=status, text=answer, content_type="text/html")
                return web.json_response(answer, status=status)
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, data=raw, headers=headers) as real:
            answer = await real.json(content_type=None)
            for change in self.changes:
                change(request.path, answer)
            return web.json_response(answer, status=real.status)
