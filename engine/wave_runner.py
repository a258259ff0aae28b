"""Carries waves out: all accounts are suspended first, then each goes its own way as a request of its own.

Intent, act, outcome, as in engine.runner: an account's request is stored with its suspension begun before it is
suspended, and so on with each step. A restart goes on from the rows alone. One account's failure stops no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from engine.wave_job import Job, Tools
from engine.wave_unit import CONTROLS, WaveUnit
from homeserver.client.api import HomeserverError
from homeserver.client.backoff import Backoff
from removal.wave import Begun, TimePassed, Wave, WaveState
from storage import inbox, waves
from storage.database import StorageError

log = logging.getLogger(__name__)

NAP = 30.0
"""Seconds between looks where nothing is expected."""


class LastLooks(Protocol):
    """What is looked at before accounts are touched."""

    async def may_begin(self, wave: Wave) -> bool:
        """Whether the decision still stands; where not, the wave has been brought to where it belongs."""

    async def take_off(self, wave_id: int) -> None:
        """Takes off the list who may not be removed by now and isn't touched yet."""


class WaveRunner:
    """One task for each wave at work."""

    def __init__(self, tools: Tools, last_looks: LastLooks, synced_ts: Callable[[], int]) -> None:
        """
        Args:
            synced_ts: everything sent before this time (ms) has been received.
        """
        self._tools = tools
        self._units = tools.units
        self._last_looks = last_looks
        self._synced_ts = synced_ts
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stragglers_at = 0.0

    def nudge(self) -> None:
        """The homeserver answers again: what failed is tried at once."""
        self._tools.outage.answered()
        self._tools.back.times += 1

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        async with asyncio.TaskGroup() as tasks:
            while True:
                nap = await self._look(tasks)
                seen = await self._units.wait_for_change(seen, nap, "waves")

    async def _look(self, tasks: asyncio.TaskGroup) -> float:
        now = self._units.clock()
        async with self._units.database.transaction() as tx:
            due = await waves.due(tx, now)
            wake = await waves.next_wake(tx, now)
            synced_ts = self._synced_ts() if await inbox.caught_up(tx) else 0
            working = await waves.in_states(tx, (WaveState.RUNNING, WaveState.CANCELLING))
            if asyncio.get_running_loop().time() >= self._stragglers_at:
                self._stragglers_at = asyncio.get_running_loop().time() + NAP
                working += await waves.stragglers(tx)
        for wave in due:
            if wave.state is WaveState.SCHEDULED and not self._units.reached(wave.due_ts or 0):
                continue  # by one of the two clocks only
            async with self._units.begin(quiet=True) as unit:
                decision = await WaveUnit(unit).apply(await WaveUnit(unit).get(wave.id), TimePassed(synced_ts))
            if decision.refusal is None:
                self._units.notify(*unit.tx.changed)
        for wave in working:
            if wave.id not in self._tasks and wave.state is not WaveState.PAUSED:
                self._tasks[wave.id] = tasks.create_task(self._carry_out(wave.id))
        if due:
            return 1.0
        nap = max(0.05, self._stragglers_at - asyncio.get_running_loop().time())
        return nap if wake is None else min(max((wake - now) / 1000, 0.05), nap)

    async def _carry_out(self, wave_id: int) -> None:
        try:
            await self._work(wave_id)
        except StorageError as error:
            log.error("B%s is stuck: %s", wave_id, error)
            await asyncio.sleep(5)
        except HomeserverError as error:
            log.warning("B%s can't start yet: %s", wave_id, error)
            await asyncio.sleep(Backoff(5.0, 60.0).next_wait(error))
        except Exception:
            log.exception("B%s is stuck", wave_id)
            await asyncio.sleep(30)
        finally:
            self._tasks.pop(wave_id, None)
            self._units.notify("waves")

    async def _work(self, wave_id: int) -> None:
        async with self._units.database.transaction() as tx:
            wave = await waves.get(tx, wave_id)
        if wave is None:
            return
        if wave.state is WaveState.RUNNING and wave.begun_ts is None:
            await self._tools.keeper.measure_quiet()
            if not await self._last_looks.may_begin(wave):
                return
            async with self._units.begin() as unit:
                wave_unit = WaveUnit(unit)
                decision = await wave_unit.apply(await wave_unit.get(wave_id), Begun())
                if decision.refusal is None:
                    await wave_unit.react(decision.wave, CONTROLS)
            if decision.refusal is not None:
                return
        if wave.state is WaveState.RUNNING:
            await self._last_looks.take_off(wave_id)
        await Job(self._tools, wave_id, hurry=wave.hurry).run()
