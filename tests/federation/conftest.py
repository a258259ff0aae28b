"""Two homeservers that federate: the bot's own, and another one; with people on both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio

from sandbox.federation import FederatedHomeserver
from sandbox.scene import Scene
from tests.conftest import People
from tests.support.scenes import making_scenes

AT_ONCE = {"federation": {"destination_min_retry_interval": "1s", "destination_max_retry_interval": "2s"}}
"""A server that was away is asked again at once, where Synapse's default is ten minutes."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def home() -> AsyncIterator[FederatedHomeserver]:
    """The bot's own homeserver, shared by all tests."""
    async with FederatedHomeserver(config=AT_ONCE) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def other() -> AsyncIterator[FederatedHomeserver]:
    """Another homeserver, shared by all tests. Not to be stopped: see `mortal`."""
    async with FederatedHomeserver(config=AT_ONCE) as running:
        yield running


@pytest_asyncio.fixture
async def mortal() -> AsyncIterator[FederatedHomeserver]:
    """Another homeserver, of the test's own, free to be stopped."""
    async with FederatedHomeserver(config=AT_ONCE) as running:
        yield running
        running.go_on()


@pytest_asyncio.fixture
async def strangers(other: FederatedHomeserver) -> AsyncIterator[People]:
    """Makes people on the other homeserver."""
    crowd = People(other)
    yield crowd
    await crowd.close()


@pytest_asyncio.fixture
async def scene(home: FederatedHomeserver) -> AsyncIterator[Callable[..., Awaitable[Scene]]]:
    """Makes scenes on the bot's own homeserver (arguments as for `making_scenes`)."""
    async with making_scenes(home) as make:
        yield make
