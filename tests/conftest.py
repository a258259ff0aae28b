"""Fixtures with a real homeserver: one Synapse for each pytest-xdist worker, started when first asked for."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.lethe import Lethe
from sandbox.prepared import Prepared


@dataclass(frozen=True)
class Account:
    """An account that was registered, without a client."""

    user_id: str
    localpart: str
    password: str
    access_token: str


class People:
    """Makes accounts that no other test has, on the shared homeserver or another; closes their clients."""

    def __init__(self, homeserver: Homeserver) -> None:
        self._homeserver = homeserver
        self._persons: list[Person] = []

    async def account(self, role: str = "person", *, admin: bool = False, on: Homeserver | None = None) -> Account:
        """Register an account `@role-xxxxxx:…`.

        Args:
            role: what it is in the test (moderator, spammer …).
            admin: of the homeserver.
            on: the homeserver, the shared one if None.
        """
        homeserver = on or self._homeserver
        localpart, password = f"{role}-{secrets.token_hex(3)}", secrets.token_urlsafe(12)
        token = await homeserver.register(localpart, password, admin)
        return Account(homeserver.user_id(localpart), localpart, password, token)

    async def __call__(self, role: str = "person", *, admin: bool = False, on: Homeserver | None = None) -> Person:
        """Register an account as `account` does, and return its client, logged in and syncing."""
        account = await self.account(role, admin=admin, on=on)
        person = Person((on or self._homeserver).base_url, account.user_id)
        self._persons.append(person)
        await person.login(account.password)
        return person

    async def close(self) -> None:
        """Close every client."""
        for person in self._persons:
            await person.close()


@pytest.fixture(scope="session")
def prepared() -> Iterator[None]:
    """Bots are forked from a process that has imported everything: importing takes most of a start."""
    Lethe.prepared = Prepared()
    yield
    Lethe.prepared.close()
    Lethe.prepared = None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def homeserver(prepared: None) -> AsyncIterator[Homeserver]:
    """A Synapse shared by all tests of this worker. Not to be stopped or restarted: see `fresh_homeserver`."""
    async with Homeserver() as running:
        yield running


@pytest_asyncio.fixture
async def fresh_homeserver(prepared: None) -> AsyncIterator[Callable[..., Awaitable[Homeserver]]]:
    """Makes and starts a Synapse of the test's own (arguments as for `Homeserver`), free to be killed."""
    made: list[Homeserver] = []

    async def make(**options: object) -> Homeserver:
        made.append(Homeserver(**options))  # type: ignore[arg-type] # passed through as they are
        await made[-1].start()
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest_asyncio.fixture
async def people(homeserver: Homeserver) -> AsyncIterator[People]:
    """Makes people on the shared homeserver."""
    crowd = People(homeserver)
    yield crowd
    await crowd.close()
