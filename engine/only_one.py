"""Two bots with one account, such as one from a copied data_dir: they notice each other, and the younger stops.

The lock on the data directory can't tell: the other one has a directory of its own. So each run leaves a note in the
account's data (homeserver/client/running.py). At its start a bot reads the note of the run before it. Where nobody
knows that this one has ended, it leaves its own and waits for an answer before it does anything else; a bot that hears
the note of a younger one in its sync writes its own again, which is the answer. Both go on listening while they run.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from homeserver.client.api import HomeserverError, Refused
from homeserver.client.backoff import patiently
from homeserver.client.running import Running
from removal.audit_action import AuditAction
from texts import Template

log = logging.getLogger(__name__)

ANSWERS_WITHIN = 5.0
"""Seconds that another run has for its answer. It hears us at once where it hears the homeserver at all."""
LOOK_EVERY = 0.25
FAREWELL_WITHIN = 2.0
"""Seconds that the end of a run may be held up by saying so."""


class AnotherRuns(Exception):
    """An older bot runs with the same account. `str()` says which, and what to do."""

    def __init__(self, other: Running) -> None:
        since = datetime.fromtimestamp(other.started_ts / 1000, UTC)
        super().__init__(
            f"another Lethe runs with this account, on {other.host} since {since:%Y-%m-%d %H:%M:%S} UTC, with a "
            "data_dir of its own. Two of them would do everything twice, so this one, the younger, stops. If this is "
            "the one you want, stop the other first and start this one again"
        )


class Note(Protocol):
    """What is needed of homeserver.client.running.RunningNote."""

    async def read(self) -> Running | None: ...
    async def write(self, running: Running) -> None: ...


class OnlyOne:
    """One run's side of it.

    Args:
        note: the note of this account.
        clock: the homeserver's, milliseconds since 1970.
    """

    def __init__(self, note: Note, clock: Callable[[], int], *, patience: float = ANSWERS_WITHIN) -> None:
        self._note = note
        self._clock = clock
        self._patience = patience
        self._us = Running(secrets.token_hex(8), socket.gethostname(), 0)
        self._heard: asyncio.Queue[Running] = asyncio.Queue()
        self._told: set[str] = set()
        self._stands = False

    @property
    def run(self) -> str:
        """The name of this run."""
        return self._us.run

    async def begin(self, known_dead: str | None) -> None:
        """Leaves our note. Waits while the homeserver is away.

        Args:
            known_dead: the run that is known to have ended without a word; None for none.

        Raises:
            AnotherRuns: an older one answers.
        """
        try:
            before = await patiently(self._note.read, log)
            self._us = replace(self._us, started_ts=self._clock())
            await self._write()
            self._stands = True
            if before is not None and not before.ended and before.run != known_dead:
                log.info("The last run, on %s, didn't say that it ended: asking whether it still runs.", before.host)
                await self._wait_for_answer()
        except Refused as error:
            log.warning("Whether another Lethe runs with this account can't be told: %s", error)

    async def _wait_for_answer(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        while loop.time() < end:
            await asyncio.sleep(LOOK_EVERY)
            now = await patiently(self._note.read, log)
            if now is not None:
                await self._compare(now)

    async def _write(self) -> None:
        await patiently(lambda: self._note.write(self._us), log)

    async def _compare(self, other: Running) -> None:
        """Makes the note ours again where it is a younger one's.

        Raises:
            AnotherRuns: it is an older one's.
        """
        if other.run == self._us.run:
            return
        if not other.ended and other.older_than(self._us):
            self._stands = False
            raise AnotherRuns(other)
        await self._write()

    def heard(self, running: Running | None) -> None:
        """A sync brought the note."""
        if running is not None and running.run != self._us.run:
            self._heard.put_nowait(running)

    async def listen(self, units: UnitsOfWork, admin_room: CurrentAdminRoom) -> None:
        """Answers younger ones until cancelled, and tells the admin room of each.

        Raises:
            AnotherRuns: an older one spoke.
        """
        while True:
            other = await self._heard.get()
            try:
                # Synapse answers the same sync twice from memory, for two minutes: what was heard may be the note of
                # a run that was killed meanwhile. Only what stands there now counts.
                now = await patiently(self._note.read, log)
                if now is None or now.run == self._us.run:
                    continue
                other = now
                await self._compare(other)
            except Refused as error:
                log.warning("The other Lethe, on %s, can't be answered: %s", other.host, error)
            if other.ended or other.run in self._told:
                continue
            self._told.add(other.run)
            log.warning("Another Lethe was started with this account, on %s. It was told to stop.", other.host)
            async with units.begin() as unit:
                await unit.audit(AuditAction.ANOTHER_BOT_STARTED, host=other.host, started_ts=other.started_ts)
                await unit.messages.post(
                    admin_room.room_id,
                    Template.ANOTHER_BOT,
                    f"another bot {other.run}",
                    host=other.host,
                    started_ts=other.started_ts,
                )

    async def end(self) -> None:
        """Says that this run ends, so that the next one needn't wait. Not being able to is no harm."""
        if not self._stands:
            return
        try:
            async with asyncio.timeout(FAREWELL_WITHIN):
                await self._note.write(replace(self._us, ended=True))
        except (HomeserverError, TimeoutError) as error:
            log.info("The homeserver can't be told that this run ends: %s", error)
