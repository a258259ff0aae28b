"""One wave at work, without a homeserver: the steps answer what each test has them answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from engine.messages import CurrentAdminRoom
from engine.pace_keeper import PaceKeeper
from engine.turns import GOING, Turns
from engine.unit_of_work import UnitsOfWork
from engine.wave_job import Job, Tools
from engine.wave_steps import ChangedMeanwhile, WaveSteps
from engine.wave_unit import WaveUnit
from homeserver.client.api import Refused, Unreachable
from homeserver.client.pace import Pace
from removal.lifecycle import RetryAsked
from removal.plan import Options, Step, proofs_for
from removal.request import Request, State
from removal.wave import Cancelled, Event, MemberState, Paused, Resumed, Wave, WaveState
from storage import waves
from storage.database import Database
from tests.support.made_requests import moderation
from tests.support.made_waves import NOW, OTHER, wave
from texts import Texts

PROOFS = {"proofs": {proof.value: True for proof in proofs_for(Options())}, "left_over": []}


class ScriptedSteps:
    """Every step succeeds at once, but where a test says otherwise."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.done: list[tuple[Step, str]] = []
        self.instead: dict[tuple[Step, str], Callable[[], Awaitable[dict[str, Any]]]] = {}
        self.looked: dict[int, float] = {}
        self.protected: set[str] = set()
        """Who is found to be protected by the look right before the deactivation."""

    async def do(self, step: Step, request: Request) -> dict[str, Any]:
        self.done.append((step, request.target_id))
        instead = self.instead.get((step, request.target_id))
        if instead is not None:
            return await instead()
        return dict(PROOFS) if step is Step.VERIFY else {}

    async def look_again(self, request: Request) -> None:
        if request.target_id in self.protected:
            raise ChangedMeanwhile(("protected",))

    async def is_undone(self, request: Request) -> bool:
        return (Step.DEACTIVATE, request.target_id) not in self.done

    async def answers(self, request: Request) -> bool:
        return True


class Stage:
    """A database with a confirmed wave in it, and what carries it out."""

    def __init__(self, database: Database, wave_id: int, users: list[str]) -> None:
        self.database, self.wave_id, self.users = database, wave_id, users
        self.units = UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom("!admins:lethe.test"))
        self.steps = ScriptedSteps()
        keeper = PaceKeeper(Pace(4), self.steps.turns, lambda: asyncio.sleep(0))
        self.tools = Tools(self.units, cast(WaveSteps, self.steps), Pace(4), keeper)

    async def run(self) -> None:
        """One job, to its end."""
        async with asyncio.timeout(30):
            await Job(self.tools, self.wave_id, hurry=True).run()

    async def decide(self, event: Event) -> None:
        """Somebody decides something about the wave."""
        async with self.units.begin() as unit:
            decision = await WaveUnit(unit).apply(await WaveUnit(unit).get(self.wave_id), event)
            assert decision.refusal is None

    async def wave(self) -> Wave:
        """As it is now."""
        async with self.database.transaction() as tx:
            found = await waves.get(tx, self.wave_id)
        assert found is not None
        return found

    async def counts(self) -> Counter[str]:
        """Its accounts by state."""
        async with self.database.transaction() as tx:
            return await waves.counts(tx, self.wave_id)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Twelve accounts."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    users = [f"@spam{number:02}:lethe.test" for number in range(12)]
    async with database.transaction() as tx:
        made = wave(len(users), id=0, state=WaveState.RUNNING, begun_ts=NOW, confirmer_id=OTHER, confirmed_ts=NOW)
        stored = await waves.add(tx, made)
        await waves.name(tx, stored.id, users)
        await waves.looked_at(tx, stored.id, [(user, MemberState.WAITING, {"facts": {}}) for user in users])
    yield Stage(database, stored.id, users)
    await database.close()


async def test_all_are_suspended_before_the_first_is_deactivated(stage: Stage) -> None:
    """And each goes through every step once."""
    await stage.run()
    assert (await stage.wave()).state is WaveState.DONE
    assert await stage.counts() == Counter({"done": 12})
    assert {step for step, _ in stage.steps.done[:12]} == {Step.SUSPEND}
    assert set(Counter(stage.steps.done).values()) == {1}


async def test_a_pause_that_ends_while_steps_are_under_way_leaves_nobody_behind(stage: Stage) -> None:
    """Paused and resumed at once, with one account that fails on and on: the others are done, and only it is open."""
    first = stage.users[0]
    paused = asyncio.Event()

    async def away() -> dict[str, Any]:
        raise Unreachable("nobody is there")

    async def pause() -> dict[str, Any]:
        if not paused.is_set():
            paused.set()
            await stage.decide(Paused(OTHER))
        await asyncio.sleep(0.2)
        return {}

    async def resume() -> dict[str, Any]:
        await asyncio.sleep(0.4)
        if (await stage.wave()).state is WaveState.PAUSED:
            await stage.decide(Resumed(OTHER))
        return {}

    stage.steps.instead[Step.SNAPSHOT, first] = away
    stage.steps.instead[Step.SNAPSHOT, stage.users[1]] = pause
    stage.steps.instead[Step.SNAPSHOT, stage.users[2]] = resume
    job = asyncio.create_task(stage.run())
    try:
        async with asyncio.timeout(20):
            while (await stage.counts())["done"] < 11:  # noqa: ASYNC110 - the job tells nobody
                await asyncio.sleep(0.05)
        assert paused.is_set()
        assert (await stage.wave()).state is WaveState.RUNNING
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


