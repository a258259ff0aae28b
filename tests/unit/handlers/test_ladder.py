"""A rung that goes wrong half way: what people read is what is true of the account then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import pytest

from handlers.admin_room import ladder
from handlers.admin_room.ladder import RUNGS, Outcome, carry_out
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.errors import MovedElsewhere
from homeserver.accounts.mas_tokens import CredentialsRefused
from homeserver.accounts.models import User
from homeserver.client.api import BadToken, Forbidden, HomeserverError, ServerFault, Unreachable

USER = "@a:example.org"
BY_NAME = {rung.name: rung for rung in RUNGS}


class Accounts:
    """One account, logged in. `before` and `after`: what a method ends with, before it acts or although it did."""

    def __init__(self) -> None:
        self.locked = self.suspended = self.half_locked = self.deaf = False
        self.logged_in = True
        self.before: dict[str, list[HomeserverError]] = {}
        self.after: dict[str, list[HomeserverError]] = {}
        self.calls: list[str] = []

    async def _do(self, name: str, act: Callable[[], None]) -> None:
        self.calls.append(name)
        if self.before.get(name):
            raise self.before[name].pop(0)
        if not self.deaf:
            act()
        if self.after.get(name):
            raise self.after[name].pop(0)

    async def ensure_in_charge(self) -> None:
        if self.before.get("in_charge"):
            raise self.before["in_charge"].pop(0)

    async def user(self, user_id: str) -> User:
        await self._do("user", lambda: None)
        return User.model_construct(
            user_id=user_id, locked=self.locked, suspended=self.suspended, half_locked=self.half_locked
        )

    async def sessions(self, user_id: str) -> Mapping[str, int]:
        return {"devices": int(self.logged_in)}

    async def lock(self, user_id: str, locked: bool) -> None:
        await self._do("lock", lambda: setattr(self, "locked", locked))

    async def suspend(self, user_id: str, suspended: bool) -> None:
        await self._do("suspend", lambda: setattr(self, "suspended", suspended))

    async def log_out(self, user_id: str) -> None:
        await self._do("log_out", lambda: setattr(self, "logged_in", False))

    async def scramble_password(self, user_id: str) -> bool:
        await self._do("scramble_password", lambda: None)
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "TRIED_FOR", 0.6)
    monkeypatch.setattr(ladder, "SHOWN_WITHIN", 0.3)


def _on(accounts: Accounts, name: str) -> Awaitable[Outcome]:
    return carry_out(cast(AccountBackend, accounts), BY_NAME[name], USER)


async def test_a_lost_answer_is_no_failure() -> None:
    """It happened, and no answer came, at the last attempt either: the homeserver shows it, so it is done."""
    accounts = Accounts()
    accounts.after = {"lock": [Unreachable("lost") for _ in range(50)]}
    assert await _on(accounts, "lock") == Outcome(marks=("locked", "logged_in"))


async def test_refused_after_it_took_effect() -> None:
    """The repeat of an attempt whose answer was lost is refused: it is done all the same."""
    accounts = Accounts()
    accounts.after = {"suspend": [Unreachable("lost"), Forbidden("no", 403)]}
    assert await _on(accounts, "suspend") == Outcome(marks=("suspended", "logged_in"))


async def test_refused_half_way() -> None:
    """Locked, and then the password's turn is refused: it failed, and that it is locked and logged in is said."""
    accounts = Accounts()
    accounts.before = {"scramble_password": [Forbidden("no", 403)]}
    assert await _on(accounts, "compromised") == Outcome("failed", "no", ("locked", "logged_in"))


async def test_what_cannot_be_read_back_has_to_end_well() -> None:
    """A locked account without sessions isn't one whose password was replaced."""
    accounts = Accounts()
    accounts.logged_in = False
    accounts.before = {"scramble_password": [Forbidden("no", 403)]}
    assert await _on(accounts, "compromised") == Outcome("failed", "no", ("locked",))


async def test_a_passing_fault_passes() -> None:
    """5xx is tried again."""
    accounts = Accounts()
    accounts.before = {"lock": [ServerFault("502", 502)]}
    assert await _on(accounts, "lock") == Outcome(marks=("locked", "logged_in"))
    assert accounts.calls.count("lock") == 2


async def test_a_lasting_fault_ends_in_not_knowing() -> None:
    """Nobody waits behind it for ever, and nobody reads that it didn't happen."""
    accounts = Accounts()
    accounts.before = {"log_out": [ServerFault("500", 500) for _ in range(50)]}
    assert await _on(accounts, "logout") == Outcome("unknown", "500", ("logged_in",))


async def test_nothing_can_be_read() -> None:
    """Then that is what is said."""
    accounts = Accounts()
    accounts.before = {name: [Unreachable("away") for _ in range(50)] for name in ("lock", "user")}
    assert await _on(accounts, "lock") == Outcome("unknown", "away", None)


@pytest.mark.parametrize("half", [False, True])
async def test_taken_and_not_shown(half: bool) -> None:
    """What the homeserver took and doesn't show, or shows in one of two places, isn't done."""
    accounts = Accounts()
    accounts.deaf, accounts.half_locked, accounts.locked = not half, half, half
    assert (await _on(accounts, "lock")).problem == "not_shown"


@pytest.mark.parametrize("error", [MovedElsewhere("moved"), CredentialsRefused("MAS says no", 401)])
async def test_who_keeps_the_accounts_says_no(error: HomeserverError) -> None:
    """Nothing was done, and it is said why."""
    accounts = Accounts()
    accounts.before = {"in_charge": [error]}
    assert await _on(accounts, "lock") == Outcome("failed", str(error), ("logged_in",))
    assert "lock" not in accounts.calls


async def test_without_the_bots_own_token_all_waits() -> None:
    """That is no answer about an account."""
    accounts = Accounts()
    accounts.before = {"lock": [BadToken("401", 401)]}
    with pytest.raises(BadToken):
        await _on(accounts, "lock")
