"""A bot, a moderator and a stranger, on a real homeserver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from tests.conftest import People
from tests.support.bare_client import Bot


@pytest_asyncio.fixture
async def bot(homeserver: Homeserver, people: People, tmp_path: Path) -> AsyncIterator[Bot]:
    """A bot with an account and a directory of its own, not started."""
    account = await people.account("bot")
    made = Bot(homeserver.base_url, account, tmp_path / "data", password=account.password)
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def moderator(people: People) -> Person:
    """Somebody with an encrypting client."""
    return await people("moderator")


@pytest_asyncio.fixture
async def room(bot: Bot, moderator: Person) -> str:
    """An encrypted room of the moderator and the bot, which is started."""
    await bot.start()
    return await bot.joined(moderator, encrypted=True)


@pytest_asyncio.fixture
async def stranger(people: People) -> Person:
    """Somebody else."""
    return await people("stranger")