async def test_who_is_protected_right_before_the_deactivation_is_set_free(stage: Stage) -> None:
    """The snapshot's look may have been before a stop: the last one is right before what can't be taken back."""
    spared = stage.users[2]
    stage.steps.protected = {spared}
    await stage.run()
    assert (Step.DEACTIVATE, spared) not in stage.steps.done and (Step.RELEASE, spared) in stage.steps.done
    assert await stage.counts() == Counter({"done": 11, "cancelled": 1})


@pytest.mark.parametrize(("event", "state"), [(Cancelled(OTHER), "cancelled"), (Paused(OTHER), "running")])
async def test_a_stopped_wave_waits_for_no_turn(stage: Stage, event: Event, state: str) -> None:
    """Its accounts wait for others, or for a rest to be over: when it is cancelled they are set free at once, when it
    is paused it stands still. Nobody is deactivated."""
    for number in range(1_000, 1_000 + GOING):
        await stage.steps.turns.take(number)
    job = asyncio.create_task(stage.run())
    async with asyncio.timeout(20):
        while Counter(step for step, _ in stage.steps.done)[Step.THREEPIDS] < 12:  # noqa: ASYNC110 - the job tells nobody
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        await stage.decide(event)
        await job
    assert await stage.counts() == Counter({state: 12})
    assert Step.DEACTIVATE not in {step for step, _ in stage.steps.done}


async def test_what_one_account_breaks_keeps_back_no_other(stage: Stage) -> None:
    """A row that can't be read any more stops this account alone, although many are committed together."""
    broken = stage.users[3]

    async def spoil() -> dict[str, Any]:
        async with stage.database.transaction() as tx:
            await tx.run("UPDATE requests SET data = '{}' WHERE target_id = ?", broken)
        return {}

    stage.steps.instead[Step.SUSPEND, broken] = spoil
    job = asyncio.create_task(stage.run())
    try:
        async with asyncio.timeout(20):
            while (await stage.counts())["done"] < 11:  # noqa: ASYNC110 - the job tells nobody
                await asyncio.sleep(0.05)
        assert await stage.counts() == Counter({"done": 11, "running": 1})
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


async def test_an_account_that_another_request_works_on_is_left_alone_and_counted(stage: Stage) -> None:
    """It isn't touched, and the end says that somebody was left alone instead of losing count."""
    busy = stage.users[5]
    async with stage.units.begin() as unit:
        other = await unit.open(moderation(id=0, target_id=busy, state=State.RUNNING))
    await stage.run()
    assert await stage.counts() == Counter({"done": 11, "cancelled": 1})
    assert busy not in {user for _, user in stage.steps.done}
    async with stage.database.transaction() as tx:
        member = await waves.member(tx, stage.wave_id, busy)
    assert member is not None
    assert member.detail == {"because": f"under way already as {other.reference}"}


async def test_cancelled_in_the_middle_what_is_deactivated_is_finished_and_the_rest_set_free(stage: Stage) -> None:
    """Nobody stays suspended, and nobody is deactivated after it."""

    async def cancel() -> dict[str, Any]:
        await stage.decide(Cancelled(OTHER))
        return {}

    stage.steps.instead[Step.DEACTIVATE, stage.users[4]] = cancel
    await stage.run()
    if (await stage.wave()).state is WaveState.CANCELLING:
        await stage.run()
    assert (await stage.wave()).state is WaveState.CANCELLED
    counts = await stage.counts()
    assert set(counts) == {"done", "cancelled"}
    deactivated = {user for step, user in stage.steps.done if step is Step.DEACTIVATE}
    assert counts["done"] == len(deactivated)
    assert {user for step, user in stage.steps.done if step is Step.RELEASE} == set(stage.users)


async def test_what_takes_longer_than_its_wave_is_told_when_it_is_settled(stage: Stage) -> None:
    """The wave's end said that one is open; once it isn't, that is said too."""
    slow = stage.users[0]
    answers = iter([Refused("403", 403)])

    async def refuse_once() -> dict[str, Any]:
        error = next(answers, None)
        if error is not None:
            raise error
        return {}

    stage.steps.instead[Step.THREEPIDS, slow] = refuse_once
    await stage.run()
    assert await stage.counts() == Counter({"done": 11, "blocked": 1})
    async with stage.units.begin() as unit:
        (member,) = await waves.members(unit.tx, stage.wave_id, (State.BLOCKED,))
        request = await unit.request(member.request_id or 0)
        await unit.apply(request, RetryAsked(OTHER))
    await stage.run()
    assert await stage.counts() == Counter({"done": 12})
    async with stage.database.transaction() as tx:
        row = await tx.one("SELECT content FROM outbox WHERE purpose LIKE 'wave.%.nothing_open'")
    assert row is not None
    assert "nothing is open any more" in row["content"]
