"""What ended long ago goes, and what is still needed stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.housekeeping import Housekeeping, Kept
from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from removal.audit_action import AuditAction
from removal.request import Request, State
from removal.wave import Wave, WaveState
from storage import audit, meta, outbox, requests, waves
from storage.database import Database
from tests.support.made_requests import DAY, NOW, moderation
from texts import Texts

LONG_AGO = NOW - 400 * DAY
KEPT = Kept(names=timedelta(days=365), requests=timedelta(days=365), entries=timedelta(days=365))


class Nobody:
    """No file is due."""

    async def delete(self, uri: str) -> None:
        raise AssertionError(uri)


async def kept_house(database: Database, kept: Kept = KEPT) -> None:
    """Does once what is done each day."""
    units = UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom("!admin:example.org"))
    await Housekeeping(units, Nobody(), kept)._prune(NOW)


async def stored(database: Database, created_ts: int, ended_ts: int | None, state: State = State.DONE) -> Request:
    """A request with one message about it that was sent."""
    async with database.transaction() as tx:
        made = await requests.add(tx, moderation(created_ts=created_ts, expires_ts=created_ts + 1))
        made = await requests.save(tx, replace(made, state=state, ended_ts=ended_ts))
        await outbox.put(
            tx, txn_id=f"prompt {made.id}", room_id=made.room_id, purpose="prompt", content={"body": "named"},
            now=created_ts, request_id=made.id,
        )  # fmt: skip
        await tx.run("UPDATE outbox SET status = 'sent', content = NULL WHERE request_id = ?", made.id)
    return made


async def left(database: Database) -> list[int]:
    """The ids of the requests that are still there."""
    async with database.transaction() as tx:
        return [int(row["id"]) for row in await tx.all("SELECT id FROM requests ORDER BY id")]


async def test_only_what_ended_long_ago_goes(database: Database) -> None:
    """An old request that ended lately, an open one, and one with a message still to be sent stay; numbers aren't given
    again; without the setting nothing goes."""
    old = await stored(database, LONG_AGO, LONG_AGO)
    lately = await stored(database, LONG_AGO, NOW - DAY)
    still_open = await stored(database, LONG_AGO, None, State.BLOCKED)
    unsent = await stored(database, LONG_AGO, LONG_AGO)
    young = await stored(database, NOW - DAY, NOW - DAY)
    async with database.transaction() as tx:
        await tx.run("UPDATE outbox SET status = 'pending', content = '{}' WHERE request_id = ?", unsent.id)
    await kept_house(database, Kept())
    assert len(await left(database)) == 5
    await kept_house(database)
    assert await left(database) == [lately.id, still_open.id, unsent.id, young.id]
    async with database.transaction() as tx:
        assert not await tx.all("SELECT 1 FROM outbox WHERE request_id = ?", old.id)
        assert len(await tx.all("SELECT 1 FROM outbox")) == 4
    assert (await stored(database, NOW, None)).id == young.id + 1


@pytest.mark.parametrize("member_open", [True, False])
async def test_a_wave_goes_with_all_that_belongs_to_it(database: Database, member_open: bool) -> None:
    """Its list and its requests; but not while one of them is open."""
    async with database.transaction() as tx:
        wave = await waves.add(tx, wave_of_long_ago())
        await waves.name(tx, wave.id, ["@a:example.org", "@b:example.org"])
        for user_id, state in (("@a:example.org", State.DONE), ("@b:example.org", State.BLOCKED)):
            made = await waves.begin(tx, wave.id, moderation(target_id=user_id, created_ts=LONG_AGO, wave_id=wave.id))
            over = State.DONE if not member_open else state
            await requests.save(tx, replace(made, state=over, ended_ts=None if over is State.BLOCKED else LONG_AGO))
        await waves.save(tx, replace(wave, state=WaveState.DONE, reported=True, ended_ts=LONG_AGO))
    await kept_house(database)
    async with database.transaction() as tx:
        counted = [len(await tx.all(f"SELECT 1 FROM {table}")) for table in ("waves", "wave_members", "requests")]  # noqa: S608
    assert counted == ([1, 2, 2] if member_open else [0, 0, 0])


def wave_of_long_ago() -> Wave:
    """As it was made."""
    return Wave(
        id=0, requester_id="@moderator:example.org", room_id="!admin:example.org", command_event_id="$w",
        created_ts=LONG_AGO, expires_ts=LONG_AGO + 1,
    )  # fmt: skip


async def test_what_is_removed_is_gone_from_the_file(database: Database, path: Path) -> None:
    """Overwritten, not only marked as free: a name isn't found in the file's bytes any more."""
    await stored(database, LONG_AGO, LONG_AGO)
    async with database.transaction() as tx:
        await audit.append(tx, LONG_AGO, AuditAction.REQUESTED, actor="@findable:example.org", target="@x:example.org")
        await meta.put(tx, "kept", "something else")
    await kept_house(database)
    await database.close()
    assert not [file for file in path.parent.glob("lethe.db*") if b"@findable:" in file.read_bytes()]
