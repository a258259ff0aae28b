"""Moves every request forward: steps that are due, prompts that expire, scheduled removals.

Intent, act, outcome: each step is stored as started before it is done, and its outcome after. A restart goes on from
the rows alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from engine.about import about
from engine.failures import Problem, classify, step_failed
from engine.metrics import Stopwatch
from engine.steps import Steps
from engine.unit_of_work import UnitOfWork, UnitsOfWork
from homeserver.client.api import HomeserverError
from homeserver.client.backoff import Backoff, Outage
from removal.lifecycle import Event, NoChange, StepDone, StepFailed, StepStarted, TimePassed, decide
from removal.plan import Kind, Step
from removal.request import Failure, Request, State
from storage import inbox, requests
from storage.database import StorageError

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 4
"""Requests worked on at once: above four, Synapse only answers later, not more (measured, see docs/design.md)."""
WAITS = frozenset({Step.REDACT, Step.WAIT, Step.VERIFY})
"""Steps that mostly wait for background work of the homeserver; the last one, where rooms were still open."""
LONGEST_NAP_MS = 30_000
NUDGES_APART = 30.0
"""Seconds."""
ASKS_FOR = 10.0
"""Seconds after which a step that hasn't failed counts as an answer: it may take hours."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 600.0
"""Seconds between looks whether a person's own removal may begin, while the homeserver can't be asked."""

Recheck = Callable[[Request], Awaitable[bool]]


