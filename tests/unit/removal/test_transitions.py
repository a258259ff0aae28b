"""The table of transitions, row by row: a sentence each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from removal.lifecycle import (
    TRANSITIONS,
    Answered,
    ApprovalRefused,
    Approved,
    Cancelled,
    Closed,
    ConfirmationWithdrawn,
    Declined,
    Event,
    HandoverNamed,
    Replaced,
    RetryAsked,
    StepDone,
    StepFailed,
    StepStarted,
    TargetChanged,
    TimePassed,
    decide,
)  # fmt: skip
from removal.plan import Kind, Step
from removal.request import Failure, Question, Request, State
from tests.support.made_requests import (
    DAY,
    LEAVER,
    LOGGED_IN,
    MINUTE,
    MODERATOR,
    NOW,
    TYPED,
    YES,
    after,
    failed,
    in_state,
    own,
    play,
)


@dataclass(frozen=True)
class Row:
    """What one event does to a request in a state, when it isn't refused."""

    given: State
    event: Event
    then: State
    say: tuple[str, ...]
    sentence: str
    now: int = NOW


S = State
PAST_END = NOW + 10 * MINUTE + 1
NAMED = HandoverNamed("!room", MODERATOR)
SNAPSHOT_STARTED = StepStarted(Step.SNAPSHOT)

LAST_ANSWER = Answered(Question.ERASE, True)

ROWS = (
    Row(S.ASKING, LAST_ANSWER, S.AWAITING_CONFIRMATION, ("prompt",), "the last answer brings the prompt"),
    Row(S.ASKING, Cancelled(LEAVER), S.CANCELLED, ("cancelled",), "questions can be broken off"),
    Row(S.ASKING, TimePassed(PAST_END), S.EXPIRED, ("expired",), "questions nobody answers expire", PAST_END),
    Row(S.ASKING, Replaced(8), S.REPLACED, ("replaced",), "asking anew replaces open questions"),
    Row(S.AWAITING_CONFIRMATION, YES, S.RUNNING, (), "a ✅ by somebody entitled begins it at once"),
    Row(S.AWAITING_CONFIRMATION, LOGGED_IN, S.SCHEDULED, ("scheduled",), "on the page, a log-in and a yes are enough"),
    Row(S.AWAITING_CONFIRMATION, Declined(MODERATOR), S.CANCELLED, ("cancelled",), "a ❌ ends it"),
    Row(S.AWAITING_CONFIRMATION, Cancelled(MODERATOR), S.CANCELLED, ("cancelled",), "!cancel ends it"),
    Row(S.AWAITING_CONFIRMATION, TargetChanged(("admin",)), S.CANCELLED, ("target_changed",), "asked anew"),
    Row(S.AWAITING_CONFIRMATION, Replaced(8), S.REPLACED, ("replaced",), "a new command replaces an open prompt"),
    Row(S.AWAITING_CONFIRMATION, TimePassed(PAST_END), S.EXPIRED, ("expired",), "unanswered, it expires", PAST_END),
    Row(S.AWAITING_MATRIX_ID, TYPED, S.SCHEDULED, ("scheduled",), "the right Matrix ID starts the grace period"),
    Row(S.AWAITING_MATRIX_ID, Declined(LEAVER), S.CANCELLED, ("cancelled",), "❌ still ends it"),
    Row(S.AWAITING_MATRIX_ID, Cancelled(LEAVER), S.CANCELLED, ("cancelled",), "!cancel still ends it"),
    Row(S.AWAITING_MATRIX_ID, TargetChanged(("admin",)), S.CANCELLED, ("target_changed",), "a new right ends it"),
    Row(S.AWAITING_MATRIX_ID, Replaced(8), S.REPLACED, ("replaced",), "asking anew replaces it"),
    Row(S.AWAITING_MATRIX_ID, TimePassed(PAST_END), S.EXPIRED, ("expired",), "untyped, it expires", PAST_END),
    Row(S.AWAITING_MATRIX_ID, LOGGED_IN, S.SCHEDULED, ("scheduled",), "a log-in proves more than the Matrix ID typed"),
    Row(S.AWAITING_LOG_IN, LOGGED_IN, S.SCHEDULED, ("scheduled",), "the log-in starts the grace period"),
    Row(S.AWAITING_LOG_IN, Declined(LEAVER), S.CANCELLED, ("cancelled",), "❌ still ends it"),
    Row(S.AWAITING_LOG_IN, Cancelled(LEAVER), S.CANCELLED, ("cancelled",), "!cancel still ends it"),
    Row(S.AWAITING_LOG_IN, TargetChanged(("admin",)), S.CANCELLED, ("target_changed",), "a new right ends it"),
    Row(S.AWAITING_LOG_IN, Replaced(8), S.REPLACED, ("replaced",), "asking anew replaces it"),
    Row(S.AWAITING_LOG_IN, TimePassed(PAST_END), S.EXPIRED, ("expired",), "nobody logged in: it expires", PAST_END),
    Row(S.AWAITING_LOG_IN, NAMED, S.AWAITING_LOG_IN, (), "a successor is named before the log-in"),
    Row(S.AWAITING_APPROVAL, Approved(MODERATOR), S.SCHEDULED, ("scheduled",), "approval starts the grace period"),
    Row(S.AWAITING_APPROVAL, ApprovalRefused(MODERATOR, "no"), S.REFUSED, ("refused",), "a moderator may refuse"),
    Row(S.AWAITING_APPROVAL, Declined(LEAVER), S.CANCELLED, ("cancelled",), "❌ ends it before approval"),
    Row(S.AWAITING_APPROVAL, Cancelled(LEAVER), S.CANCELLED, ("cancelled",), "!cancel ends it before approval"),
    Row(S.AWAITING_APPROVAL, TimePassed(0), S.AWAITING_APPROVAL, ("approval_reminder",), "reminded, daily", NOW + DAY),
    Row(S.SCHEDULED, Declined(MODERATOR), S.CANCELLED, ("cancelled",), "❌ ends it until it is due"),
    Row(S.SCHEDULED, Cancelled(MODERATOR), S.CANCELLED, ("cancelled",), "!cancel ends it until it is due"),
    Row(S.SCHEDULED, TargetChanged(("deactivated",)), S.CANCELLED, ("target_changed",), "somebody else was quicker"),
    Row(S.SCHEDULED, TimePassed(0), S.RUNNING, (), "it begins when it is due", NOW + 3 * DAY),
    Row(S.ASKING, NAMED, S.ASKING, (), "a successor is named while questions are open"),
    Row(S.AWAITING_CONFIRMATION, NAMED, S.AWAITING_CONFIRMATION, (), "a successor is named before the ✅"),
    Row(S.AWAITING_MATRIX_ID, NAMED, S.AWAITING_MATRIX_ID, (), "a successor is named before the Matrix ID"),
    Row(S.AWAITING_APPROVAL, NAMED, S.AWAITING_APPROVAL, (), "a successor is named before approval"),
    Row(S.SCHEDULED, NAMED, S.SCHEDULED, (), "a successor is named until it is due"),
    Row(S.RUNNING, Declined(MODERATOR), S.CANCELLED, ("cancelled",), "❌ beats ✅ until something was changed"),
    Row(S.RUNNING, Cancelled(MODERATOR), S.CANCELLED, ("cancelled",), "!cancel ends it before the suspension"),
    Row(S.RUNNING, ConfirmationWithdrawn(MODERATOR), S.AWAITING_CONFIRMATION, ("confirmation_withdrawn",), "no ✅"),
    Row(S.RUNNING, TargetChanged(("admin",)), S.CANCELLED, ("target_changed",), "the last look counts"),
    Row(S.RUNNING, SNAPSHOT_STARTED, S.RUNNING, (), "the intent is stored first"),
    Row(S.RUNNING, StepDone(Step.SNAPSHOT), S.RUNNING, (), "the outcome is stored after"),
    Row(S.RUNNING, StepFailed(Step.SNAPSHOT, Failure.PASSING, "502"), S.RUNNING, (), "a passing failure waits"),
    Row(S.RUNNING, RetryAsked(MODERATOR), S.RUNNING, (), "!retry ends a wait"),
    Row(S.RELEASING, StepDone(Step.RELEASE), S.CANCELLED, ("cancelled",), "set free, it has ended"),
    Row(S.RELEASING, StepFailed(Step.RELEASE, Failure.PASSING, "502"), S.RELEASING, (), "it is tried until it is done"),
    Row(S.RELEASING, RetryAsked(MODERATOR), S.RELEASING, (), "!retry ends a wait there too"),
    Row(S.BLOCKED, RetryAsked(MODERATOR), S.RUNNING, (), "!retry goes on at the step that failed"),
    Row(S.BLOCKED, Cancelled(MODERATOR), S.RELEASING, ("releasing",), "giving up lifts the suspension first"),
    Row(S.BLOCKED, Closed(MODERATOR, "why", others=False), S.CLOSED, ("closed",), "!close ends it with open points"),
)  # fmt: skip


