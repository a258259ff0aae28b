"""A Synapse with workers, PostgreSQL, Redis and nginx, shared by the tests; and stages with a real bot on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.programs import missing
from sandbox.proxy import Proxy
from sandbox.scene import Scene
from sandbox.workers import WorkersHomeserver
from tests.support.needs import skip_without
from tests.support.scenes import making_scenes

HERE = Path(__file__).parent


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def workers() -> AsyncIterator[WorkersHomeserver]:
    """The homeserver. A test that ends one of its parts starts it again."""
    skip_without(missing(), "A Synapse with workers")
    async with WorkersHomeserver() as running:
        assert isinstance(running, WorkersHomeserver)
        yield running


@pytest_asyncio.fixture
async def scene(workers: WorkersHomeserver) -> AsyncIterator[Callable[..., Awaitable[Scene]]]:
    """Makes scenes (arguments as for `making_scenes`), each with a bot of its own that speaks to nginx."""
    async with making_scenes(workers) as make:
        yield make


@pytest_asyncio.fixture
async def between(workers: WorkersHomeserver) -> AsyncIterator[Proxy]:
    """A proxy between the bot and nginx, for a bot that is set up with its address."""
    async with Proxy(workers.base_url) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Killing a part and waiting for it takes its time. (A marker that a fixture adds comes too late.)"""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(400))
