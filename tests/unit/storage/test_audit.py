"""The audit: searched by person, request and time; chained, so that what was altered shows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from removal.audit_action import AuditAction
from storage import audit
from storage.database import Database, Transaction

MODERATOR, SPAMMER, OTHER = "@moderator:example.org", "@spammer:example.org", "@other:example.org"


async def fill(database: Database, count: int = 6) -> str:
    """Writes rows and returns the head."""
    async with database.transaction() as tx:
        for number in range(1, count + 1):
            head = await audit.append(
                tx, number * 10, AuditAction.STEP_DONE, request_id=number % 3 or None, actor=MODERATOR, target=SPAMMER,
                why="spam “✅”", step="wait", rooms=number,
            )  # fmt: skip
    return head


async def verify(database: Database, head: str | None = None) -> audit.Verdict:
    """What following the chain shows."""
    async with database.transaction() as tx:
        return await audit.verify(tx, head)


def tamper(path: Path, sql: str, *values: object) -> None:
    """Alters the file behind the program's back."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql, values)
        connection.commit()


# --- the chain -------------------------------------------------------------------------------------------------------
async def test_an_untouched_chain_holds(database: Database) -> None:
    """Empty or filled; each row's hash is a head that is found in it, and so is the beginning."""
    assert await verify(database) == audit.Verdict(0, audit.GENESIS, None, None)
    head = await fill(database)
    assert await verify(database) == audit.Verdict(6, head, None, None)
    async with database.transaction() as tx:
        assert await audit.head(tx) == head
        heads = [row.hash for row in await audit.find(tx)]
    for each in (*heads, audit.GENESIS):
        assert (await verify(database, each)).head_found is True
    assert (await verify(database, "f" * 64)).head_found is False


OF_OLD = """INSERT INTO audit (ts, action, request_id, actor, target, public, personal, salt, commitment, hash) VALUES (
    1700000000000, 'StepDone', 7, '@moderator:example.org', '@spammer:example.org',
    '{"step": "wait", "room": "Grün", "rooms": [1, 2]}',
    '{"target": "@spammer:example.org", "why": "“spam” ✅", "actor": "@moderator:example.org"}',
    '00112233445566778899aabbccddeeff',
    'cf1aa2ad23bd63ed949b683919fa531cce8892906f0679a7bb53c44042f0454e',
    'cc24db845bdb49ec3e6ca7274f0dd3ac4f0ea37d5ec686f9fabb3e6af41d44eb')"""
"""The commitment is the SHA-256 of the salt, a line feed and the personal fields; the hash that of a list of the hash
before, the other columns and the commitment. Both as JSON in UTF-8, sorted by name, without spaces."""


async def test_a_chain_that_was_written_long_ago_holds(database: Database, path: Path) -> None:
    """How hashes are made never changes: else no head in an old receipt would be found any more."""
    tamper(path, OF_OLD)
    head = await fill(database)
    assert await verify(database, OF_OLD[-66:-2]) == audit.Verdict(7, head, None, True)


ALTERED: tuple[tuple[str, object], ...] = (
    ("id", 40),
    ("ts", 41),
    ("action", "StepFailed"),
    ("request_id", 2),
    ("request_id", None),
    ("actor", OTHER),
    ("actor", None),
    ("target", OTHER),
    ("target", None),
    ("public", '{"rooms": 4, "step": "media"}'),
    ("public", "{}"),
    ("public", "not json"),
    ("personal", '{"actor": "@moderator:example.org", "target": "@spammer:example.org", "why": "no reason"}'),
    ("personal", "[]"),
    ("personal", "not json"),
    ("personal", None),
    ("salt", "0" * 32),
    ("salt", None),
    ("commitment", "0" * 64),
    ("hash", "0" * 64),
)


@pytest.mark.parametrize(("column", "value"), ALTERED)
async def test_an_altered_column_shows(database: Database, path: Path, column: str, value: object) -> None:
    """Whichever it is, the verdict names the first row that doesn't fit, and never is an error."""
    await fill(database)
    tamper(path, f"UPDATE audit SET {column} = ? WHERE id = 4", value)  # noqa: S608 - our own column names
    verdict = await verify(database)
    assert verdict.broken_at in (4, 5)


