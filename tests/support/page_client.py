"""A browser that does only what a test says: it shows headers, keeps no cookie by itself, and follows nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from sandbox.scene import Scene

COOKIE = "__Host-lethe"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def location(self) -> str:
        """Where it leads."""
        return self.headers.get("Location", "")

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of the forms on the page."""
        return dict(re.findall(r'<input type="hidden" name="(\w+)"[^>]* value="([^"]*)"', self.text))

    def field(self, name: str) -> str:
        """One of them."""
        assert name in self.hidden, self.text
        return self.hidden[name]

    def says(self, text: str) -> bool:
        """Whether the page says this."""
        return text in html.unescape(self.text)


@dataclass
class PageClient:
    """One browser, with its cookie."""

    stage: Scene
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The page's address."""
        return str(self.stage.bot.settings["self_service"]["web"]["public_url"])

    async def ask(self, method: str, path: str, data: Mapping[str, str] | None = None, **headers: str) -> Answer:
        """Asks once. The cookie that is set is kept."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookie:
            sent["Cookie"] = f"{COOKIE}={self.cookie}"
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, self.url + path, data=data, headers=sent, allow_redirects=False) as response,
        ):
            if COOKIE in response.cookies:
                self.cookie = response.cookies[COOKIE].value
            return Answer(response.status, await response.text(), response.headers)

    async def get(self, path: str) -> Answer:
        """Opens a path."""
        return await self.ask("GET", path)

    async def send(self, path: str, page: Answer, **fields: str) -> Answer:
        """Sends a form that a page showed, with its hidden fields."""
        return await self.ask("POST", path, {**page.hidden, **fields})

    async def log_in(self, user_id: str, password: str | None = None) -> Answer:
        """Begins where there is no visit yet, and logs in with a password."""
        if not self.cookie:
            await self.ask("POST", "/start")
        form = await self.get("/log-in")
        typed = self.stage.passwords[user_id] if password is None else password
        return await self.send("/log-in", form, user=user_id, password=typed)

    async def chosen(self, **fields: str) -> Answer:
        """Chooses, and sees the explanation."""
        options = await self.get("/account")
        await self.send("/account/options", options, **{"erase": "yes", **fields})
        return await self.get("/account")

    async def confirmed(self, shown: Answer) -> Answer:
        """Says yes to it, and sees what follows."""
        await self.send("/account/confirm", shown)
        return await self.get("/account")
