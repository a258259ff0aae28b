"""One address asks without end; others don't notice."""

from __future__ import annotations

import asyncio
import logging
import time

from tests.support.browser import page_settings
from tests.support.direct_room import MakeScene
from tests.support.page_client import PageClient

log = logging.getLogger(__name__)

SECONDS = 60
PER_SECOND = 60
PATIENCE = 1.0
"""Seconds in which everybody else gets their page."""


async def test_a_flood_from_one_address_keeps_nobody_waiting(scene: MakeScene) -> None:
    """60 requests a second for a minute: they are turned away, while somebody from another address gets page after
    page, begins visits and is asked to log in, each within a second."""
    stage = await scene(self_service=page_settings())
    greedy = PageClient(stage, headers={"X-Forwarded-For": "203.0.113.7"})
    statuses: list[int] = []
    waits: list[float] = []
    asking: set[asyncio.Task[None]] = set()

    async def ask() -> None:
        statuses.append((await greedy.get("/")).status)

    async def others() -> None:
        for number in range(SECONDS - 5):
            client = PageClient(stage, headers={"X-Forwarded-For": f"198.51.100.{number}"})
            for method, path, status in (("GET", "/", 200), ("POST", "/start", 303), ("GET", "/log-in", 200)):
                began = time.perf_counter()
                assert (await client.ask(method, path)).status == status
                waits.append(time.perf_counter() - began)
            await asyncio.sleep(1)

    watching = asyncio.create_task(others())
    began = time.perf_counter()
    for number in range(SECONDS * PER_SECOND):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
        asking.add(asyncio.create_task(ask()))
    lasted = time.perf_counter() - began
    await asyncio.gather(*asking)
    await watching
    waits.sort()
    log.warning(
        "%d requests in %.1f s, %d turned away; the others' %d pages: median %.0f ms, worst %.0f ms",
        len(statuses), lasted, statuses.count(429), len(waits), waits[len(waits) // 2] * 1000, waits[-1] * 1000,
    )  # fmt: skip
    assert len(statuses) == SECONDS * PER_SECOND
    assert lasted < SECONDS * 1.5
    assert statuses.count(429) >= len(statuses) - 3 * 120  # 120 a minute are let through
    assert waits[-1] < PATIENCE