@pytest.mark.parametrize(("known", "found"), [(None, None), (2, True), (5, False)])
async def test_a_verdict_tells_how_far_the_chain_holds(
    database: Database, path: Path, known: int | None, found: bool | None
) -> None:
    """The rows that were read, the last hash that fits, and whether the head that is looked for comes before."""
    await fill(database)
    async with database.transaction() as tx:
        hashes = {row.id: row.hash for row in await audit.find(tx)}
    tamper(path, "UPDATE audit SET ts = 41 WHERE id = 4")
    verdict = await verify(database, hashes[known] if known else None)
    assert verdict == audit.Verdict(4, hashes[3], 4, found, removed=0)


async def test_every_column_is_watched(database: Database) -> None:
    """A column that is added later needs its case above."""
    async with database.transaction() as tx:
        columns = {row["name"] for row in await tx.all("SELECT name FROM pragma_table_info('audit')")}
    assert {name for name, _ in ALTERED} == columns


async def test_a_lie_with_a_commitment_of_its_own_shows(database: Database, path: Path) -> None:
    """Even a forger who knows how rows are made would have to write all later rows anew."""
    await fill(database)
    async with database.transaction() as tx:
        await audit.append(
            tx, 40, AuditAction.STEP_DONE, request_id=1, actor=OTHER, target=SPAMMER, why="spam", step="wait"
        )
    tamper(
        path,
        "UPDATE audit SET (actor, personal, salt, commitment) = "
        "(SELECT actor, personal, salt, commitment FROM audit WHERE id = 7) WHERE id = 4",
    )
    assert (await verify(database)).broken_at == 4


@pytest.mark.parametrize("row", [1, 3, 5])
async def test_a_missing_row_shows(database: Database, path: Path, row: int) -> None:
    """The first one too, or one whose successors were renumbered."""
    await fill(database)
    tamper(path, "DELETE FROM audit WHERE id = ?", row)
    assert (await verify(database)).broken_at == row + 1
    for later in range(row + 1, 7):
        tamper(path, "UPDATE audit SET id = id - 1 WHERE id = ?", later)
    assert (await verify(database)).broken_at == row


async def test_an_inserted_row_shows(database: Database, path: Path) -> None:
    """A copy of a true row in a place where it wasn't."""
    await fill(database)
    for later in range(6, 3, -1):
        tamper(path, "UPDATE audit SET id = id + 1 WHERE id = ?", later)
    columns = "ts, action, request_id, actor, target, public, personal, salt, commitment, hash"
    copy = f"INSERT INTO audit (id, {columns}) SELECT 4, {columns} FROM audit WHERE id = 2"  # noqa: S608 - ours
    tamper(path, copy)
    assert (await verify(database)).broken_at == 4


async def test_rows_in_another_order_show(database: Database, path: Path) -> None:
    """What happened first stays first."""
    await fill(database)
    for old, new in ((3, 99), (4, 3), (99, 4)):
        tamper(path, "UPDATE audit SET id = ? WHERE id = ?", new, old)
    assert (await verify(database)).broken_at == 3


async def test_an_end_that_was_cut_off_shows_only_with_a_head(database: Database, path: Path) -> None:
    """That is why each receipt carries one."""
    head = await fill(database)
    tamper(path, "DELETE FROM audit WHERE id > 4")
    without, with_head = await verify(database), await verify(database, head)
    assert (without.broken_at, without.head_found, without.rows) == (None, None, 4)
    assert (with_head.broken_at, with_head.head_found) == (None, False)


async def test_a_row_by_somebody_with_another_program_shows(database: Database) -> None:
    """A row that was appended without its hash doesn't fit, and what follows doesn't heal it."""
    await fill(database)
    async with database.transaction() as tx:
        await tx.run(
            "INSERT INTO audit (ts, action, public, commitment, hash) VALUES (70, 'Confirmed', '{}', 'c', 'h')"
        )
    await fill(database)
    assert (await verify(database)).broken_at == 7