class Runner:
    """One task per request at work; one loop that starts them and watches the clock."""

    def __init__(
        self,
        units: UnitsOfWork,
        steps: Steps,
        recheck: Recheck,
        synced_ts: Callable[[], int],
        backoff: Callable[[], Backoff] = lambda: Backoff(FIRST_WAIT, LONGEST_WAIT),
        outage: Outage | None = None,
        observe: Callable[[Step, float, bool], None] = lambda step, seconds, well: None,
    ) -> None:
        """
        Args:
            recheck: called before anything is changed: reads the confirmation and the account again, says whether the
                removal may begin, and brings the request to where it belongs if not.
            synced_ts: everything sent before this time (ms) has been received.
            backoff: makes the waits of a removal that can't begin.
            observe: told of each attempt at a step, how long it took, and whether it went well.
            outage: how long all leave a homeserver alone that doesn't answer.
        """
        self._observe = observe
        self._units = units
        self._steps = steps
        self._recheck = recheck
        self._synced_ts = synced_ts
        self._active: dict[str, int] = {}
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)
        self._at_once = True  # the bot has just started
        self._nudged = -NUDGES_APART
        self._back = asyncio.Event()
        self._new_backoff = backoff
        self._backoffs: dict[int, Backoff] = {}
        self._outage = outage or Outage()
        self._asking: int | None = None
        """The one request that, during an outage, finds out whether it is over."""
        self._asking_since = 0.0

    def nudge(self) -> None:
        """Failed steps are tried at once: the homeserver answers again. Not more often than every half minute, so
        that one which answers every other time isn't asked without a pause."""
        now = asyncio.get_running_loop().time()
        if now >= self._nudged + NUDGES_APART:
            self._at_once, self._nudged = True, now
            self._outage.answered()
            self._back.set()  # wakes those who wait now, and nobody later
            self._back.clear()

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    nap = await self._look(tasks)
                except StorageError as error:
                    log.error("can't look for work: %s", error)
                    nap = 5.0
                seen = await self._units.wait_for_change(seen, nap, "requests")

    async def _look(self, tasks: asyncio.TaskGroup) -> float:
        """Starts what is due; returns the seconds until the next look."""
        if self._units.unbroken.closing:
            return LONGEST_NAP_MS / 1000
        now = self._units.clock()
        at_once, self._at_once = self._at_once, False
        async with self._units.database.transaction() as tx:
            due = await requests.due(tx, now)
            if at_once:
                known = {request.id for request in due}
                for state in (State.RUNNING, State.RELEASING):
                    due += [r for r in await requests.in_state(tx, state) if r.id not in known]
            wake = await requests.next_wake(tx, now)
            # What was sent before a prompt's end may be received and not yet handled: then it hasn't expired yet.
            synced_ts = self._synced_ts() if await inbox.caught_up(tx) else 0
        waiting = False
        for request in due:
            due_ts = request.due_ts or 0
            if request.state is State.SCHEDULED and now >= due_ts and not self._units.reached(due_ts):
                continue  # looked at again after a nap
            begins = request.kind is Kind.OWN and request.state is State.SCHEDULED and now >= due_ts
            if begins or request.state in (State.RUNNING, State.RELEASING):
                if request.target_id not in self._active and (begins or self._may_ask(request)):
                    self._active[request.target_id] = request.id
                    tasks.create_task(self._bring_forward(request))
            else:
                waiting |= not await self._time_passed(request.id, synced_ts)
        if waiting:
            return 1.0
        if self._outage.on and self._asking is None and (wait := self._outage.seconds()) > 0:
            wake = min(wake or now + LONGEST_NAP_MS, now + int(wait * 1000))
        return min(max((wake or now + LONGEST_NAP_MS) - now, 50), LONGEST_NAP_MS) / 1000

    def _may_ask(self, request: Request) -> bool:
        """Whether this request may go on: always, but during an outage, when one at a time finds out."""
        if not self._outage.on:
            return True
        now = asyncio.get_running_loop().time()
        if self._asking is not None and now > self._asking_since + ASKS_FOR:
            self._outage.answered()
            return True
        if self._asking is not None or self._outage.seconds() > 0:
            return False
        self._asking, self._asking_since = request.id, now
        return True

    async def _time_passed(self, request_id: int, synced_ts: int) -> bool:
        async with self._units.begin() as unit:
            request = await unit.request(request_id)
            decision = await unit.apply(request, TimePassed(synced_ts))
        return not decision.refusal

    async def _bring_forward(self, request: Request) -> None:
        nudged = self._nudged
        about(request.reference)
        try:
            await self._work(request)
            self._backoffs.pop(request.id, None)
        except StorageError as error:
            # Nothing is done that couldn't be recorded: the step is tried again once the database can be written.
            log.error("%s is stuck: %s", request.reference, error)
            await asyncio.sleep(5)
        except HomeserverError as error:
            wait = self._backoffs.setdefault(request.id, self._new_backoff()).next_wait(error)
            log.warning("%s can't start yet: %s. Trying again in %.0f s.", request.reference, error, wait)
            if nudged == self._nudged:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._back.wait()
        except Exception:
            log.exception("%s is stuck", request.reference)
            await asyncio.sleep(30)
        finally:
            self._active.pop(request.target_id, None)
            if self._asking == request.id:
                self._asking = None
            self._units.notify("requests")

    async def _work(self, request: Request) -> None:
        request_id = request.id
        if request.state is State.SCHEDULED:
            # The clock first: the last look asks the homeserver many things, and would ask them again each second.
            passed = TimePassed(self._synced_ts())
            if decide(request, passed, self._units.clock()).refusal is NoChange.NOT_YET:
                await asyncio.sleep(1)  # it is due, and the homeserver isn't heard yet
                return
            # A person isn't told that it begins before it was looked whether it may.
            if not await self._recheck(request):
                return
        early = False
        async with self._units.begin() as unit:
            if request.state is State.SCHEDULED:
                decision = await unit.apply(await unit.request(request_id), TimePassed(self._synced_ts()))
                early = decision.refusal is NoChange.NOT_YET
            begun = await self._begin(unit, request_id)
        if early:
            await asyncio.sleep(1)  # it is due, and the homeserver isn't heard yet
        while begun is not None:
            request, step = begun
            async with self._turn(step):
                event = await self._attempt(request, step)
                if self._units.unbroken.closing and step is Step.SNAPSHOT:
                    return  # at the next start the confirmation is looked at again, before the first change
                begun = await self._ended(request, step, event)

    @asynccontextmanager
    async def _turn(self, step: Step) -> AsyncIterator[None]:
        """A slot for a step and its record, which aren't broken off then. A step that only waits for the homeserver's
        background work needs no slot, and can be broken off."""
        if step in WAITS:
            yield
            return
        async with self._slots, self._units.unbroken.piece():
            yield

    async def _ended(self, request: Request, step: Step, event: Event | None) -> tuple[Request, Step] | None:
        """Stores a step's outcome, and that the next one is begun; None where there is none to do now."""
        # One transaction: neither a crash nor a stop comes between the last look at the confirmation, which ends the
        # snapshot, and the first step that changes something.
        stopping = self._units.unbroken.closing and step is not Step.SNAPSHOT
        async with self._units.begin() as unit:
            if event is not None:
                request = (await unit.apply(await unit.request(request.id), event)).request
            later = event is not None and request.retry_ts is not None
            begun = None if later or stopping else await self._begin(unit, request.id)
        if isinstance(event, StepFailed):
            log.warning("%s: step %s failed (%s): %s", request.reference, step, event.failure, event.cause)
        return begun

    async def _begin(self, unit: UnitOfWork, request_id: int) -> tuple[Request, Step] | None:
        """Stores that the next step is begun; None where there is none to do now."""
        request = await unit.request(request_id)
        if request.state is State.RELEASING:
            return request, Step.RELEASE
        record = request.current_step
        if request.state is not State.RUNNING or record is None:
            return None
        return (await unit.apply(request, StepStarted(record.step))).request, record.step

    async def _attempt(self, request: Request, step: Step) -> Event | None:
        """Does a step, and measures it; None where the check before the first change ended the request."""
        watch = Stopwatch()
        event = await self._try(request, step)
        self._observe(step, watch.seconds(), not isinstance(event, StepFailed))
        log.info("step %s ended after %.1f s", step, watch.seconds())
        return event

    async def _try(self, request: Request, step: Step) -> Event | None:
        try:
            answer = await self._do(step, request)
            self._outage.answered()
            if step is Step.SNAPSHOT and not await self._recheck(request):
                return None
            return StepDone(step, answer)
        except _GivenUp:
            return None
        except Problem as problem:
            return await step_failed(self._steps, step, request, problem)
        except HomeserverError as error:
            self._outage.failed(error)
            return await step_failed(self._steps, step, request, classify(error, request, step))
        except Exception as error:
            # Whatever else went wrong: the outcome is unknown, so it is looked at again.
            log.exception("%s: step %s", request.reference, step)
            unknown = Problem(Failure.PASSING, f"unexpected: {type(error).__name__}, see the log")
            return await step_failed(self._steps, step, request, unknown)

    async def _do(self, step: Step, request: Request) -> dict[str, Any]:
        """Does a step. A redaction, which Synapse does by itself, is followed only while the request goes on.

        Raises:
            _GivenUp: the request was cancelled meanwhile.
        """
        work = asyncio.ensure_future(self._steps.do(step, request))
        if step is not Step.REDACT:
            return await work
        try:
            seen = self._units.changes("requests")
            while not work.done():
                change = asyncio.ensure_future(self._units.wait_for_change(seen, None, "requests"))
                await asyncio.wait({work, change}, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                seen = self._units.changes("requests")
                async with self._units.database.transaction() as tx:
                    now = await requests.get(tx, request.id)
                if now is not None and now.state is not State.RUNNING:
                    raise _GivenUp
            return work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


class _GivenUp(Exception):
    """The request ended while a step was waiting."""
