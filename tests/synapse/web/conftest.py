"""Fixtures with a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sandbox.scene import Scene
from tests.support.browser import Visitor, chromium

Visit = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture
async def visit() -> AsyncIterator[Visit]:
    """Opens browser windows (arguments as for `Visitor.on`, without the browser)."""
    async with chromium() as browser:

        async def open_window(stage: Scene, **options: Any) -> Visitor:
            return await Visitor.on(stage, browser, **options)

        yield open_window


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it takes minutes: `make test` and `make ci` run it, `make check` doesn't."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
