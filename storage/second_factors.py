"""Moderators' second factors, and what waits for a code of whom. Seeds are encrypted before they come here."""

from __future__ import annotations

from dataclasses import dataclass

from storage.database import Row, Transaction

KEY_FILE = "second_factor.key"
"""What seeds are encrypted with: in the data directory, where `confirmation.second_factor_key_file` names no other."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One person's. Times are in milliseconds since 1970."""

    user_id: str
    seed: str
    made_ts: int
    confirmed_ts: int | None = None
    """When its first code was given; it counts from then on."""
    last_step: int = 0
    """The newest time step whose code was used: neither it nor an earlier one counts again."""
    wrong: int = 0
    """Wrong codes since the last right one."""
    wrong_ts: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that a person confirmed, and that their code is still missing for."""

    user_id: str
    what: str
    event_id: str
    """The confirmation."""
    trust: str
    asked_ts: int


async def get(tx: Transaction, user_id: str) -> Factor | None:
    row = await tx.one("SELECT * FROM second_factors WHERE user_id = ?", user_id)
    return Factor(**row) if row else None


async def save(tx: Transaction, factor: Factor) -> None:
    await tx.run(
        "INSERT OR REPLACE INTO second_factors (user_id, seed, made_ts, confirmed_ts, last_step, wrong, wrong_ts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        factor.user_id,
        factor.seed,
        factor.made_ts,
        factor.confirmed_ts,
        factor.last_step,
        factor.wrong,
        factor.wrong_ts,
    )


async def forget(tx: Transaction, user_id: str) -> bool:
    """Whether there was one. What waits for its codes waits no more."""
    await tx.run("DELETE FROM codes_asked WHERE user_id = ?", user_id)
    return await tx.run("DELETE FROM second_factors WHERE user_id = ?", user_id) == 1


async def any_left(tx: Transaction) -> bool:
    """Whether anybody has one."""
    return await tx.one("SELECT 1 FROM second_factors LIMIT 1") is not None


async def ask(tx: Transaction, asked: Asked) -> None:
    """The same again takes the place of the one before."""
    await tx.run(
        "INSERT OR REPLACE INTO codes_asked (user_id, what, event_id, trust, asked_ts) VALUES (?, ?, ?, ?, ?)",
        asked.user_id,
        asked.what,
        asked.event_id,
        asked.trust,
        asked.asked_ts,
    )


async def asked_of(tx: Transaction, user_id: str, since_ts: int) -> list[Asked]:
    """What waits for a code of this person; what was asked before `since_ts` doesn't any more."""
    await tx.run("DELETE FROM codes_asked WHERE user_id = ? AND asked_ts < ?", user_id, since_ts)
    rows = await tx.all("SELECT * FROM codes_asked WHERE user_id = ? ORDER BY asked_ts, what", user_id)
    return [_asked(row) for row in rows]


async def answered(tx: Transaction, user_id: str, what: str) -> None:
    await tx.run("DELETE FROM codes_asked WHERE user_id = ? AND what = ?", user_id, what)


def _asked(row: Row) -> Asked:
    return Asked(**row)
