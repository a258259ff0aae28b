"""What the steps of a wave read for many accounts at once, and what they read for each."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from engine.wave_steps import FRESH, ChangedMeanwhile, WaveSteps
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.models import User
from removal.plan import Step
from removal.request import Request
from tests.support.made_requests import moderation
from tests.support.simulated_time import in_simulated_time

ANNA, BERT = "@anna:lethe.test", "@bert:lethe.test"


def made_user(**changes: Any) -> User:
    """A suspended account."""
    return User(
        user_id=ANNA, displayname=None, avatar_url=None, admin=False, deactivated=False, erased=False, suspended=True,
        locked=False, shadow_banned=False, is_guest=False, appservice_id=None, user_type=None, creation_ts=0,
        last_seen_ts=None, threepid_media=(), external_ids=(),
    ).model_copy(update=changes)  # fmt: skip


class Accounts:
    """Accounts that have left all rooms, and may come back."""

    deactivates_later = False

    def __init__(self) -> None:
        self.joining: frozenset[str] = frozenset()
        self.rooms: dict[str, str] = {}
        self.deactivated: list[str] = []
        self.asked = 0
        self.account: User | None = made_user()
        self.looked_at = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def joined_rooms(self, user_id: str) -> list[str]:
        return []

    async def memberships(self, user_id: str) -> dict[str, str]:
        return self.rooms

    async def open_tasks(self, action_name: str) -> frozenset[str]:
        self.asked += 1
        seen = self.joining
        await self.gate.wait()
        return seen

    async def scheduled_tasks(self, resource_id: str, action_name: str) -> list[Any]:
        return []

    async def deactivate(self, user_id: str, erase: bool) -> str:
        self.deactivated.append(user_id)
        return "success"

    async def user(self, user_id: str) -> User | None:
        self.looked_at += 1
        return self.account

    async def ensure_in_charge(self) -> None:
        """They are."""


async def nobody(request: Request) -> str:
    """Nobody is protected."""
    return ""


def steps(accounts: Accounts, gather: float = 0) -> WaveSteps:
    """The steps, without a pause."""
    return WaveSteps(cast(AccountBackend, accounts), nobody, pause=0, gather=gather)


async def test_a_task_that_began_while_it_was_asked_for_others_is_seen() -> None:
    """One question serves all who came before it was asked; who comes later has it asked anew."""
    accounts = Accounts()
    made = steps(accounts)
    accounts.gate.clear()
    first = asyncio.create_task(made.do(Step.WAIT, moderation(target_id=ANNA)))
    await asyncio.sleep(0.05)
    assert accounts.asked == 1
    accounts.joining = frozenset({BERT})
    others = [asyncio.create_task(made.do(Step.WAIT, moderation(target_id=BERT))) for _ in range(5)]
    await asyncio.sleep(0.05)
    accounts.gate.set()
    assert await first == {"rooms": 0, "repairs": 0}
    assert [each["rooms"] for each in await asyncio.gather(*others)] == [0] * 5
    assert accounts.asked == 2


async def test_who_comes_within_a_moment_is_asked_for_together() -> None:
    """Accounts leave their rooms one after the other: each would ask by itself."""
    accounts = Accounts()
    made = steps(accounts, gather=0.2)
    asked = []
    for name in (ANNA, BERT, ANNA):
        asked.append(asyncio.create_task(made.do(Step.WAIT, moderation(target_id=name))))
        await asyncio.sleep(0.01)
    await asyncio.gather(*asked)
    assert accounts.asked == 1


async def test_rooms_and_invitations_are_read_at_once_and_anew_each_time() -> None:
    """An account that came back to a room is seen, whatever was seen before; so is an invitation."""
    accounts = Accounts()
    made = steps(accounts)
    assert await made._has_no_rooms(ANNA)
    assert await made._has_no_invites(ANNA)
    accounts.rooms = {"!a": "leave", "!b": "join", "!c": "invite"}
    assert not await made._has_no_rooms(ANNA)
    assert not await made._has_no_invites(ANNA)
    accounts.rooms = {"!a": "leave", "!c": "ban"}
    assert await made._has_no_rooms(ANNA)
    assert await made._has_no_invites(ANNA)


@pytest.mark.parametrize(
    ("account", "because"),
    [
        (made_user(), ""),
        (made_user(admin=True), "admin"),
        (made_user(appservice_id="bridge"), "appservice"),
        (made_user(suspended=False), "no longer suspended"),
        (None, ""),  # gone: the deactivation itself says so
    ],
)
def test_who_waited_for_long_is_looked_at_right_before_the_deactivation(account: User | None, because: str) -> None:
    """Somebody may have decided otherwise in the minutes until an account's turn. A look that is fresh will do."""

    async def script() -> None:
        accounts, request = Accounts(), moderation(target_id=ANNA)
        made = steps(accounts)
        await made.look_again(request)
        accounts.account = account
        await asyncio.sleep(FRESH / 2)
        await made.look_again(request)
        assert accounts.looked_at == 1
        await asyncio.sleep(FRESH)
        try:
            await made.look_again(request)
            found = ""
        except ChangedMeanwhile as changed:
            found = str(changed)
        assert (accounts.looked_at, found) == (2, because)

    in_simulated_time(script())


async def test_who_is_protected_by_now_is_asked_each_time() -> None:
    """However fresh the look at the account is: a moderator may have been made a minute ago."""
    accounts, request = Accounts(), moderation(target_id=ANNA)
    because = ""

    async def protected(_: Request) -> str:
        return because

    made = WaveSteps(cast(AccountBackend, accounts), protected, pause=0)
    await made.look_again(request)
    because = "moderator"
    with pytest.raises(ChangedMeanwhile, match="moderator"):
        await made.look_again(request)
