"""Requests as rows: what was stored comes back, nobody overwrites what he hasn't seen, and each is found again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from removal.plan import Kind
from removal.request import ENDED, Request, State
from storage import requests
from storage.database import Database, StorageError, Transaction
from tests.support.made_requests import (
    DAY,
    HOUR,
    LEAVER,
    MODERATOR,
    NOW,
    SECOND_MODERATOR,
    SPAMMER,
    YES,
    in_state,
    moderation,
    own,
    play,
)


async def added(tx: Transaction, request: Request) -> Request:
    """Stores a request as new."""
    return await requests.add(tx, replace(request, id=0, version=0))


@pytest.mark.parametrize("state", State)
async def test_a_request_comes_back_as_it_was(database: Database, state: State) -> None:
    """In every state, steps and answers included."""
    async with database.transaction() as tx:
        stored = await added(tx, in_state(state))
        assert stored == replace(in_state(state), id=1, version=1)
        assert await requests.get(tx, 1) == stored
        assert await requests.get(tx, 2) is None


async def test_numbers_are_never_given_twice(database: Database) -> None:
    """R7 means one request for ever, even where a row was lost."""
    async with database.transaction() as tx:
        assert (await added(tx, moderation())).id == 1
        await tx.run("DELETE FROM requests")
        assert (await added(tx, moderation())).id == 2


async def test_nobody_overwrites_what_he_has_not_seen(database: Database) -> None:
    """Of two who read the same version only the first one's change is stored; the second hears it."""
    async with database.transaction() as tx:
        read = await added(tx, moderation())
        first = await requests.save(tx, replace(read, reason="first"))
    with pytest.raises(StorageError, match="R1 was changed by somebody else"):
        async with database.transaction() as tx:
            await requests.save(tx, replace(read, reason="second"))
    async with database.transaction() as tx:
        assert await requests.get(tx, 1) == first
        assert (await requests.save(tx, first)).version == first.version + 1


async def test_open_is_what_has_not_ended(database: Database) -> None:
    """By account, oldest first; and by state."""
    async with database.transaction() as tx:
        for state in State:
            await added(tx, in_state(state))
        await added(tx, moderation(target_id="@other:example.org"))
        found = await requests.open_for(tx, SPAMMER)
        assert [r.state for r in found] == [s for s in State if s not in ENDED and in_state(s).target_id == SPAMMER]
        assert [r.state for r in await requests.in_state(tx, State.BLOCKED)] == [State.BLOCKED]


async def test_due_are_those_whose_time_has_come(database: Database) -> None:
    """The earliest first; what waits for people isn't among them; and the clock hears when the next is."""
    async with database.transaction() as tx:
        for state in (State.SCHEDULED, State.BLOCKED, State.AWAITING_CONFIRMATION, State.RUNNING, State.DONE):
            await added(tx, in_state(state))
        assert [r.state for r in await requests.due(tx, NOW)] == [State.RUNNING]
        assert [r.state for r in await requests.due(tx, NOW + HOUR)] == [State.RUNNING, State.AWAITING_CONFIRMATION]
        assert len(await requests.due(tx, NOW + 2 * DAY)) == 3
        assert await requests.next_wake(tx, NOW) == moderation().expires_ts
        assert await requests.next_wake(tx, NOW + 2 * DAY) is None


async def test_the_newest_are_listed_first(database: Database) -> None:
    """All or the open ones, of one room or of all, at most so many."""
    async with database.transaction() as tx:
        for state in (State.AWAITING_CONFIRMATION, State.DONE, State.RUNNING):
            await added(tx, in_state(state))
        await added(tx, own())
        listed = await requests.listing(tx, only_open=False, limit=10)
        assert [r.id for r in listed] == [4, 3, 2, 1]
        assert [r.id for r in await requests.listing(tx, only_open=True, limit=2)] == [4, 3]
        assert [r.id for r in await requests.listing(tx, only_open=True, limit=9, room_id="!direct:example.org")] == [4]


async def test_confirmed_removals_of_a_moderator_are_counted(database: Database) -> None:
    """For the cap per hour: by who asked, since when, moderators' removals only, however they ended."""
    async with database.transaction() as tx:
        await added(tx, moderation())
        await added(tx, in_state(State.DONE))
        await added(tx, play(moderation(), replace(YES, at_ts=NOW - HOUR)))
        await added(tx, in_state(State.AWAITING_MATRIX_ID))
        assert await requests.confirmed_since(tx, MODERATOR, NOW - HOUR) == 2
        assert await requests.confirmed_since(tx, MODERATOR, NOW - HOUR + 1) == 1
        assert await requests.confirmed_since(tx, SECOND_MODERATOR, 0) == 0
        assert await requests.confirmed_since(tx, LEAVER, 0) == 0


async def test_what_a_person_asked_for_lately(database: Database) -> None:
    """Newest first, of one kind, since then."""
    async with database.transaction() as tx:
        for created_ts in (NOW - DAY, NOW, NOW):
            await added(tx, own(created_ts=created_ts))
        await added(tx, moderation())
        assert [r.id for r in await requests.of_requester(tx, LEAVER, NOW, Kind.OWN)] == [3, 2]
        assert await requests.of_requester(tx, LEAVER, 0, Kind.MODERATION) == []
