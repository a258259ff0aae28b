"""A proxy between the bot and its homeserver that breaks or changes what it is told to, and counts what passes.

    async with Proxy(homeserver.base_url) as proxy:   # the bot's `homeserver.url` is `proxy.base_url`
        rule = proxy.on("PUT", "/send/m.room.message", limited(2.0), times=1)
        await rule.hit()
        assert proxy.count("PUT", "/send/") == 2

Paths are as they travel: percent-encoded, with the query. A pattern is a regular expression, searched for in them. The
newest rule that matches decides; with no rule, a request passes unharmed. (aiohttp's client by itself repeats a GET or
PUT once whose connection was lost before any answer: such faults then hit twice.)
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate, parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from sandbox.synapse_process import free_port

PATIENCE = 30.0
"""Seconds that a wait takes before it fails."""
_OWN_BUSINESS = frozenset(
    {"connection", "content-length", "content-encoding", "host", "keep-alive", "transfer-encoding"}
)
"""Headers that belong to one connection, and aren't passed on."""


@dataclass(frozen=True)
class Answered:
    """What the homeserver answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """One request on its way, in the hands of a fault."""

    def __init__(
        self,
        request: web.BaseRequest,
        body: bytes,
        pass_on: Callable[[], Awaitable[Answered]],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self.method = request.method
        self.path = request.raw_path
        self.body = body
        self._request = request
        self.acted = False
        """Whether the homeserver has answered it."""
        self._pass_on = pass_on
        self._changed = changed

    async def pass_on(self) -> Answered:
        """Has the homeserver act, and returns its answer. Raises: aiohttp.ClientError."""
        answered = await self._pass_on()
        self.acted = True
        await self._changed()
        return answered

    def answer(self, answered: Answered) -> web.Response:
        """An answer to the bot."""
        return web.Response(status=answered.status, headers=answered.headers, body=answered.body)

    async def cut(self, answered: Answered | None = None) -> web.StreamResponse:
        """Resets the connection: at once, or with half of an answer on its way."""
        response: web.StreamResponse = web.Response()
        if answered is not None:
            response = web.StreamResponse(status=answered.status, headers=answered.headers)
            response.content_length = len(answered.body)
            await response.prepare(self._request)
            await response.write(answered.body[: len(answered.body) // 2])
        if self._request.transport is not None:
            self._request.transport.abort()
        return response


Fault = Callable[[Exchange], Awaitable[web.StreamResponse]]


# --- the faults ------------------------------------------------------------------------------------------------------


def answer(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Fault:
    """Answers in the homeserver's place, which hears nothing of it.

    Args:
        body: text as it is, anything else as JSON; Matrix's usual object for errors where there is none.
    """
    content = {"errcode": "M_UNKNOWN", "error": "broken by the proxy"} if body is None else body
    raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    kind = "text/html" if isinstance(content, str) else "application/json"

    async def fault(exchange: Exchange) -> web.StreamResponse:
        return exchange.answer(Answered(status, {"Content-Type": kind, **(headers or {})}, raw))

    return fault


def limited(retry_after: float | None = None, *, in_body: bool = False) -> Fault:
    """429, with `Retry-After` (whole seconds), with `retry_after_ms` in the body, or without either."""
    body: dict[str, Any] = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests"}
    headers = {}
    if retry_after is not None and in_body:
        body["retry_after_ms"] = int(retry_after * 1000)
    elif retry_after is not None:
        headers["Retry-After"] = str(int(retry_after))
    return answer(429, body, headers)


def garbage() -> Fault:
    """200 and a page that is no JSON; the homeserver hears nothing of it."""
    return answer(200, "<html><body>Welcome!</body></html>")


async def refuse(exchange: Exchange) -> web.StreamResponse:
    """Resets the connection; the homeserver hears nothing of it."""
    return await exchange.cut()


async def cut_midway(exchange: Exchange) -> web.StreamResponse:
    """The homeserver acts, and the connection is reset in the middle of its answer."""
    return await exchange.cut(await exchange.pass_on())


async def lose(exchange: Exchange) -> web.StreamResponse:
    """The homeserver acts, and its answer is lost."""
    await exchange.pass_on()
    return await exchange.cut()


async def silence(exchange: Exchange) -> web.StreamResponse:
    """Neither passes anything on nor answers, for as long as the bot cares to wait."""
    await asyncio.Event().wait()
    return await exchange.cut()


def changing(change: Callable[[Any], None]) -> Fault:
    """The homeserver acts, and its answer, which is JSON, is changed in place before the bot hears it."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        answered = await exchange.pass_on()
        content = json.loads(answered.body)
        change(content)
        return exchange.answer(replace(answered, body=json.dumps(content).encode()))

    return fault


def dated(offset: Callable[[], float]) -> Fault:
    """The homeserver acts, and its answer's `Date` is so many seconds off, as if its clock were."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        answered = await exchange.pass_on()
        date = parsedate_to_datetime(answered.headers["Date"]).timestamp() + offset()
        headers = {**answered.headers, "Date": formatdate(date, usegmt=True)}
        return exchange.answer(replace(answered, headers=headers))

    return fault


def slow(seconds: float) -> Fault:
    """Passes everything on, late."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return exchange.answer(await exchange.pass_on())

    return fault


