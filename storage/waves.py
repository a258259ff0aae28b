"""Waves and their accounts, as rows. An account's row is small: there are up to 20,000 of them in a wave."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from removal.request import Request
from removal.wave import ENDED, MemberState, Wave, WaveState, wake_ts
from storage import requests
from storage.database import Row, StorageError, Transaction


@dataclass(frozen=True, slots=True)
class Member:
    """One account of a wave. `state` is a MemberState, or the state of its request once it has one."""

    user_id: str
    state: str
    request_id: int | None
    detail: dict[str, Any]
    """Before it has a request: what was found out (`facts`), or why it is refused (`because`)."""


async def add(tx: Transaction, wave: Wave) -> Wave:
    """Stores a new wave and gives it its number."""
    new_id = await tx.run(
        "INSERT INTO waves (state, open, created_ts, version, data) VALUES (?, 1, ?, 0, '{}')",
        wave.state,
        wave.created_ts,
    )
    return await save(tx, replace(wave, id=new_id))


async def save(tx: Transaction, wave: Wave) -> Wave:
    """Stores a wave as it is now; its version must be the one stored."""
    newer = replace(wave, version=wave.version + 1)
    changed = await tx.run(
        "UPDATE waves SET state = ?, open = ?, untold = ?, wake_ts = ?, version = ?, data = ? "
        "WHERE id = ? AND version = ?",
        newer.state,
        int(newer.state not in ENDED),
        int(not newer.reported),
        wake_ts(newer),
        newer.version,
        json.dumps(newer.to_dict()),
        newer.id,
        wave.version,
    )
    if changed != 1:
        raise StorageError(f"{wave.reference} was changed by somebody else in between")
    return newer


async def get(tx: Transaction, wave_id: int) -> Wave | None:
    row = await tx.one("SELECT data FROM waves WHERE id = ?", wave_id)
    return _wave(row) if row else None


async def in_states(tx: Transaction, states: Iterable[WaveState]) -> list[Wave]:
    """The open waves in these states, oldest first."""
    wanted = {str(state) for state in states}
    rows = await tx.all("SELECT state, data FROM waves WHERE open = 1 ORDER BY id")
    return [_wave(row) for row in rows if row["state"] in wanted]


async def untold(tx: Transaction) -> list[Wave]:
    """The waves of which something isn't told yet."""
    return [_wave(row) for row in await tx.all("SELECT data FROM waves WHERE untold = 1 ORDER BY id")]


async def due(tx: Transaction, now: int) -> list[Wave]:
    """The waves whose time has come."""
    rows = await tx.all("SELECT data FROM waves WHERE wake_ts IS NOT NULL AND wake_ts <= ? ORDER BY wake_ts", now)
    return [_wave(row) for row in rows]


async def next_wake(tx: Transaction, after: int) -> int | None:
    """The next time at which any wave wants attention."""
    row = await tx.one("SELECT MIN(wake_ts) AS ts FROM waves WHERE wake_ts > ?", after)
    return row["ts"] if row else None


async def listing(tx: Transaction, *, only_open: bool, limit: int) -> list[Wave]:
    """The newest waves first."""
    where = "WHERE open = 1 " if only_open else ""
    rows = await tx.all(f"SELECT data FROM waves {where}ORDER BY id DESC LIMIT ?", limit)  # noqa: S608 - a constant
    return [_wave(row) for row in rows]


# --- accounts --------------------------------------------------------------------------------------------------------


async def name(tx: Transaction, wave_id: int, user_ids: Sequence[str]) -> None:
    """Puts accounts on the list, not looked at yet; whoever stands there already isn't altered."""
    await tx.many(
        "INSERT INTO wave_members (wave_id, user_id, state) VALUES (?, ?, 'listed') "
        "ON CONFLICT (wave_id, user_id) DO NOTHING",
        [(wave_id, user_id) for user_id in user_ids],
    )


async def forget_members(tx: Transaction, wave_id: int) -> None:
    """Takes every account off the list: it is made anew."""
    await tx.run("DELETE FROM wave_members WHERE wave_id = ?", wave_id)


async def looked_at(
    tx: Transaction, wave_id: int, found: Iterable[tuple[str, MemberState, dict[str, Any] | None]]
) -> None:
    """What looks at accounts brought."""
    await tx.many(
        "UPDATE wave_members SET state = ?, detail = ? WHERE wave_id = ? AND user_id = ?",
        [(state, json.dumps(detail) if detail else None, wave_id, user_id) for user_id, state, detail in found],
    )


