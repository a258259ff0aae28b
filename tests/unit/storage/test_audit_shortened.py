"""The audit without its oldest rows: what may go, and that the chain holds from where it begins then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from removal.audit_action import AuditAction
from removal.wave import Wave, WaveState
from storage import audit, requests, waves
from storage.database import Database
from tests.support.made_requests import moderation
from tests.unit.storage.test_audit import MODERATOR, fill, ids, tamper, verify


async def test_the_audit_begins_later_and_its_chain_holds(database: Database) -> None:
    """The oldest entries go, in pieces. What is left is verified from there on, a row names where it begins, heads that
    are left are found, and one that went isn't."""
    await fill(database)
    async with database.transaction() as tx:
        hashes = [row.hash for row in await audit.find(tx, after_id=0)]
        assert await audit.shorten(tx, 40, None, 100, limit=2) == 2
        assert await audit.shorten(tx, 40, None, 101, limit=2) == 1
        assert await audit.shorten(tx, 40, None, 102, limit=2) == 0
        rows = await audit.find(tx, after_id=0)
    assert [row.id for row in rows] == [4, 5, 6, 7, 8]
    for row, ts, last in ((rows[-2], 100, 2), (rows[-1], 101, 3)):
        assert (row.ts, row.action) == (ts, AuditAction.AUDIT_SHORTENED)
        assert row.public == {"removed_to": last, "hash": hashes[last - 1]}
    assert await verify(database) == audit.Verdict(5, rows[-1].hash, None, None, removed=3)
    assert [(await verify(database, each)).head_found for each in hashes] == [False, False, True, True, True, True]
    async with database.transaction() as tx:
        assert await audit.append(tx, 103, AuditAction.STEP_DONE) == await audit.head(tx)
    assert (await verify(database)).broken_at is None


@pytest.mark.parametrize(
    ("before_ts", "needed", "limit", "removed"),
    [
        (40, None, 10, 3),
        (41, None, 10, 4),
        (10, None, 10, 0),
        (60, 3, 10, 2),
        (60, 1, 10, 0),
        (30, 5, 10, 2),
        (60, 6, 2, 2),
    ],
)
async def test_only_what_is_old_and_not_needed_is_removed(
    database: Database, before_ts: int, needed: int | None, limit: int, removed: int
) -> None:
    """Neither a row of that very time nor the first one that is needed, nor more than may be at once."""
    await fill(database)
    async with database.transaction() as tx:
        assert await audit.shorten(tx, before_ts, needed, 100, limit=limit) == removed
        assert (await ids(tx, after_id=0))[0] == removed + 1
    verdict = await verify(database)
    assert (verdict.broken_at, verdict.removed, verdict.rows) == (None, removed, 6 - removed + bool(removed))


async def test_where_nothing_is_left_the_next_row_joins_the_last_that_went(database: Database, path: Path) -> None:
    """Only tampering takes away the row that says where the chain begins; nobody begins anew by it."""
    head = await fill(database)
    async with database.transaction() as tx:
        await audit.shorten(tx, 70, None, 100, limit=10)
    tamper(path, "DELETE FROM audit")
    async with database.transaction() as tx:
        assert await audit.head(tx) == head
    assert await verify(database, head) == audit.Verdict(0, head, 7, True, removed=6)


@pytest.mark.parametrize(
    ("kept", "wave_ts", "wave_state", "needed"),
    [
        ([], None, None, None),
        ([2], None, None, 2),
        ([1, 2], None, None, 1),
        ([9], None, None, None),
        ([], 30, WaveState.RUNNING, 3),
        ([], 30, WaveState.DONE, None),
        ([], 61, WaveState.RUNNING, None),
        ([2], 30, WaveState.RUNNING, 2),
        ([2], 10, WaveState.RUNNING, 1),
    ],
)
async def test_rows_of_a_request_and_since_an_open_wave_are_needed(
    database: Database, kept: list[int], wave_ts: int | None, wave_state: WaveState | None, needed: int | None
) -> None:
    """A receipt is made of them; those of a wave that has ended, or of a request that was removed, may go."""
    await fill(database)
    async with database.transaction() as tx:
        for _ in range(9):
            made = await requests.add(tx, moderation())
            if made.id not in kept:
                await tx.run("DELETE FROM requests WHERE id = ?", made.id)
        if wave_ts is not None and wave_state is not None:
            asked = Wave(0, MODERATOR, "!admin:example.org", "$w", created_ts=wave_ts, expires_ts=wave_ts + 1)
            wave = await waves.add(tx, asked)
            await waves.save(tx, replace(wave, state=wave_state))
        assert await audit.first_needed(tx) == needed


@pytest.mark.parametrize(
    ("statements", "broken_at", "removed"),
    [
        (["DELETE FROM audit WHERE id = 4"], 5, 3),
        (["DELETE FROM meta WHERE key = 'audit.begins'"], 4, 0),
        (
            [
                "UPDATE meta SET value = '[4, \"' || (SELECT hash FROM audit WHERE id = 4) || '\"]'",
                "DELETE FROM audit WHERE id = 4",
            ],
            5,
            4,
        ),
        (["UPDATE audit SET id = 3 WHERE id = 8"], 3, 3),
    ],
    ids=["a further one taken away", "the beginning forgotten", "the beginning set anew", "one put before it"],
)
async def test_nobody_removes_more_than_the_audit_says(
    database: Database, path: Path, statements: list[str], broken_at: int, removed: int
) -> None:
    """The chain is broken at the first row that shows it; the verdict tells where it was said to begin."""
    await fill(database)
    async with database.transaction() as tx:
        await audit.shorten(tx, 40, None, 100, limit=10)
        await audit.append(tx, 110, AuditAction.STEP_DONE)
    for sql in statements:
        tamper(path, sql)
    verdict = await verify(database)
    assert (verdict.broken_at, verdict.removed) == (broken_at, removed)
