"""Who has to wait for the homeserver keeps their place, and their token only for as long as it's good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp.test_utils import make_mocked_request

from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from homeserver.client.api import RateLimited
from storage import visits
from storage.database import Database
from storage.links import hashed
from storage.visits import Visit
from texts import texts_in
from web.asking import Asking, Place
from web.limits import Limits
from web.log_in import TOKEN_LIVES_MS, LogIn
from web.proving import Proving

SECRET = "s" * 43


@dataclass
class Busy:
    """A homeserver that says wait, until it doesn't."""

    wait: float | None = 30.0
    asked: list[str] = field(default_factory=list)

    async def by_token(self, token: str, expected_id: str | None) -> str:
        """As `Proving` does it."""
        self.asked.append(token)
        if self.wait is not None:
            raise RateLimited("wait", 429, "M_LIMIT_EXCEEDED", "", retry_after=self.wait)
        return "@leaver:example.org"


class Browser:
    """One on its way back from single sign-on."""

    def __init__(self, database: Database) -> None:
        self.now = 1_000_000
        self.busy = Busy()
        self.units = UnitsOfWork(database, texts_in("en", "!"), lambda: self.now, CurrentAdminRoom("!a:x"))
        self.page = LogIn(cast(Proving, self.busy), Limits(lambda: self.now))

    async def asks(self, path: str) -> Asking:
        """One request of it."""
        async with self.units.database.transaction() as tx:
            visit = await visits.get(tx, SECRET, self.now)
        http = make_mocked_request("GET", path)
        return Asking(http, texts_in("en", "!"), Place("https://x", "example.org"), self.units, SECRET, visit)

    async def comes_back(self) -> int:
        """With a token; the HTTP status."""
        async with self.units.database.transaction() as tx:
            await visits.save(tx, SECRET, Visit(self.now + 10_000_000, state=hashed("st")))
        return (await self.page.back(await self.asks("/return?state=st&loginToken=tok"))).status

    async def goes_on(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """The wait is over; where it is sent."""
        asking = await self.asks("/log-in/again")

        async def form(_: Any) -> dict[str, str]:
            return {}

        monkeypatch.setattr(Asking, "form", form)
        return (await self.page.again(asking)).headers.get("Location", "")


@pytest_asyncio.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """With an empty database."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    yield Browser(database)
    await database.close()


async def test_a_short_wait_and_the_log_in_goes_on(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the token that came, once."""
    assert await browser.comes_back() == 429
    browser.now, browser.busy.wait = browser.now + 31_000, None
    assert await browser.goes_on(monkeypatch) == "/account"
    assert browser.busy.asked == ["tok", "tok"]
    assert await browser.goes_on(monkeypatch) in ("/log-in", "/account")
    assert browser.busy.asked == ["tok", "tok"]


async def test_a_token_that_died_meanwhile_is_not_tried(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person logs in once more, instead of reading that the log-in failed; and dead ones don't stay in memory."""
    browser.busy.wait = 300.0
    assert await browser.comes_back() == 429
    browser.now, browser.busy.wait = browser.now + TOKEN_LIVES_MS, None
    assert await browser.goes_on(monkeypatch) == "/log-in"
    assert browser.busy.asked == ["tok"]
    browser.busy.wait = 300.0
    await browser.comes_back()
    browser.now += TOKEN_LIVES_MS
    browser.page._waiting["another visit"] = ("dead", browser.now - 1)
    await browser.comes_back()
    assert "another visit" not in browser.page._waiting