def given(row: Row) -> Request:
    """A request in the row's state, brought to where the row's event makes sense."""
    request = in_state(row.given)
    if isinstance(row.event, HandoverNamed):
        request = replace(request, kind=Kind.OWN)
    if row.given is State.AWAITING_CONFIRMATION and row.event is LOGGED_IN:
        return own()
    match row.given, row.event:
        case State.RUNNING, (StepDone() | StepFailed()):
            return play(request, SNAPSHOT_STARTED)
        case (State.RUNNING, RetryAsked()):
            return failed(request, Step.SNAPSHOT, Failure.PASSING)
        case (State.BLOCKED, Closed()):
            return failed(after(in_state(State.RUNNING), Step.DEACTIVATE), Step.WAIT, Failure.NEEDS_PERSON)
        case (State.RELEASING, RetryAsked()):
            return play(request, StepFailed(Step.RELEASE, Failure.PASSING, "502"))
        case _:
            return request


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
def test_transition(row: Row) -> None:
    """Each row of the table does what its sentence says."""
    request = given(row)
    decision = decide(request, row.event, row.now)
    assert (decision.refusal, decision.request.state, decision.say) == (None, row.then, row.say)
    assert decision.request != request


def test_every_transition_has_its_sentence() -> None:
    """A row that is added to the table, or taken out, is noticed here."""
    assert {(row.given, type(row.event)) for row in ROWS} == set(TRANSITIONS)


def test_what_the_table_does_not_have_does_not_happen() -> None:
    """Any other event leaves the request as it is, object for object, and names the state as the reason."""
    events = {type(row.event): row.event for row in ROWS}
    for state in State:
        for kind, event in events.items():
            if (state, kind) not in TRANSITIONS:
                request = in_state(state)
                decision = decide(request, event, NOW)
                assert decision.request is request
                assert (decision.refusal, decision.say) == (state.value, ())
