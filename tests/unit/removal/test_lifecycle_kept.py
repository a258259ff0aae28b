"""What a request keeps of what happened to it: who, when and why; and the moments at which one rule ends and the next
begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from removal.lifecycle import (
    REMINDER_LATE_MS,
    Answered,
    Cancelled,
    ConfirmedByLogIn,
    Replaced,
    RetryAsked,
    StepDone,
    StepFailed,
    StepStarted,
    TimePassed,
    decide,
)
from removal.plan import Step
from removal.request import Failure, ProvedBy, Question, Rules, State, StepState
from tests.support.made_requests import (
    DAY,
    LEAVER,
    LOGGED_IN,
    MINUTE,
    MODERATOR,
    NOW,
    OWN_YES,
    SECOND_MODERATOR,
    after,
    failed,
    in_state,
    own,
    play,
)

END = NOW + 10 * MINUTE


# --- a log-in --------------------------------------------------------------------------------------------------------
def test_a_log_in_is_the_confirmation_where_there_was_none() -> None:
    """On the page there is no ✅ before it: who logged in and when is kept. Where there was one, its time is."""
    later = ConfirmedByLogIn(LEAVER, NOW + 5)
    on_page = play(own(), later, now=NOW + 6)
    assert (on_page.confirmer_id, on_page.confirmed_ts) == (LEAVER, NOW + 5)
    in_chat = play(in_state(State.AWAITING_LOG_IN), later, now=NOW + 6)
    assert (in_chat.confirmer_id, in_chat.confirmed_ts) == (LEAVER, NOW)


@pytest.mark.parametrize("by", [MODERATOR, "@Leaver:example.org"])
def test_somebody_elses_log_in_is_none(by: str) -> None:
    """Only the account that is to go."""
    assert decide(in_state(State.AWAITING_LOG_IN), ConfirmedByLogIn(by, NOW), NOW).refusal == "only_requester"


def test_a_moderators_request_is_not_confirmed_by_a_log_in() -> None:
    """It stands in the admin room."""
    assert decide(in_state(State.AWAITING_CONFIRMATION), LOGGED_IN, NOW).refusal == "awaiting_confirmation"


# --- questions and prompts -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("now", "expires_ts"), [(NOW - 1, END), (NOW, END), (NOW + 1, END + 1), (END, END + 10 * MINUTE)]
)
def test_each_answer_gives_the_whole_time_for_the_next(now: int, expires_ts: int) -> None:
    """A clock that was set back takes none away."""
    request = own(state=State.ASKING, questions=(Question.ERASE, Question.MEDIA))
    assert play(request, Answered(Question.ERASE, False), now=now).expires_ts == expires_ts


def test_a_replaced_request_names_the_one_that_came_after() -> None:
    """Whoever asked ended it by asking anew."""
    ended = play(in_state(State.AWAITING_CONFIRMATION), Replaced(8), now=NOW + 5)
    assert (ended.ended_ts, ended.ended_by, ended.ended_because) == (NOW + 5, MODERATOR, "R8")


# --- dates -----------------------------------------------------------------------------------------------------------
def test_what_was_due_began_when_it_began() -> None:
    """Not when it was asked for, nor when it was due."""
    begun = play(in_state(State.SCHEDULED), TimePassed(0), now=NOW + 4 * DAY)
    assert (begun.state, begun.started_ts, begun.due_ts) == (State.RUNNING, NOW + 4 * DAY, None)


def test_a_homeserver_that_was_heard_at_the_time_of_the_reminder_is_there() -> None:
    """To the millisecond."""
    request = play(own(rules=Rules(grace_ms=7 * DAY)), OWN_YES)
    at = NOW + 6 * DAY
    assert decide(request, TimePassed(at - 1), at).refusal == "not_yet"
    assert decide(request, TimePassed(at), at).say == ("reminder",)


@pytest.mark.parametrize("late", [0, 1])
def test_a_reminder_may_be_a_little_late(late: int) -> None:
    """From a certain delay on, the person has a day from then on."""
    request = play(own(rules=Rules(grace_ms=7 * DAY)), OWN_YES)
    now = NOW + 6 * DAY + REMINDER_LATE_MS + late
    reminded = play(request, TimePassed(now), now=now)
    assert (reminded.due_ts, reminded.reminded_ts) == (now + DAY if late else NOW + 7 * DAY, now)


# --- giving up -------------------------------------------------------------------------------------------------------
def test_whoever_gave_up_is_named_once_the_account_is_free() -> None:
    """With their reason, and when it was lifted; what had failed before is no part of the outcome any more."""
    cancelled = Cancelled(SECOND_MODERATOR, "a mistake")
    releasing = play(after(in_state(State.RUNNING), Step.SUSPEND), cancelled, now=NOW + 5)
    assert (releasing.state, releasing.ended_ts) == (State.RELEASING, None)
    assert (releasing.ended_by, releasing.ended_because) == (SECOND_MODERATOR, "a mistake")
    releasing = play(releasing, StepFailed(Step.RELEASE, Failure.PASSING, "502"), now=NOW + 6)
    answer: dict[str, Any] = {"was": "suspended"}
    ended = play(releasing, StepDone(Step.RELEASE, answer), now=NOW + 7)
    assert (ended.state, ended.ended_ts, ended.ends_as, ended.retry_ts) == (State.CANCELLED, NOW + 7, None, None)
    assert (ended.ended_by, ended.ended_because) == (SECOND_MODERATOR, "a mistake")
    record = ended.record(Step.RELEASE)
    assert record is not None
    assert (record.state, record.ended_ts, record.answer) == (StepState.DONE, NOW + 7, answer)
    assert (record.attempts, record.failure, record.cause) == (1, None, "")


# --- trying again ----------------------------------------------------------------------------------------------------
def test_what_is_being_done_is_not_tried_again() -> None:
    """There is no wait that `!retry` could end."""
    assert decide(in_state(State.RUNNING), RetryAsked(MODERATOR), NOW).refusal == "running"
    assert decide(in_state(State.RELEASING), RetryAsked(MODERATOR), NOW).refusal == "running"


def test_a_wait_that_somebody_ended_is_over() -> None:
    """The next attempt comes at once."""
    waiting = failed(in_state(State.RUNNING), Step.SNAPSHOT, Failure.PASSING)
    assert play(waiting, RetryAsked(MODERATOR)) == replace(waiting, retry_ts=None)


def test_after_a_retry_people_hear_again_what_stays_open() -> None:
    """Somebody was sent for, looked, and tried again: what then still lacks is news."""
    lacking = StepDone(Step.VERIFY, {"proofs": {}, "lasting": True})
    once = StepDone(Step.VERIFY, {"proofs": {}})
    request = play(after(in_state(State.RUNNING), Step.RELEASE), StepStarted(Step.VERIFY), once)
    assert request.open_said is True
    blocked = play(request, StepStarted(Step.VERIFY), lacking)
    assert (blocked.state, blocked.retry_ts) == (State.BLOCKED, None)
    again = play(blocked, RetryAsked(MODERATOR), now=NOW + 5)
    assert (again.state, again.retry_ts, again.open_said) == (State.RUNNING, None, False)
    assert decide(play(again, StepStarted(Step.VERIFY)), once, NOW + 6).say == ("open",)


def test_a_person_who_logs_in_has_as_long_as_they_had_to_press() -> None:
    """The time begins anew with the ✅."""
    rules = Rules(proved_by=ProvedBy.LOGIN)
    assert play(own(rules=rules), OWN_YES, now=NOW + 5).expires_ts == END + 5
    assert play(own(rules=rules), OWN_YES, now=NOW - 5).expires_ts == END