async def members(
    tx: Transaction, wave_id: int, states: Iterable[str] = (), *, limit: int = -1, after: str = ""
) -> list[Member]:
    """The accounts of a wave in the order of their names; only those in these states, where any are given."""
    wanted = list(states)
    marks = f"AND state IN ({', '.join('?' for _ in wanted)}) " if wanted else ""
    rows = await tx.all(
        f"SELECT * FROM wave_members WHERE wave_id = ? AND user_id > ? {marks}ORDER BY user_id LIMIT ?",  # noqa: S608 - marks only
        wave_id,
        after,
        *wanted,
        limit,
    )
    return [_member(row) for row in rows]


async def member(tx: Transaction, wave_id: int, user_id: str) -> Member | None:
    row = await tx.one("SELECT * FROM wave_members WHERE wave_id = ? AND user_id = ?", wave_id, user_id)
    return _member(row) if row else None


async def set_state(tx: Transaction, wave_id: int, before: MemberState, after: MemberState) -> int:
    """Moves all accounts of one state to another; returns how many."""
    return await tx.run("UPDATE wave_members SET state = ? WHERE wave_id = ? AND state = ?", after, wave_id, before)


async def digest(tx: Transaction, wave_id: int) -> tuple[int, str]:
    """How many accounts are on the list, and the SHA-256 over it, sorted, one a line."""
    whole = hashlib.sha256()
    count, after = 0, ""
    while page := await members(tx, wave_id, (MemberState.WAITING,), limit=1000, after=after):
        after = page[-1].user_id
        count += len(page)
        whole.update("".join(f"{member.user_id}\n" for member in page).encode())
    return count, whole.hexdigest()


async def counts(tx: Transaction, wave_id: int) -> Counter[str]:
    """How many accounts there are in each state."""
    rows = await tx.all("SELECT state, COUNT(*) AS n FROM wave_members WHERE wave_id = ? GROUP BY state", wave_id)
    return Counter({str(row["state"]): int(row["n"]) for row in rows})


async def begin(tx: Transaction, wave_id: int, request: Request) -> Request:
    """Gives an account its request."""
    request = await requests.add(tx, request)
    await tx.run(
        "UPDATE wave_members SET request_id = ?, state = ?, detail = NULL WHERE wave_id = ? AND user_id = ?",
        request.id,
        request.state,
        wave_id,
        request.target_id,
    )
    return request


async def again(tx: Transaction, wave_id: int, user_id: str, facts: dict[str, Any]) -> None:
    """An account whose request failed gets a new one."""
    await tx.run(
        "UPDATE wave_members SET state = 'waiting', request_id = NULL, detail = ? WHERE wave_id = ? AND user_id = ?",
        json.dumps({"facts": facts}),
        wave_id,
        user_id,
    )


async def requests_of(tx: Transaction, wave_id: int, after: str, limit: int) -> list[tuple[Member, Request | None]]:
    """The accounts in the order of their names from behind `after` on, each with its request where it has one."""
    rows = await tx.all(
        "SELECT m.*, r.data FROM wave_members m LEFT JOIN requests r ON r.id = m.request_id "
        "WHERE m.wave_id = ? AND m.user_id > ? ORDER BY m.user_id LIMIT ?",
        wave_id,
        after,
        limit,
    )
    return [(_member(row), requests.read(row) if row["data"] else None) for row in rows]


async def at_work(tx: Transaction, wave_id: int) -> list[int]:
    """The requests of a wave that are under way."""
    rows = await tx.all(
        "SELECT request_id FROM wave_members WHERE wave_id = ? AND state IN ('running', 'releasing') "
        "AND request_id IS NOT NULL",
        wave_id,
    )
    return [int(row["request_id"]) for row in rows]


async def stragglers(tx: Transaction) -> list[Wave]:
    """The waves that have a request under way, open or not: some accounts take longer than their wave."""
    rows = await tx.all(
        "SELECT data FROM waves WHERE id IN "
        "(SELECT wave_id FROM wave_members WHERE state = 'running' UNION "
        "SELECT wave_id FROM wave_members WHERE state = 'releasing')"
    )
    return [_wave(row) for row in rows]


def _wave(row: Row) -> Wave:
    return Wave.from_dict(json.loads(row["data"]))


def _member(row: Row) -> Member:
    detail = json.loads(row["detail"]) if row["detail"] else {}
    return Member(str(row["user_id"]), str(row["state"]), row["request_id"], detail)
