"""A real Synapse in its MAS mode, beside a stand-in for MAS, or beside a real one (`make test-mas MAS=…`)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sandbox.homeserver import Homeserver
from sandbox.mas import Mas, StandInMas, synapse_config
from sandbox.mas_scene import MasScene

REAL = os.environ.get("MAS_CLI", "")
"""The program of a real MAS; empty for the stand-in."""


@dataclass(frozen=True)
class Service:
    """Synapse and MAS, as two parts of one."""

    homeserver: Homeserver
    mas: Mas


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service() -> AsyncIterator[Service]:
    """A Synapse in MAS mode and its MAS, shared by all tests of this worker."""
    if REAL:
        from sandbox.real_mas import RealMas

        mas: Mas = RealMas(Path(REAL))
    else:
        mas = StandInMas()
    async with Homeserver(config=synapse_config(mas.access.url, mas.secret)) as homeserver:
        await mas.start(homeserver)
        yield Service(homeserver, mas)
        await mas.close()


@pytest.fixture
def stand_in(service: Service) -> Iterator[StandInMas]:
    """The stand-in, for tests that make it fail; they don't run against a real MAS."""
    if not isinstance(service.mas, StandInMas):
        pytest.skip("needs a MAS that fails when it is told to")
    yield service.mas
    for told in (service.mas.service.faults, service.mas.service.lost, service.mas.service.without):
        told.clear()
    service.mas.service.lifetime, service.mas.service.delay, service.mas.service.allowed = 300.0, 0.05, True
    service.mas.release()


@pytest.fixture(autouse=True)
def described(service: Service) -> Iterator[None]:
    """Every request and every answer is as MAS's published description has it."""
    yield
    if isinstance(service.mas, StandInMas):
        violations, service.mas.service.violations = service.mas.service.violations, []
        assert violations == []


@pytest_asyncio.fixture
async def scene(service: Service) -> AsyncIterator[Callable[..., Awaitable[MasScene]]]:
    """Makes scenes as the fixture of that name elsewhere, on a homeserver whose accounts live in MAS."""
    made: list[MasScene] = []

    async def make(**options: Any) -> MasScene:
        made.append(MasScene(service.homeserver, service.mas))
        await made[-1].set_up(**options)
        return made[-1]

    yield make
    for each in made:
        await each.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it takes minutes: `make test` and `make ci` run it, `make check` doesn't."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
