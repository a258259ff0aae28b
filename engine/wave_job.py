"""One wave at work, from where it stands until nothing is left to do, or until it is paused."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from engine.failures import Problem, classify, step_failed
from engine.pace_keeper import PaceKeeper
from engine.recorder import Recorder
from engine.unit_of_work import UnitOfWork, UnitsOfWork
from engine.wave_steps import ChangedMeanwhile, WaveSteps
from engine.wave_unit import UnknownWave, WaveUnit, request_for
from homeserver.client.api import HomeserverError
from homeserver.client.backoff import Outage
from homeserver.client.pace import Pace
from homeserver.client.stopping import Stopped, unless
from removal.audit_action import AuditAction
from removal.lifecycle import Cancelled, Event, StepDone
from removal.plan import Step
from removal.request import ACTING, Failure, Request, State, StepState
from removal.wave import AT_WORK, ENDED, MemberState, Settled, Wave, WaveState
from storage import requests, waves
from storage.database import StorageError
from storage.waves import Member

log = logging.getLogger(__name__)

BATCH = 50
"""Accounts that get their requests in one transaction."""
IN_FLIGHT = 200
"""Accounts under way at once. Most of them wait: for their turn, and until their rooms are looked at again."""
ATTEMPTS = 4
"""After so many attempts at a step, an account is left behind as open: the wave ends without it, it goes on."""
SHOW_EVERY = 5.0
"""Seconds between two edits of a wave's message."""


@dataclass(slots=True)
class Back:
    """How often the homeserver has come back."""

    times: int = 0


@dataclass(frozen=True, slots=True)
class Tools:
    """What every wave is carried out with."""

    units: UnitsOfWork
    steps: WaveSteps
    """Their calls go through `pace`."""
    pace: Pace
    keeper: PaceKeeper
    outage: Outage = field(default_factory=Outage)
    back: Back = field(default_factory=Back)