def held(gate: asyncio.Event, *, acts: bool = False) -> Fault:
    """Waits for the gate. With `acts`, the homeserver acts at once, and its answer is what waits."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        answered = await exchange.pass_on() if acts else None
        await gate.wait()
        return exchange.answer(answered or await exchange.pass_on())

    return fault


# --- the proxy -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Passed:
    """One request that came, and what it was answered; None while it is under way or where the connection was cut."""

    method: str
    path: str
    status: int | None = None


class Rule:
    """What happens to the requests that match."""

    def __init__(self, proxy: Proxy, method: str, pattern: str, fault: Fault, times: int | None) -> None:
        self._exchanges: list[Exchange] = []
        self._proxy = proxy
        self._method = method
        self._pattern = re.compile(pattern)
        self._fault = fault
        self._left = times

    def matches(self, method: str, path: str) -> bool:
        """Whether this request is to be broken."""
        return self._left != 0 and self._method in ("*", method) and self._pattern.search(path) is not None

    async def apply(self, exchange: Exchange) -> web.StreamResponse:
        """Breaks one request."""
        if self._left is not None:
            self._left -= 1
        self._exchanges.append(exchange)
        await self._proxy.changed()
        return await self._fault(exchange)

    @property
    def hits(self) -> int:
        """How often it was applied."""
        return len(self._exchanges)

    async def acted(self, times: int = 1, timeout: float = PATIENCE) -> None:
        """Waits until the homeserver has answered so many of the requests it was applied to. Raises: TimeoutError."""
        await self._proxy.until(lambda: sum(each.acted for each in self._exchanges) >= times, timeout)

    async def hit(self, times: int = 1, timeout: float = PATIENCE) -> None:
        """Waits until it was applied so often. Raises: TimeoutError."""
        await self._proxy.until(lambda: self.hits >= times, timeout)

    def lift(self) -> None:
        """Requests pass unharmed from now on."""
        self._left = 0


class Proxy:
    """Listens on a port of 127.0.0.1 that stays the same while it is away."""

    def __init__(self, target: str) -> None:
        """Args: target: the homeserver's address."""
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.requests: list[Passed] = []
        self._target = target
        self._rules: list[Rule] = []
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._condition = asyncio.Condition()

    def on(self, method: str, pattern: str, fault: Fault, times: int | None = None) -> Rule:
        """From now on these requests are broken.

        Args:
            method: `*` for all.
            pattern: a regular expression, found anywhere in path and query.
            fault: what happens to them.
            times: so many of them; until it is lifted if None.
        """
        self._rules.insert(0, Rule(self, method, pattern, fault, times))
        return self._rules[0]

    def calm(self) -> None:
        """Lifts every rule."""
        for rule in self._rules:
            rule.lift()

    def count(self, method: str, pattern: str) -> int:
        """How many such requests have come so far."""
        return sum(method in ("*", each.method) and bool(re.search(pattern, each.path)) for each in self.requests)

    async def seen(self, method: str, pattern: str, times: int = 1, timeout: float = PATIENCE) -> None:
        """Waits until so many such requests have come. Raises: TimeoutError."""
        await self.until(lambda: self.count(method, pattern) >= times, timeout)

    async def until(self, condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Waits until something holds, looked at whenever a request came or was answered. Raises: TimeoutError."""
        async with asyncio.timeout(timeout), self._condition:
            await self._condition.wait_for(condition)

    async def changed(self) -> None:
        """Has everybody who waits look again."""
        async with self._condition:
            self._condition.notify_all()

    async def start(self) -> None:
        """Listens, the first time or again."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=True, timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0)
            )
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def go_away(self) -> None:
        """As a homeserver that is down: every connection ends, new ones are refused. `start` ends that."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def close(self) -> None:
        """Ends it."""
        await self.go_away()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()  # `request.read()` takes a megabyte at most
        number = len(self.requests)
        self.requests.append(Passed(request.method, request.raw_path))
        await self.changed()
        exchange = Exchange(request, body, lambda: self._pass_on(request, body), self.changed)
        rule = next((each for each in self._rules if each.matches(request.method, request.raw_path)), None)
        try:
            if rule is not None:
                response = await rule.apply(exchange)
            else:
                response = exchange.answer(await exchange.pass_on())
        except aiohttp.ClientError:  # the homeserver itself is away
            response = await exchange.cut()
        if request.transport is not None and not request.transport.is_closing():
            self.requests[number] = Passed(request.method, request.raw_path, response.status)
        await self.changed()
        return response

    async def _pass_on(self, request: web.BaseRequest, body: bytes) -> Answered:
        if self._session is None:
            raise aiohttp.ClientConnectionError("the proxy is closed")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN_BUSINESS}
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(
            request.method, url, data=body or None, headers=headers, allow_redirects=False
        ) as answered:
            raw = await answered.read()
            kept = {name: value for name, value in answered.headers.items() if name.lower() not in _OWN_BUSINESS}
        return Answered(answered.status, kept, raw)
