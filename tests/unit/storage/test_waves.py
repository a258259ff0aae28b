"""Waves in the database: small, counted, and each account's state always that of its request."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from engine.wave_unit import request_for
from handlers.admin_room.wave_review import review_of
from removal.audit_action import AuditAction
from removal.lifecycle import Cancelled, StepDone, StepStarted
from removal.plan import Options, Step, proofs_for
from removal.request import State, StepState
from removal.wave import MemberState, WaveState
from storage import requests, waves
from storage.database import Database, StorageError
from storage.packing import pack, unpack
from tests.support.made_requests import moderation
from tests.support.made_waves import NOW, wave
from texts import Texts

ACCOUNTS = 300
FIRST_WAY = "z1:t46BxiVG5R6+m&0wemv?Fhtrgt_1)"
ANSWERS: dict[Step, dict[str, Any]] = {
    Step.SNAPSHOT: {"room_count": 7, "threepids": ""},
    Step.DEACTIVATE: {"erase": True, "id_server_unbind_result": "success"},
    Step.WAIT: {"rooms": 0, "repairs": 0},
    Step.VERIFY: {"proofs": {proof.value: True for proof in proofs_for(Options(erase=True))}},
}


def users(count: int) -> list[str]:
    """Matrix IDs as spam accounts have them."""
    return [f"@pills-and-more-{number:05}:matrix.example.org" for number in range(count)]


async def fill(database: Database, count: int) -> int:
    """A wave whose accounts have all been looked at; returns its number."""
    async with database.transaction() as tx:
        stored = await waves.add(tx, wave(count, id=0, state=WaveState.RUNNING, options=Options(erase=True)))
        await waves.name(tx, stored.id, users(count))
        facts = {"facts": {"displayname": "Dr. Pill", "created_ts": NOW, "last_seen_ts": NOW, "rooms": 7}}
        await waves.looked_at(tx, stored.id, [(user, MemberState.WAITING, facts) for user in users(count)])
    return stored.id


def units(database: Database) -> UnitsOfWork:
    """Units of work on this database."""
    return UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom("!admins:lethe.test"))


async def test_an_account_takes_less_than_three_kilobytes(database: Database, path: Path) -> None:
    """From the list to the last proof with its audit: 20,000 of them stay below 60 MB."""

    async def size() -> int:
        async with database.transaction() as tx:
            pages, page = await tx.one("PRAGMA page_count"), await tx.one("PRAGMA page_size")
        assert pages is not None
        assert page is not None
        return int(pages[0]) * int(page[0])

    before = await size()
    wave_id = await fill(database, ACCOUNTS)
    async with database.transaction() as tx:
        stored = await waves.get(tx, wave_id)
        assert stored is not None
        members = await waves.members(tx, wave_id)
    for member in members:
        async with units(database).begin() as unit:
            request = await waves.begin(unit.tx, wave_id, request_for(stored, member, NOW))
            await unit.audit(AuditAction.CONFIRMED, request, actor="@moderator:example.org", why="spam", wave="B1")
            while (record := request.current_step) is not None and request.state is State.RUNNING:
                if record.step is not Step.SUSPEND:
                    request = (await unit.apply(request, StepStarted(record.step))).request
                done = StepDone(record.step, ANSWERS.get(record.step, {}))
                request = (await unit.apply(request, done)).request
            assert request.state is State.DONE
    assert (await size() - before) / ACCOUNTS < 3_000
    async with database.transaction() as tx:
        assert await waves.counts(tx, wave_id) == Counter({"done": ACCOUNTS})
        kept = await requests.get(tx, 5)
        assert kept is not None
        assert kept.proofs
        assert all(held for _, held in kept.proofs)
        assert await requests.listing(tx, only_open=False, limit=20) == []  # a wave is one line, not 300
        assert await tx.one("SELECT 1 FROM outbox") is None


async def test_an_accounts_state_follows_its_request(database: Database) -> None:
    """Whoever changes the request."""
    wave_id = await fill(database, 2)
    async with units(database).begin() as unit:
        stored = await waves.get(unit.tx, wave_id)
        assert stored is not None
        (first, second) = await waves.members(unit.tx, wave_id)
        request = await waves.begin(unit.tx, wave_id, request_for(stored, first, NOW))
        assert await waves.at_work(unit.tx, wave_id) == [request.id]
        decision = await unit.apply(request, Cancelled("@moderator:example.org"))
        assert decision.request.state is State.RELEASING
        assert await waves.counts(unit.tx, wave_id) == Counter({"releasing": 1, "waiting": 1})
        assert await requests.in_state(unit.tx, State.RELEASING) == []  # the single removals' runner leaves it alone
        assert await requests.due(unit.tx, NOW + 10**9) == []
        assert (await waves.member(unit.tx, wave_id, second.user_id)) == second


@pytest.mark.parametrize("reason", ["", "spam wave", "“quotes” ünd more"])
def test_what_is_packed_comes_back(reason: str) -> None:
    """Whole, and what was stored in clear is read, too."""
    data = moderation(reason=reason).to_dict()
    packed = pack(data)
    assert len(packed) < 1_500
    assert packed.startswith("z2:")
    assert unpack(packed)["reason"] == reason
    assert unpack('{"reason": "x"}') == {"reason": "x"}


def test_what_an_older_version_packed_is_read() -> None:
    """Each way of packing stays readable for ever: this is a row that was stored with the first one."""
    assert unpack(FIRST_WAY) == {"reason": "spam wave", "questions": [], "erase": True, "wave_id": 3}


async def test_a_finished_request_of_a_wave_takes_little_room(database: Database) -> None:
    """Twenty thousand of them. Where the model has grown, what they have in common is stored anew, under a new mark."""
    wave_id = await fill(database, 1)
    async with units(database).begin() as unit:
        stored = await waves.get(unit.tx, wave_id)
        assert stored is not None
        (member,) = await waves.members(unit.tx, wave_id)
        request = request_for(stored, member, NOW)
        for number, record in enumerate(request.steps):
            begun, answer = NOW + number * 317, ANSWERS.get(record.step, {})
            done = replace(record, state=StepState.DONE, started_ts=begun, ended_ts=begun + 97, answer=answer)
            request = request.with_step(done)
    ended = replace(request, state=State.DONE, ended_ts=NOW + 9_999, version=9)
    assert len(pack(ended.to_dict())) < 550


async def test_what_a_confirmed_wave_has_not_begun_yet_counts_for_its_requesters_cap(database: Database) -> None:
    """Several waves that are confirmed one right after the other can't all stay below it."""
    wave_id = await fill(database, 7)
    async with database.transaction() as tx:
        stored = await waves.get(tx, wave_id)
        assert stored is not None
        assert await requests.confirmed_since(tx, stored.requester_id, NOW) == 0  # nobody has confirmed it
        stored = await waves.save(tx, replace(stored, confirmer_id=stored.requester_id, confirmed_ts=NOW))
        first = (await waves.members(tx, wave_id))[0]
        await waves.begin(tx, wave_id, request_for(stored, first, NOW))
        assert await requests.confirmed_since(tx, stored.requester_id, NOW) == 7
        assert await requests.confirmed_since(tx, stored.requester_id, NOW + 1) == 0
        assert await requests.confirmed_since(tx, "@somebody:example.org", NOW) == 0


