"""Fixtures for the doors to a real homeserver (bare clients, the admin API's), and stages with a real bot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api
from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy
from sandbox.scene import Scene
from tests.conftest import Account, People
from tests.support.in_process_bot import Inside, MakeInside
from tests.support.scenes import making_scenes

if TYPE_CHECKING:
    from tests.support.browser import Visit, Visitor


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP session of the test's own."""
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest_asyncio.fixture
async def admin(people: People) -> Account:
    """A server admin."""
    return await people.account("admin", admin=True)


@pytest.fixture
def client(homeserver: Homeserver, session: aiohttp.ClientSession) -> Callable[[Account], Api]:
    """Makes a bare client for an account."""
    return lambda account: Api(session, homeserver.base_url, account.access_token)


@pytest.fixture
def synapse(client: Callable[[Account], Api], admin: Account) -> Synapse:
    """The door, with the admin's token."""
    return Synapse(client(admin))


@pytest_asyncio.fixture
async def scene(homeserver: Homeserver) -> AsyncIterator[Callable[..., Awaitable[Scene]]]:
    """Makes scenes (arguments as for `making_scenes`), each with a bot of its own."""
    async with making_scenes(homeserver) as make:
        yield make


@pytest_asyncio.fixture
async def proxy(homeserver: Homeserver) -> AsyncIterator[Proxy]:
    """A proxy in front of the shared homeserver, for a bot that is set up with its address."""
    async with Proxy(homeserver.base_url) as running:
        yield running


@pytest_asyncio.fixture
async def inside(scene: Callable[..., Awaitable[Scene]]) -> AsyncIterator[MakeInside]:
    """Makes scenes (settings as for `scene`) whose bot runs in this process, with a clock that can be moved."""
    made: list[Inside] = []

    async def make(*, wrong_clock: bool = False, ahead: int = 0, **settings: Any) -> tuple[Scene, Inside]:
        stage = await scene(start=False, **settings)
        made.append(Inside(stage, wrong_clock=wrong_clock))
        made[-1].clock.ahead = ahead
        await made[-1].start()
        return stage, made[-1]

    yield make
    for each in made:
        await each.close()


@pytest_asyncio.fixture
async def visit() -> AsyncIterator[Visit]:
    """Opens browser windows (arguments as for `Visitor.on`, without the browser)."""
    from tests.support.browser import Visitor, chromium  # playwright takes long to load, and few tests need it

    async with chromium() as browser:

        async def open_window(stage: Scene, **options: Any) -> Visitor:
            return await Visitor.on(stage, browser, **options)

        yield open_window


async def settled(look: Callable[[], Awaitable[bool]]) -> None:
    """Waits until a look at the homeserver says yes."""
    async with asyncio.timeout(30):
        while not await look():  # noqa: ASYNC110 # another process' state, nothing tells us when it changes
            await asyncio.sleep(0.05)
