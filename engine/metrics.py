"""What monitoring is told: Prometheus metrics of this process, and whether it is well.

Names follow https://prometheus.io/docs/practices/naming/. No label holds a name of a person, room or request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from removal.plan import Step
from removal.request import ENDED, Request
from storage import overview
from storage.database import Database, StorageError
from storage.disk import Room, room

SYNC_SILENT_MS = 120_000
"""A sync answers within half a minute even where nothing happened; after this long without one, the bot is deaf."""
STUCK_MS = 15 * 60_000
"""So long after it should have gone on, a request counts as stuck."""


class Metrics:
    """The metrics of one process. Counters begin at zero with it."""

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("lethe_build", "The version that runs.", registry=registry).info({"version": version})
        self._open = Gauge("lethe_requests_open", "Requests that haven't ended.", ("kind", "state"), registry=registry)
        self._ended = Counter("lethe_requests_ended", "Requests that ended.", ("kind", "outcome"), registry=registry)
        self._stuck = Gauge("lethe_requests_stuck", "Requests that should have gone on and didn't.", registry=registry)
        self._steps = Histogram(
            "lethe_step_duration_seconds",
            "How long one attempt at a step of a removal took.",
            ("step", "outcome"),
            buckets=(0.05, 0.25, 1, 5, 30, 120, 600, 3600),
            registry=registry,
        )
        self._calls = Histogram(
            "lethe_homeserver_request_duration_seconds",
            "How long the homeserver took to answer; status 0 is no answer.",
            ("method", "path", "status"),
            buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120),
            registry=registry,
        )
        self._synced = Gauge(
            "lethe_sync_last_success_timestamp_seconds", "When the last sync succeeded.", registry=registry
        )
        self._inbox = Gauge(
            "lethe_inbox_events", "Received events that wait, by what they wait for.", ("status",), registry=registry
        )
        self._outbox = Gauge("lethe_outbox_messages", "Messages that wait to be sent.", registry=registry)
        self._oldest = Gauge(
            "lethe_outbox_oldest_timestamp_seconds", "Since when the oldest waits; 0 for none.", registry=registry
        )
        self._used = Gauge("lethe_data_dir_size_bytes", "What the bot's own files take.", registry=registry)
        self._free = Gauge("lethe_data_dir_free_bytes", "What is left on their disk.", registry=registry)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """The homeserver answered.

        Args:
            path: without ids, as in the documentation of the API.
            status: 0 where no answer came.
        """
        self._calls.labels(method, path, str(status)).observe(seconds)

    def step_ended(self, step: Step, seconds: float, well: bool) -> None:
        """An attempt at a step ended."""
        self._steps.labels(step.value, "done" if well else "failed").observe(seconds)

    def changed(self, before: Request, after: Request) -> None:
        """A request's change was committed."""
        if after.state in ENDED and before.state not in ENDED:
            self._ended.labels(after.kind.value, after.state.value).inc()

    def text(self, seen: overview.Overview, last_synced_ts: int | None, disk: Room) -> bytes:
        """In Prometheus' text format, with what waits now."""
        self._used.set(disk.used)
        self._free.set(disk.free)
        self._open.clear()
        for (kind, state), number in seen.open.items():
            self._open.labels(kind, state).set(number)
        self._stuck.set(seen.stuck)
        self._synced.set((last_synced_ts or 0) / 1000)
        self._inbox.labels("pending").set(seen.pending)
        self._inbox.labels("undecryptable").set(seen.undecryptable)
        self._outbox.set(seen.outgoing)
        self._oldest.set((seen.oldest_outgoing_ts or 0) / 1000)
        return generate_latest(self._registry)

    def names(self) -> list[str]:
        """What the metrics are called, those of the process itself left out; docs/operations.md has them all."""
        collected = self._registry.collect()
        return [each.name for each in collected if each.name.startswith("lethe_")]


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong now; nothing where the bot is well."""

    problems: tuple[str, ...]
    seen: overview.Overview | None


class Doctor:
    """Looks whether the bot does what it is for.

    Args:
        last_synced_ts: when the last sync succeeded (ms), None before the first.
        clock: milliseconds since 1970.
    """

    def __init__(self, database: Database, last_synced_ts: Callable[[], int | None], clock: Callable[[], int]) -> None:
        self._database = database
        self._last_synced_ts = last_synced_ts
        self._clock = clock

    @property
    def last_synced_ts(self) -> int | None:
        return self._last_synced_ts()

    async def disk(self) -> Room:
        """The room that the bot's files take. Raises: OSError."""
        return await asyncio.to_thread(room, self._database.path.parent)

    async def look(self) -> Health:
        """Whether sync is alive, the database can be written, and no request is stuck."""
        problems = []
        now, synced = self._clock(), self._last_synced_ts()
        if synced is None or now - synced > SYNC_SILENT_MS:
            problems.append("sync")
        seen = None
        try:
            async with self._database.transaction() as tx:
                await overview.touch(tx, now)
                seen = await overview.look(tx, stuck_before=now - STUCK_MS)
        except StorageError:
            problems.append("database")
        if seen is not None and seen.stuck:
            problems.append("stuck")
        return Health(tuple(problems), seen)


class Stopwatch:
    """Measures seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began
