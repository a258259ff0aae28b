"""What the steps of a wave read for many accounts at once, and what they read for each."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from engine.wave_steps import WaveSteps
from homeserver.accounts.backend import AccountBackend
from removal.plan import Step
from removal.request import Request
from tests.support.made_requests import moderation

ANNA, BERT = "@anna:lethe.test", "@bert:lethe.test"


class Accounts:
    """Accounts that have left all rooms, and may come back."""

    deactivates_later = False

    def __init__(self) -> None:
        self.joining: frozenset[str] = frozenset()
        self.rooms: dict[str, str] = {}
        self.deactivated: list[str] = []
        self.asked = 0
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
