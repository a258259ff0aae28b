"""The pictures of the page on which people log in and ask for the removal of their account: `make pictures` takes them
too, `python -m sandbox.page_pictures` them alone.

Each on a phone and on a desk, light and dark, in two languages.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from itertools import product
from pathlib import Path

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from sandbox.synapse_process import free_port

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
SIZES = {"phone": (390, 844), "desk": (1280, 800)}
NAMES = ("page-log-in", "page-confirm", "page-scheduled")
LANGUAGES = {"en": "en-GB", "de": "de-DE"}
SCHEMES = ("light", "dark")
FILES = tuple(
    f"{name}-{language}-{scheme}-{kind}.png"
    for language, scheme, kind, name in product(LANGUAGES, SCHEMES, SIZES, NAMES)
)
"""In the order in which they are taken."""


async def take(homeserver: Homeserver, folder: Path) -> list[str]:
    """Takes all of them on a homeserver that runs; returns their names."""
    stage, taken = Scene(homeserver), list[str]()
    try:
        address = f"127.0.0.1:{free_port()}"
        web = {"listen": address, "public_url": f"http://{address}"}
        # Nothing is sent there: every request is stopped again.
        smtp = {"host": "mail.example.org", "from_address": "lethe@example.org"}
        await stage.set_up(self_service={"web": web, "requests_per_day": 100}, receipt={"smtp": smtp})
        password = secrets.token_urlsafe(12)
        await homeserver.register("member.of.the.garden", password)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for number, (language, scheme, kind) in enumerate(product(LANGUAGES, SCHEMES, SIZES), 1):
                end = f"{language}-{scheme}-{kind}.png"
                page = await _window(browser, LANGUAGES[language], scheme, kind, f"192.0.2.{number}")
                for name in NAMES:
                    await _STEPS[name](page, web["public_url"], password)
                    await page.screenshot(path=folder / f"{name}-{end}")
                    taken.append(f"{name}-{end}")
                await _send(page, "/account/cancel")
                await page.context.close()
            await browser.close()
    finally:
        await stage.close()
    return taken


async def _window(browser: Browser, locale: str, scheme: str, kind: str, address: str) -> Page:
    """Args: address: whom the page counts; otherwise all windows together would be one who asks without end."""
    width, height = SIZES[kind]
    context = await browser.new_context(
        viewport=ViewportSize(width=width, height=height),
        device_scale_factor=2 if kind == "phone" else 1,
        color_scheme="dark" if scheme == "dark" else "light",
        locale=locale,
        java_script_enabled=False,
        extra_http_headers={"X-Forwarded-For": address},
    )
    return await context.new_page()


async def _send(page: Page, path: str) -> None:
    """Sends the form that goes to this path."""
    await page.locator(f'form[action="{path}"] button').first.click()
    await page.wait_for_load_state()


async def _log_in(page: Page, url: str, password: str) -> None:
    await page.goto(url)
    await _send(page, "/start")
    await page.locator("#user").fill("member.of.the.garden")


async def _confirm(page: Page, url: str, password: str) -> None:
    await page.locator("#password").fill(password)
    await _send(page, "/log-in")
    await page.locator("input[name=erase][value=yes]").check()
    await _send(page, "/account/options")


async def _scheduled(page: Page, url: str, password: str) -> None:
    await page.locator("#mail").fill("me@example.com")
    await _send(page, "/account/confirm")


_STEPS = dict(zip(NAMES, (_log_in, _confirm, _scheduled), strict=True))


async def main() -> None:
    """Takes these alone."""
    async with Homeserver(server_name="example.org") as homeserver:
        await take(homeserver, FOLDER)


if __name__ == "__main__":
    asyncio.run(main())
