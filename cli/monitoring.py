"""The listener for monitoring (`monitoring.listen`): /healthz, /readyz and /metrics, and systemd's watchdog.

/healthz answers 200 while the bot is well and 503 with what is wrong; /readyz answers 200 once it hears its
homeserver; /metrics is Prometheus' text format. Nothing there is secret, and nothing names a person; who may ask is the
business of the address that it listens on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from engine.metrics import Doctor, Metrics

log = logging.getLogger(__name__)

SHUTDOWN = 0.5
"""Seconds that an answer under way gets when the bot is told to stop."""


class Monitoring:
    """Answers monitoring's questions."""

    def __init__(self, doctor: Doctor, metrics: Metrics) -> None:
        self._doctor = doctor
        self._metrics = metrics

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[None]:
        """Listens while the context is entered.

        Raises:
            OSError: the address can't be listened on.
        """
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics_page)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            log.info("Monitoring listens on %s:%d", host, port)
            yield
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        problems = (await self._doctor.look()).problems
        return web.json_response({"ok": not problems, "problems": problems}, status=503 if problems else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._doctor.last_synced_ts is not None
        return web.json_response({"ok": ready}, status=200 if ready else 503)

    async def _metrics_page(self, _: web.Request) -> web.Response:
        seen = (await self._doctor.look()).seen
        if seen is None:
            return web.Response(status=503, text="the database can't be read\n")
        text = self._metrics.text(seen, self._doctor.last_synced_ts, await self._doctor.disk())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def notify(state: str) -> None:
    """Tells systemd (`Type=notify`), where it started this process; else nothing.

    Source: sd_notify(3): one datagram to the socket that NOTIFY_SOCKET names.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_systemd:
            to_systemd.connect(address)
            to_systemd.send(state.encode())
    except OSError as error:
        log.warning("systemd can't be told %r: %s", state, error)


async def keep_watchdog_quiet(doctor: Doctor) -> None:
    """Tells systemd's watchdog that the bot is well, twice in each of its intervals; silence has it restarted.

    A homeserver that is away is no reason: a restart wouldn't help. A database that can't be written is one.
    """
    interval = os.environ.get("WATCHDOG_USEC", "")
    if not interval.isdigit():
        return
    while True:
        if "database" not in (await doctor.look()).problems:
            notify("WATCHDOG=1")
        await asyncio.sleep(int(interval) / 1_000_000 / 2)
