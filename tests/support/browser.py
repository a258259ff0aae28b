"""A real browser on the page, as a person uses it: reads, types, presses. Without JavaScript, unless a test asks."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, TimeoutError, async_playwright

from sandbox.scene import Scene
from sandbox.synapse_process import free_port
from sandbox.timeline import Seen
from tests.support.direct_room import Talk
from tests.support.needs import skip_without

CHROMIUM = shutil.which("chromium")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's chromium; the test is skipped where it isn't installed."""
    skip_without([] if CHROMIUM else ["chromium"], "The test in a real browser")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


def page_settings(**more: Any) -> dict[str, Any]:
    """Settings of self-service with a page at a free port."""
    address = f"127.0.0.1:{free_port()}"
    return {"web": {"listen": address, "public_url": f"http://{address}"}, **more}


class Visitor:
    """One person with one browser, which remembers nothing of others."""

    def __init__(self, stage: Scene, context: BrowserContext, page: Page) -> None:
        self.stage, self.context, self.page = stage, context, page
        self.seen: list[str] = []
        """Every address that the browser asked for."""
        context.on("request", lambda request: self.seen.append(request.url))

    @classmethod
    async def on(cls, stage: Scene, browser: Browser, *, javascript: bool = False, **options: Any) -> Visitor:
        """A new browser window. Args: options: as for Playwright's `new_context`."""
        context = await browser.new_context(java_script_enabled=javascript, **options)
        context.set_default_timeout(25_000)
        return cls(stage, context, await context.new_page())

    @property
    def url(self) -> str:
        """The page's address."""
        return str(self.stage.bot.settings["self_service"]["web"]["public_url"])

    async def open(self, path: str = "/") -> int:
        """Opens a path of the page; returns the HTTP status."""
        answer = await self.page.goto(path if path.startswith("http") else self.url + path)
        assert answer is not None
        return answer.status

    async def press(self, label: str) -> None:
        """Presses a button, or a link that looks like one."""
        named = re.compile(f"^{re.escape(label)}")
        button = self.page.get_by_role("button", name=named).or_(self.page.get_by_role("link", name=named))
        await button.first.click()

    async def reads(self, containing: str) -> str:
        """Waits until the page holds this text; returns all of it."""
        try:
            await self.page.get_by_text(containing).first.wait_for(state="attached")
        except TimeoutError:
            why = [line for line in self.stage.bot.log.splitlines() if "web." in line]
            raise AssertionError(f"{containing!r} isn't on the page, but:\n{await self.text()}\n{why}") from None
        return await self.text()

    async def text(self) -> str:
        """What the page says."""
        return await self.page.locator("body").inner_text()

    async def log_in(self, user_id: str, password: str) -> None:
        """Types name and password, and sends them."""
        if await self.page.get_by_label("Matrix ID or user name").count():
            await self.page.get_by_label("Matrix ID or user name").fill(user_id)
        await self.page.get_by_label("Password").fill(password)
        await self.press("Log in")

    async def arrive(self, user_id: str) -> None:
        """From the first page to behind the log-in."""
        await self.open()
        await self.press("Delete my account")
        await self.log_in(user_id, self.stage.passwords[user_id])

    async def choose(self, *, erase: bool = True, media: bool | None = None) -> None:
        """Answers what is asked, and goes on to the explanation."""
        await self.page.get_by_label("Yes, erase it" if erase else "No, don't erase it").check()
        if media is not None:
            await self.page.get_by_label("Yes, delete my files" if media else "No, keep my files").check()
        await self.press("Show me what happens")
        await self.reads("Nobody can use your Matrix ID again")

    async def close(self) -> None:
        """Closes the window."""
        await self.context.close()


async def link_of(talk: Talk, command: str = "!deactivate --erase --keep-media") -> str:
    """The personal link that the bot sends after ✅."""
    await talk.react(await talk.shown(command), "✅")
    return found_link(await talk.hears("log in"))


def found_link(message: Seen) -> str:
    """The link in a message of the bot."""
    found = re.search(r"http://\S+/link/\S+", message.body)
    assert found, message.body
    return found.group()


Visit = Callable[..., Awaitable[Visitor]]
"""Opens a browser window on the page of a stage: the fixture `visit`."""
