"""Debian's Chromium with a small Matrix client in it (`tests/js/page`), driven as a person would.

The client is ours, on matrix-js-sdk with its Rust crypto. It shows messages with the elements and attributes that the
specification allows and no others, so what is seen in it is what people see elsewhere; its look is made up.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.node import NodeProgram, why_not
from sandbox.watching import PATIENCE

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def why_no_browser() -> str | None:
    """Why there can be no browser here, and what to do; None where there can."""
    if chromium() is None:
        return "there is no Chromium here: on Debian `apt-get install chromium`"
    return why_not()


class Tab:
    """One logged-in session in the browser, with cookies and storage of its own."""

    def __init__(self, program: NodeProgram, name: str) -> None:
        self._program = program
        self.name = name

    async def open(self, room_id: str, timeout: float = PATIENCE) -> None:
        """Shows an encrypted room; returns once the client has joined it."""
        await self._program.do("open", tab=self.name, room_id=room_id, timeout=timeout)

    async def say(self, body: str) -> None:
        """Types a message and sends it."""
        await self._program.do("say", tab=self.name, body=body)

    async def see(self, text: str, timeout: float = PATIENCE) -> None:
        """Waits until a message on the page has this text."""
        await self._program.do("see", tab=self.name, text=text, timeout=timeout)

    async def press(self, text: str, key: str, timeout: float = PATIENCE) -> None:
        """Presses a reaction under the newest message with this text, once it is there."""
        await self._program.do("press", tab=self.name, text=text, key=key, timeout=timeout)

    async def reacted(self, text: str, key: str, timeout: float = PATIENCE) -> None:
        """Waits until a reaction stands under the newest message with this text."""
        await self._program.do("reacted", tab=self.name, text=text, key=key, timeout=timeout)

    async def unfold(self, text: str) -> None:
        """Opens all that is folded in the newest message with this text."""
        await self._program.do("unfold", tab=self.name, text=text)

    async def signed_out(self, timeout: float = PATIENCE) -> None:
        """Waits until the page says that its session is over."""
        await self._program.do("signed_out", tab=self.name, timeout=timeout)

    async def picture(
        self, path: Path, size: tuple[int, int], *, sharp: bool = False, start: str = "", measured: str = ""
    ) -> float:
        """Writes a PNG of the page.

        Args:
            path: where.
            size: of the window, in px.
            sharp: with two pixels for each px, as phones have them.
            start: a text of the message whose beginning is at the top; without it the newest message is at the end.
            measured: a text of the message whose height is asked.

        Returns:
            That height, in px.
        """
        height = await self._program.do(
            "picture",
            tab=self.name,
            path=str(path),
            width=size[0],
            height=size[1],
            scale="device" if sharp else "css",
            start=start,
            measured=measured,
        )
        return float(height)


class Browser:
    """The browser, as a process of its own."""

    def __init__(self) -> None:
        self._program = NodeProgram("browser.mjs", "the browser")

    async def __aenter__(self) -> Self:
        await self._program.start()
        await self._program.do("start", executable=chromium())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._program.close()

    async def log_in(self, base_url: str, user_id: str, password: str) -> Tab:
        """Opens a tab and logs in as a new device of this account."""
        await self._program.do("log_in", tab=user_id, base_url=base_url, user_id=user_id, password=password)
        return Tab(self._program, user_id)
