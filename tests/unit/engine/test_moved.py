"""A server whose accounts moved elsewhere: nothing is done by the wrong door, and nobody is left mute."""

from __future__ import annotations

from typing import cast

import pytest

from engine.steps import Steps
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.errors import MovedElsewhere
from homeserver.accounts.models import User
from removal.plan import Step
from removal.request import State
from tests.support.made_requests import own


class Moved:
    """The accounts of a server that moved: it still suspends, which no other service does for it."""

    def __init__(self) -> None:
        self.suspended = True

    async def ensure_in_charge(self) -> None:
        raise MovedElsewhere("moved")

    async def suspend(self, _user_id: str, suspended: bool) -> None:
        self.suspended = suspended

    async def user(self, user_id: str) -> User:
        return User.model_construct(user_id=user_id, suspended=self.suspended)


async def test_a_suspension_of_ours_is_lifted_all_the_same() -> None:
    """A removal that is given up sets the account free."""
    accounts = Moved()
    steps = Steps(cast(AccountBackend, accounts))
    await steps.do(Step.RELEASE, own(state=State.RELEASING, ends_as=State.FAILED))
    assert accounts.suspended is False


@pytest.mark.parametrize("step", Step)
async def test_nothing_else_is_done(step: Step) -> None:
    """Whatever the step, the first that a removal does, or the last."""
    accounts = Moved()
    with pytest.raises(MovedElsewhere):
        await Steps(cast(AccountBackend, accounts)).do(step, own(state=State.RUNNING))
    assert accounts.suspended is True
