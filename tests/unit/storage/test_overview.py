"""What monitoring is told of the work that waits."""

from __future__ import annotations

from dataclasses import replace

from removal.request import State
from storage import overview, requests
from storage.database import Database
from tests.support.made_requests import HOUR, NOW, in_state


async def test_only_what_should_have_gone_on_long_ago_is_stuck(database: Database) -> None:
    """Not a removal at work this moment, nor one that waits for its time; one whose time passed is."""
    at_work = replace(in_state(State.RUNNING), retry_ts=None)
    waiting = replace(in_state(State.RUNNING), retry_ts=NOW + HOUR)
    async with database.transaction() as tx:
        for request in (at_work, waiting):
            await requests.add(tx, replace(request, id=0, version=0))
        assert (await overview.look(tx, stuck_before=NOW)).stuck == 0
        await requests.add(tx, replace(waiting, id=0, version=0, retry_ts=NOW - HOUR))
        assert (await overview.look(tx, stuck_before=NOW)).stuck == 1
