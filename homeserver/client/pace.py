"""How many calls go to the homeserver at once, for work that may take its time so that people don't notice it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from homeserver.client.api import Api, Json, Observe, Params
from homeserver.client.clock import HomeserverClock


class Pace:
    """Lets so many calls through at once, in the order in which they came. The number may change at any time."""

    def __init__(self, most: int) -> None:
        """Args: most: calls side by side, at any time."""
        self.most = most
        self._limit = most
        self._in_a_hurry = 0
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """So many, 1 to `most`, where nobody is in a hurry."""
        return self._limit

    @limit.setter
    def limit(self, value: int) -> None:
        self._limit = min(max(value, 1), self.most)
        self._let_in()

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Meanwhile `most` calls go side by side."""
        self._in_a_hurry += 1
        self._let_in()
        try:
            yield
        finally:
            self._in_a_hurry -= 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One call: waits for its turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._under_way -= 1
            else:
                turn.cancel()
            self._let_in()

    def _let_in(self) -> None:
        limit = self.most if self._in_a_hurry else self._limit
        while self._waiting and self._under_way < limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)


class PacedApi(Api):
    """An `Api` whose calls each wait for their turn."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        access_token: str | None,
        pace: Pace,
        clock: HomeserverClock | None = None,
        observe: Observe | None = None,
    ) -> None:
        super().__init__(session, base_url, access_token, clock, observe)
        self._pace = pace

    @classmethod
    def beside(cls, api: Api, pace: Pace) -> PacedApi:
        """One for the same account as `api`."""
        return cls(api._session, api._base_url, api._token, pace, api._clock, api._observe)

    async def _exchange(
        self,
        method: str,
        path: str,
        ids: tuple[str, ...],
        json: Json | None,
        params: Params | None,
        timeout: float,
        data: bytes | None = None,
        content_type: str = "application/json",
        authorization: str | None = None,
    ) -> Any:
        async with self._pace.slot():
            return await super()._exchange(method, path, ids, json, params, timeout, data, content_type, authorization)