class Job:
    """One wave, from where it stands until nothing is left to do, or until it is paused."""

    def __init__(self, tools: Tools, wave_id: int, *, hurry: bool) -> None:
        """Args: hurry: makes no room for others."""
        self._tools = tools
        self._units = tools.units
        self._wave_id = wave_id
        self._hurry = hurry
        self._recorder = Recorder(self._units, wave_id)
        self._ready: deque[int] = deque()
        self._later: list[tuple[float, int]] = []
        self._ended: deque[float] = deque()
        self._shown: tuple[object, ...] = ()
        self._back_seen = tools.back.times
        self._stopped = asyncio.Event()
        """Set while the wave is paused or cancelled: then nobody waits for a turn."""

    async def run(self) -> None:
        """Carries it out. Raises: StorageError."""
        async with _beside(self._recorder.run()), _beside(self._show_progress()), _beside(self._watch()):
            wave = await self._wave()
            if wave.state is WaveState.RUNNING:
                with self._tools.pace.hurry():
                    await self._suspend_all()
            if self._hurry:
                with self._tools.pace.hurry():
                    await self._bring_forward()
            else:
                async with _beside(self._tools.keeper.run()):
                    await self._bring_forward()
        await self._settle()

    async def _wave(self) -> Wave:
        async with self._units.database.transaction() as tx:
            found = await waves.get(tx, self._wave_id)
        if found is None:
            raise UnknownWave(self._wave_id)
        return found

    # --- all are suspended first ---

    async def _suspend_all(self) -> None:
        """At full speed, whatever else: as long as one of them can write, the wave goes on."""
        queue: asyncio.Queue[Request | None] = asyncio.Queue(2 * BATCH)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._tools.pace.most):
                group.create_task(self._suspend_from(queue))
            while batch := await self._next_batch():
                for request in batch:
                    await queue.put(request)
            for _ in range(self._tools.pace.most):
                await queue.put(None)

    async def _suspend_from(self, queue: asyncio.Queue[Request | None]) -> None:
        outcomes: set[asyncio.Task[None]] = set()
        while (request := await queue.get()) is not None:
            async with self._units.unbroken.piece():
                event = await self._attempt(request, Step.SUSPEND)
                # What is stored next needn't be awaited before the next one is suspended.
                outcome = asyncio.ensure_future(self._suspended(request, event))
                outcomes.add(outcome)
                outcome.add_done_callback(outcomes.discard)
                if self._units.unbroken.closing:
                    await outcome
        await asyncio.gather(*outcomes)

    async def _suspended(self, request: Request, event: Event) -> None:
        try:
            await self._recorder.store(request.id, event)
        except StorageError as error:  # it is suspended once more then, which does no harm
            log.error("%s stands still: %s", request.reference, error)
        except Exception:
            log.exception("%s stands still", request.reference)

    async def _next_batch(self) -> list[Request]:
        """The next accounts, each with a request of its own whose suspension is begun. None where the wave isn't
        running any more."""
        begun: list[Request] = []
        async with self._units.begin(quiet=True) as unit:
            wave = await WaveUnit(unit).get(self._wave_id)
            if wave.state is not WaveState.RUNNING:
                return []
            while not begun:
                waiting = await waves.members(unit.tx, wave.id, (MemberState.WAITING,), limit=BATCH)
                if not waiting:
                    return []
                for member in waiting:
                    request = await self._begin_member(unit, wave, member)
                    if request is not None:
                        begun.append(request)
        return begun

    async def _begin_member(self, unit: UnitOfWork, wave: Wave, member: Member) -> Request | None:
        others = await requests.open_for(unit.tx, member.user_id)
        other = next((each for each in others if each.state in ACTING), None)
        if other is not None:
            because = {"because": f"under way already as {other.reference}"}
            await waves.looked_at(unit.tx, wave.id, [(member.user_id, MemberState.CANCELLED, because)])
            return None
        request = request_for(wave, member, unit.now)
        request = await waves.begin(unit.tx, wave.id, request)
        await unit.audit(
            AuditAction.CONFIRMED,
            request,
            actor=wave.confirmer_id,
            why=wave.reason,
            wave=wave.reference,
            state=request.state.value,
        )
        return request

    # --- then each goes its own way ---

    async def _bring_forward(self) -> None:
        """Until nothing is left that may be done now, or soon."""
        await self._take_up()
        under_way: set[asyncio.Task[float | None]] = set()
        numbers: dict[asyncio.Task[float | None], int] = {}
        try:
            while True:
                self._take_up_later()
                while self._ready and len(under_way) < IN_FLIGHT:
                    request_id = self._ready.popleft()
                    task = asyncio.create_task(self._member(request_id))
                    under_way.add(task)
                    numbers[task] = request_id
                if not under_way and not self._ready and not await self._wait_for_later():
                    return
                if not under_way:
                    continue
                timeout = max(0.05, self._later[0][0] - asyncio.get_running_loop().time()) if self._later else None
                ended, under_way = await asyncio.wait(under_way, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    retry_in = task.result()
                    request_id = numbers.pop(task)
                    if retry_in is not None:
                        heapq.heappush(self._later, (asyncio.get_running_loop().time() + retry_in, request_id))
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _take_up(self) -> bool:
        """Takes up every account at work that doesn't wait for its time; whether there is any.

        The newest first: what was begun right before a stop may not be suspended yet.
        """
        later = {number for _, number in self._later}
        async with self._units.database.transaction(only_reading=True) as tx:
            found = [number for number in await waves.at_work(tx, self._wave_id) if number not in later]
        self._ready.extend(sorted(found, reverse=True))
        return bool(found)

    def _take_up_later(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._back_seen != self._tools.back.times:
            self._back_seen = self._tools.back.times
            self._ready.extend(request_id for _, request_id in self._later)
            self._later.clear()
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[1])

    async def _wait_for_later(self) -> bool:
        """Whether there is something to wait for; waits for it then."""
        wave = await self._wave()
        if wave.state is WaveState.PAUSED:
            return False
        if await self._take_up():
            return True  # those that stopped for a pause that is over by now
        if not self._later or (wave.state is WaveState.RUNNING and await self._waiting()):
            return False
        if wave.state in AT_WORK and all([await self._left_behind(number) for _, number in self._later]):
            await self._settle(left_behind=True)
        seen = self._units.changes("requests", "waves")
        wait = max(0.05, self._later[0][0] - asyncio.get_running_loop().time())
        await self._units.wait_for_change(seen, min(wait, SHOW_EVERY), "requests", "waves")
        return True

    async def _waiting(self) -> bool:
        """Whether accounts aren't begun yet: a pause ended while others were still under way."""
        async with self._units.database.transaction(only_reading=True) as tx:
            return bool(await waves.members(tx, self._wave_id, (MemberState.WAITING,), limit=1))

    async def _left_behind(self, request_id: int) -> bool:
        async with self._units.database.transaction() as tx:
            request = await requests.get(tx, request_id)
        record = request.current_step if request else None
        return record is None or record.attempts >= ATTEMPTS

    async def _member(self, request_id: int) -> float | None:
        """Brings one account forward; after how many seconds to try again, None where nothing is to be done."""
        event: Event | None = None
        request, step = None, None
        try:
            async with self._units.database.transaction(only_reading=True) as tx:
                request = await requests.get(tx, request_id)
            while request is not None:
                # Its turn is waited for before it is stored that the deactivation is begun: until then it can be
                # cancelled.
                if _follows(request, step) is Step.DEACTIVATE:
                    if event is None or isinstance(event, StepDone):  # else it has to be tried again
                        await self._turn(request_id)
                    try:
                        await self._tools.steps.look_again(request)
                    except ChangedMeanwhile as changed:
                        event = _changed(changed)
                async with self._units.unbroken.piece():
                    request, step = await self._recorder.next(request_id, event)
                    if step is None:
                        break
                    event = await self._attempt(request, step)
                    if not isinstance(event, StepDone):
                        log.warning("%s: step %s: %s", request.reference, step, getattr(event, "cause", event))
                    if self._units.unbroken.closing:
                        # As in engine.runner: at the next start, the snapshot's last look is taken anew.
                        if step is not Step.SNAPSHOT:
                            await self._recorder.store(request_id, event)
                        return 30.0
        except StorageError as error:
            log.error("R%s is stuck: %s", request_id, error)
            return 5.0
        except HomeserverError as error:
            log.warning("R%s has to wait: %s", request_id, error)
            self._tools.outage.failed(error)
            return 5.0
        except Exception:
            log.exception("R%s stands still", request_id)
            return 30.0
        finally:
            self._tools.steps.looked.pop(request_id, None)
            self._tools.steps.turns.end(request_id)
        if request is None or request.state not in (State.RUNNING, State.RELEASING):
            self._ended.append(asyncio.get_running_loop().time())
            return None
        if request.retry_ts is None:
            return None  # paused
        return max(0.0, (request.retry_ts - self._units.clock()) / 1000)

    async def _turn(self, request_id: int) -> None:
        """Waits until this account may be deactivated, or the wave is stopped."""
        with suppress(Stopped):
            await unless(self._stopped, self._tools.steps.turns.take(request_id, hurry=self._hurry))

    async def _watch(self) -> None:
        """Sees whether the wave is stopped."""
        seen = -1
        while True:
            with suppress(StorageError):
                wave = await self._wave()
                if wave.state in (WaveState.PAUSED, WaveState.CANCELLING):
                    self._stopped.set()
                else:
                    self._stopped.clear()
            seen = await self._units.wait_for_change(seen, None, "waves")

    async def _attempt(self, request: Request, step: Step) -> Event:
        steps, outage = self._tools.steps, self._tools.outage
        while (wait := outage.seconds()) > 0:  # noqa: ASYNC110 - another's answer may end it at any time
            await asyncio.sleep(min(wait, 1.0))
        try:
            answer = await steps.do(step, request)
            outage.answered()
            return StepDone(step, answer)
        except ChangedMeanwhile as changed:
            return _changed(changed)
        except Problem as problem:
            return await step_failed(steps, step, request, problem)
        except HomeserverError as error:
            outage.failed(error)
            return await step_failed(steps, step, request, classify(error, request, step))
        except Exception as error:
            log.exception("%s: step %s", request.reference, step)
            unknown = Problem(Failure.PASSING, f"unexpected: {type(error).__name__}, see the log")
            return await step_failed(steps, step, request, unknown)

    # --- what people see of it ---

    async def _show_progress(self) -> None:
        while True:
            await asyncio.sleep(SHOW_EVERY)
            with suppress(StorageError):
                await self._show()

    async def _show(self) -> None:
        async with self._units.begin(quiet=True) as unit:
            wave = await WaveUnit(unit).get(self._wave_id)
            counts = await waves.counts(unit.tx, wave.id)
            seen = (wave.state, *sorted(counts.items()))
            if seen == self._shown or wave.state not in AT_WORK:
                return
            self._shown = seen
            await WaveUnit(unit).show(wave, rate=self._rate())
        self._units.notify("outbox")

    def _rate(self) -> float:
        """Accounts a minute, over the last minute at most."""
        now = asyncio.get_running_loop().time()
        while self._ended and self._ended[0] < now - 60:
            self._ended.popleft()
        if len(self._ended) < 2 or now - self._ended[0] < 1:
            return 0.0
        return 60 * len(self._ended) / (now - self._ended[0])

    async def _settle(self, *, left_behind: bool = False) -> None:
        async with self._units.begin() as unit:
            wave_unit = WaveUnit(unit)
            wave = await wave_unit.get(self._wave_id)
            counts = await waves.counts(unit.tx, wave.id)
            if wave.state is WaveState.CANCELLING:
                await waves.set_state(unit.tx, wave.id, MemberState.WAITING, MemberState.CANCELLED)
                blocked = await waves.members(unit.tx, wave.id, (State.BLOCKED,))
                for member in blocked:
                    if member.request_id is not None:
                        request = await unit.request(member.request_id)
                        decided = Cancelled(wave.ended_by or "", wave.ended_because)
                        counts["running"] += (await unit.apply(request, decided)).refusal is None
            waiting = counts[MemberState.WAITING] if wave.state is WaveState.RUNNING else 0
            under_way = 0 if left_behind else counts[State.RUNNING] + counts[State.RELEASING]
            if not waiting and not under_way and wave.state in AT_WORK:
                await wave_unit.apply(wave, Settled())
            elif not under_way and wave.state in ENDED:
                # Those that took longer than their wave.
                await wave_unit.show(wave)
                await wave_unit.say(wave, "nothing_open", mention=wave.requester_id)


def _changed(changed: ChangedMeanwhile) -> Cancelled:
    return Cancelled("", f"the account isn't what the list showed any more: {', '.join(changed.what)}")


def _follows(request: Request, step: Step | None) -> Step | None:
    """The step that comes behind this one, which was just done; with None the one that is next."""
    if step is None:
        record = request.current_step
        return record.step if record and record.state is not StepState.STARTED else None
    plan = request.plan
    at = plan.index(step) + 1
    return plan[at] if at < len(plan) else None


@asynccontextmanager
async def _beside(work: Awaitable[None]) -> AsyncIterator[None]:
    """Has something run beside; what ends it in error ends this too."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