async def test_any_text_can_be_a_reason(database: Database) -> None:
    """Halves of surrogate pairs too, which JSON may hold and no database takes."""
    async with database.transaction() as tx:
        await audit.append(tx, 1, AuditAction.STEP_FAILED, why="\ud800 no\x00 \udfff🙂")
        (row,) = await audit.find(tx)
    assert (row.personal or {})["why"] == "? no\x00 ?🙂"
    assert (await verify(database)).broken_at is None


# --- retention -------------------------------------------------------------------------------------------------------
async def test_retention_drops_who_and_why_and_the_chain_still_holds(database: Database) -> None:
    """What was done, when and in which request stays; nobody is found in it any more, and nothing brings them back."""
    head = await fill(database)
    async with database.transaction() as tx:
        assert await audit.forget_before(tx, 30) == 2
        assert await audit.forget_before(tx, 30) == 0
        assert [row.id for row in await audit.find(tx, user_id=SPAMMER)] == [6, 5, 4, 3]
        old = (await audit.find(tx, request_id=1))[-1]
        assert (old.id, old.personal, old.actor, old.target) == (1, None, "", "")
        assert (old.action, old.public) == (AuditAction.STEP_DONE, {"step": "wait", "rooms": 1})
        raw = await tx.one("SELECT * FROM audit WHERE id = 1")
        assert raw is not None
        assert not any(word in str(tuple(raw)) for word in ("moderator", "spammer", "spam"))
    assert await verify(database, head) == audit.Verdict(6, head, None, True)


@pytest.mark.parametrize("column", ["actor", "target", "salt", "personal"])
async def test_what_is_put_where_retention_took_something_away_shows(
    database: Database, path: Path, column: str
) -> None:
    """Nobody can be blamed afterwards for what is no longer said."""
    await fill(database)
    async with database.transaction() as tx:
        await audit.forget_before(tx, 30)
    tamper(path, f"UPDATE audit SET {column} = ? WHERE id = 2", OTHER)  # noqa: S608 - our own column names
    assert (await verify(database)).broken_at == 2


async def test_commitments_to_the_same_words_differ(database: Database) -> None:
    """Each has a salt of its own: with it gone, nobody finds out by guessing who it was."""
    await fill(database)
    async with database.transaction() as tx:
        rows = await tx.all("SELECT commitment, salt FROM audit")
    assert len({row["commitment"] for row in rows}) == len({row["salt"] for row in rows}) == 6
    assert {len(bytes.fromhex(row["salt"])) for row in rows} == {16}


async def test_whoever_waits_for_a_change_of_the_audit_hears_of_it(database: Database) -> None:
    """A row that is added, names that are dropped, and rows that are removed."""
    async with database.transaction() as tx:
        await audit.append(tx, 1, AuditAction.LOOKED)
        assert tx.changed == {"audit"}
    async with database.transaction() as tx:
        await audit.forget_before(tx, 2)
        assert tx.changed == {"audit"}
    async with database.transaction() as tx:
        await audit.shorten(tx, 2, None, 3, limit=1)
        assert tx.changed == {"audit", "meta"}


# --- searching -------------------------------------------------------------------------------------------------------
async def some(database: Database) -> None:
    """Rows of several people, requests and times; the clock was set back once."""
    async with database.transaction() as tx:
        for ts, request_id, actor, target in (
            (10, 1, MODERATOR, SPAMMER),
            (20, 1, OTHER, SPAMMER),
            (30, 2, MODERATOR, OTHER),
            (25, 3, SPAMMER, None),
            (40, 3, None, OTHER),
        ):
            await audit.append(tx, ts, AuditAction.LOOKED, request_id=request_id, actor=actor, target=target)


async def ids(tx: Transaction, **wanted: Any) -> list[int]:
    """The rows found, by id, in order."""
    return [row.id for row in await audit.find(tx, **wanted)]


