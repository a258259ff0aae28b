"""A person's own request that waits for a moderator's approval."""

from __future__ import annotations

import pytest

from removal.lifecycle import ApprovalRefused, Approved, TimePassed, decide, wake_ts
from removal.request import Rules, State
from tests.support.made_requests import DAY, MODERATOR, NOW, OWN_YES, in_state, own, play

HEARD = TimePassed(NOW + 400 * DAY)
"""All that was sent has been received."""


def test_moderators_are_reminded_each_day_for_as_long_as_it_takes() -> None:
    """A day after they were asked, a day after that, and never sooner."""
    request = in_state(State.AWAITING_APPROVAL)
    for days in (1, 2, 3):
        now = NOW + days * DAY
        assert wake_ts(request) == now
        assert decide(request, HEARD, now - 1).refusal == "not_yet"
        decision = decide(request, HEARD, now)
        assert (decision.request.state, decision.say) == (State.AWAITING_APPROVAL, ("approval_reminder",))
        request = decision.request


def test_a_reminder_that_comes_late_moves_the_next() -> None:
    """Two of them never come within a day."""
    late = NOW + 5 * DAY + 17
    request = play(in_state(State.AWAITING_APPROVAL), HEARD, now=late)
    assert decide(request, HEARD, late + DAY - 1).refusal == "not_yet"
    assert decide(request, HEARD, late + DAY).say == ("approval_reminder",)


@pytest.mark.parametrize("days", [0, 9])
def test_an_approval_holds_whenever_it_comes(days: int) -> None:
    """Who approved is kept, and the grace period begins then."""
    now = NOW + days * DAY
    decision = decide(in_state(State.AWAITING_APPROVAL), Approved(MODERATOR), now)
    assert (decision.request.state, decision.say) == (State.SCHEDULED, ("scheduled",))
    assert (decision.request.approver_id, decision.request.due_ts) == (MODERATOR, now + 7 * DAY)
    at_once = play(own(rules=Rules(needs_approval=True)), OWN_YES, Approved(MODERATOR))
    assert (at_once.state, at_once.approver_id) == (State.RUNNING, MODERATOR)


def test_a_refusal_ends_it_and_says_by_whom_and_why() -> None:
    """The person is told."""
    decision = decide(in_state(State.AWAITING_APPROVAL), ApprovalRefused(MODERATOR, "please wait"), NOW + 5)
    ended = decision.request
    assert (ended.state, ended.ended_ts, decision.say) == (State.REFUSED, NOW + 5, ("refused",))
    assert (ended.ended_by, ended.ended_because) == (MODERATOR, "please wait")
