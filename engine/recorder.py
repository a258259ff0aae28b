"""Stores what becomes of a wave's accounts: many small changes, committed together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from engine.unit_of_work import UnitOfWork, UnitsOfWork
from removal.lifecycle import Cancelled, Event, StepStarted, can_cancel
from removal.plan import Step
from removal.request import Request, State
from removal.wave import Wave, WaveState
from storage import waves

TOGETHER = 200
"""Changes in one transaction at most, so that nobody else waits long for the database."""


@dataclass(slots=True)
class _Change:
    request_id: int
    event: Event | None
    goes_on: bool
    done: asyncio.Future[tuple[Request, Step | None]]


class Recorder:
    """One for each wave at work. Whoever calls `next` waits until it is committed, with all who called meanwhile."""

    def __init__(self, units: UnitsOfWork, wave_id: int) -> None:
        self._units = units
        self._wave_id = wave_id
        self._waiting: list[_Change] = []
        self._wake = asyncio.Event()

    async def next(self, request_id: int, event: Event | None = None) -> tuple[Request, Step | None]:
        """Stores what happened to a request, and that its next step is begun.

        Args:
            event: what happened; None where the request is only taken up.

        Returns:
            The request, and the step to do now; None where there is none: it has ended, waits, or the wave is paused.

        Raises:
            StorageError: nothing was stored.
        """
        return await self._put(request_id, event, goes_on=True)

    async def store(self, request_id: int, event: Event) -> None:
        """Stores what happened to a request; its next step is begun another time. Raises: StorageError."""
        await self._put(request_id, event, goes_on=False)

    async def _put(self, request_id: int, event: Event | None, *, goes_on: bool) -> tuple[Request, Step | None]:
        change = _Change(request_id, event, goes_on, asyncio.get_running_loop().create_future())
        self._waiting.append(change)
        self._wake.set()
        return await change.done

    async def run(self) -> None:
        """Commits until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                await self._commit(batch)

    async def _commit(self, batch: list[_Change]) -> None:
        try:
            async with self._units.begin(quiet=True) as unit:
                wave = await waves.get(unit.tx, self._wave_id)
                async with unit.together([change.request_id for change in batch]):
                    answers = [await _next(unit, wave, change) for change in batch]
        except Exception as error:
            if len(batch) > 1:  # what can't be stored of one account keeps back no other
                for change in batch:
                    await self._commit([change])
            elif not batch[0].done.done():
                batch[0].done.set_exception(error)
            return
        for change, answer in zip(batch, answers, strict=True):
            if not change.done.done():
                change.done.set_result(answer)


async def _next(unit: UnitOfWork, wave: Wave | None, change: _Change) -> tuple[Request, Step | None]:
    request = await unit.request(change.request_id)
    later = False
    if change.event is not None:
        request = (await unit.apply(request, change.event)).request
        later = request.retry_ts is not None
    if wave is not None and wave.state is WaveState.CANCELLING and can_cancel(request):
        request = (await unit.apply(request, Cancelled(wave.ended_by or "", wave.ended_because))).request
        later = False
    paused = wave is not None and wave.state is WaveState.PAUSED
    if later or paused or not change.goes_on:
        return request, None
    if request.state is State.RELEASING:
        return request, Step.RELEASE
    record = request.current_step
    if request.state is not State.RUNNING or record is None:
        return request, None
    return (await unit.apply(request, StepStarted(record.step))).request, record.step