async def test_a_row_is_read_as_it_was_written(database: Database) -> None:
    """Who, what, when, in which request and why; what is stored can be read by people, too."""
    async with database.transaction() as tx:
        head = await audit.append(
            tx, 5, AuditAction.LOOKED, request_id=7, actor=MODERATOR, target=SPAMMER, why="“spam”", to="Grün", at=[1]
        )
        bare = await audit.append(tx, 6, AuditAction.STEP_DONE)
        stored = await tx.one("SELECT public, personal FROM audit WHERE id = 1")
        assert await audit.find(tx) == [
            audit.AuditRow(2, 6, "StepDone", None, {}, {"actor": None, "target": None, "why": ""}, bare),
            audit.AuditRow(
                1, 5, "Looked", 7, {"at": [1], "to": "Grün"},
                {"actor": MODERATOR, "target": SPAMMER, "why": "“spam”"}, head,
            ),
        ]  # fmt: skip
    assert stored is not None
    assert tuple(stored) == (
        '{"at": [1], "to": "Grün"}',
        '{"actor": "@moderator:example.org", "target": "@spammer:example.org", "why": "“spam”"}',
    )


async def test_rows_are_found_by_person_request_and_time(database: Database) -> None:
    """As actor or target, newest first, every condition at once."""
    await some(database)
    async with database.transaction() as tx:
        assert await ids(tx) == [5, 4, 3, 2, 1]
        assert await ids(tx, limit=2) == [5, 4]
        assert await ids(tx, user_id=SPAMMER, limit=2) == [4, 2]
        assert await ids(tx, user_id=SPAMMER) == [4, 2, 1]
        assert await ids(tx, user_id=OTHER) == [5, 3, 2]
        assert await ids(tx, user_id="@nobody:example.org") == []
        assert await ids(tx, request_id=1) == [2, 1]
        assert await ids(tx, since_ts=25) == [5, 3, 4]
        assert await ids(tx, user_id=SPAMMER, since_ts=20) == [4, 2]
        assert await ids(tx, user_id=SPAMMER, request_id=1, limit=1) == [2]
        assert await ids(tx, user_id=SPAMMER, request_id=1, since_ts=11) == [2]


async def test_a_walk_from_the_oldest_meets_every_row_once(database: Database) -> None:
    """With or without conditions, however small the steps."""
    await some(database)
    async with database.transaction() as tx:
        for wanted in ({}, {"user_id": SPAMMER}, {"user_id": OTHER, "request_id": 3}, {"since_ts": 20}):
            seen: list[int] = []
            while found := await ids(tx, after_id=seen[-1] if seen else 0, limit=1, **wanted):
                seen += found
            assert seen == sorted(await ids(tx, **wanted))


async def test_the_newest_fifty_are_found_where_nobody_says_how_many(database: Database) -> None:
    """A search never reads the whole audit by accident."""
    await fill(database, 51)
    async with database.transaction() as tx:
        assert await ids(tx) == list(range(51, 1, -1))


async def test_a_command_that_was_begun_is_known_by_its_event(database: Database) -> None:
    """Of this person, of this kind, and asked for in this message."""
    async with database.transaction() as tx:
        await audit.append(tx, 1, AuditAction.LOOKED, actor=MODERATOR, event_id="$asked", command="ban")
        assert await audit.has_begun(tx, AuditAction.LOOKED, MODERATOR, "$asked") is True
        assert await audit.has_begun(tx, AuditAction.STEP_DONE, MODERATOR, "$asked") is False
        assert await audit.has_begun(tx, AuditAction.LOOKED, OTHER, "$asked") is False
        assert await audit.has_begun(tx, AuditAction.LOOKED, MODERATOR, "$other") is False


async def test_the_commands_that_somebody_gave_lately_are_listed(database: Database) -> None:
    """Of this person, of this kind, and from this moment on."""
    async with database.transaction() as tx:
        for ts, action, actor, command in (
            (9, AuditAction.LOOKED, MODERATOR, "info"),
            (10, AuditAction.LOOKED, MODERATOR, "ping"),
            (11, AuditAction.LOOKED, OTHER, "status"),
            (12, AuditAction.REFUSED, MODERATOR, "ban"),
            (13, AuditAction.LOOKED, MODERATOR, "version"),
        ):
            await audit.append(tx, ts, action, actor=actor, command=command)
        assert sorted(await audit.commands_since(tx, AuditAction.LOOKED, MODERATOR, 10)) == ["ping", "version"]