async def test_the_frozen_list_has_a_digest(database: Database) -> None:
    """The same as the review's, as long as nobody comes on or goes off."""
    wave_id = await fill(database, 5)
    async with database.transaction() as tx:
        stored = await waves.get(tx, wave_id)
        assert stored is not None
        shown = await review_of(tx, stored, NOW)
        assert await waves.digest(tx, wave_id) == (shown.count, shown.digest)
        await waves.looked_at(tx, wave_id, [(users(5)[2], MemberState.EXCLUDED, None)])
        assert (await waves.digest(tx, wave_id))[1] != shown.digest


async def test_changes_that_are_stored_together_are_stored_once(database: Database) -> None:
    """What changes several times in one unit is written once, as it is at the end, with its account's state; and never
    over what somebody else stored in between."""
    wave_id = await fill(database, 2)
    async with units(database).begin() as unit:
        stored = await waves.get(unit.tx, wave_id)
        assert stored is not None
        made = [
            await waves.begin(unit.tx, wave_id, request_for(stored, member, NOW))
            for member in await waves.members(unit.tx, wave_id)
        ]
    async with units(database).begin() as unit, unit.together([request.id for request in made]):
        for request in made:
            now = (await unit.apply(await unit.request(request.id), StepDone(Step.SUSPEND))).request
            await unit.apply(now, StepStarted(Step.SNAPSHOT))
        await unit.apply(await unit.request(made[1].id), Cancelled("@moderator:example.org"))
    async with database.transaction() as tx:
        first, second = await requests.get_all(tx, [request.id for request in made])
        assert (first.version, second.version) == (made[0].version + 1, made[1].version + 1)
        assert first.current_step is not None
        assert first.current_step.step is Step.SNAPSHOT
        assert second.state is State.RELEASING
        assert await waves.counts(tx, wave_id) == Counter({"running": 1, "releasing": 1})
    with pytest.raises(StorageError, match=first.reference):
        async with units(database).begin() as unit, unit.together([first.id]):
            await unit.apply(await unit.request(first.id), StepDone(Step.SNAPSHOT))
            await requests.save(unit.tx, first)
    async with database.transaction() as tx:
        assert await requests.get(tx, first.id) == first
