"""What a step's record keeps of its attempts, when it is tried again, and what is known once it has ended."""

from __future__ import annotations

import pytest

from removal.lifecycle import (
    BACK_OFF_MS,
    FEWEST_TRIES,
    IN_THE_AIR_MS,
    MUTE_AT_MOST_MS,
    NOT_YET_AT_MOST_MS,
    Closed,
    Event,
    StepDone,
    StepFailed,
    StepStarted,
    TargetChanged,
    TimePassed,
    decide,
    wake_ts,
)
from removal.plan import Aim, Options, Step
from removal.request import Failure, Request, Rules, State, StepRecord, StepState
from tests.support.made_requests import (
    MINUTE,
    NOW,
    OWN_YES,
    SECOND_MODERATOR,
    YES,
    after,
    failed,
    in_state,
    moderation,
    own,
    play,
    proofs,
)

LATE = NOW + 11 * MINUTE


def record_of(request: Request, step: Step) -> StepRecord:
    """What became of a step that the plan has."""
    record = request.record(step)
    assert record is not None
    return record


# --- ends ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("request_", "event", "state", "by", "because"),
    [
        (moderation(), TimePassed(LATE), State.EXPIRED, None, ""),
        (moderation(), TargetChanged(("admin", "locked")), State.CANCELLED, None, "changed:admin,locked"),
        (in_state(State.RUNNING), TargetChanged(("guest",)), State.CANCELLED, None, "changed:guest"),
        (
            play(in_state(State.RUNNING), StepStarted(Step.SNAPSHOT)),
            StepFailed(Step.SNAPSHOT, Failure.IMPOSSIBLE, "no such account"),
            State.FAILED,
            None,
            "no such account",
        ),
        (
            failed(after(in_state(State.RUNNING), Step.DEACTIVATE), Step.WAIT, Failure.NEEDS_PERSON),
            Closed(SECOND_MODERATOR, "seen to", others=True),
            State.CLOSED,
            SECOND_MODERATOR,
            "seen to",
        ),
    ],
    ids=["expired", "changed before the ✅", "changed before it was touched", "impossible", "closed"],
)
def test_what_has_ended_says_when_by_whom_and_why(
    request_: Request, event: Event, state: State, by: str | None, because: str
) -> None:
    """Nobody is named where nobody ended it."""
    ended = play(request_, event, now=LATE)
    assert (ended.state, ended.ended_ts, ended.ended_by, ended.ended_because) == (state, LATE, by, because)


def test_what_was_confirmed_by_the_homeserver_is_done_and_told() -> None:
    """All proofs read back, the removal ends with the last of them."""
    request = play(after(in_state(State.RUNNING), Step.RELEASE), StepStarted(Step.VERIFY))
    decision = decide(request, StepDone(Step.VERIFY, proofs(request)), LATE)
    assert (decision.request.state, decision.request.ended_ts, decision.say) == (State.DONE, LATE, ("done",))
    assert (decision.request.ended_by, decision.request.ended_because) == (None, "")


# --- attempts --------------------------------------------------------------------------------------------------------
def test_a_step_that_was_done_in_the_end_shows_no_failure_any_more() -> None:
    """Its answer and its time are those of the attempt that succeeded."""
    request = failed(in_state(State.RUNNING), Step.SNAPSHOT, Failure.PASSING, "502")
    record = record_of(request, Step.SNAPSHOT)
    assert (record.state, record.failure, record.cause) == (StepState.FAILED, Failure.PASSING, "502")
    request = play(request, StepStarted(Step.SNAPSHOT), StepDone(Step.SNAPSHOT, {"rooms": 3}), now=LATE)
    record = record_of(request, Step.SNAPSHOT)
    assert (record.state, record.ended_ts, record.answer) == (StepState.DONE, LATE, {"rooms": 3})
    assert (record.attempts, record.started_ts, record.failure, record.cause) == (2, NOW, None, "")


def test_an_attempt_ends_the_wait_for_it() -> None:
    """From then on only its outcome says when it is tried again."""
    waiting = failed(in_state(State.RUNNING), Step.SNAPSHOT, Failure.PASSING)
    assert wake_ts(waiting) == NOW + BACK_OFF_MS[0]
    started = play(waiting, StepStarted(Step.SNAPSHOT))
    assert (started.retry_ts, wake_ts(started)) == (None, 0)


def test_a_step_that_is_begun_again_without_an_outcome_is_unsure_since_then() -> None:
    """The attempt before it was in the air when the bot stopped."""
    request = play(after(in_state(State.RUNNING), Step.THREEPIDS), StepStarted(Step.DEACTIVATE))
    record = record_of(request, Step.DEACTIVATE)
    assert (record.unsure, record.unsure_ts) == (False, None)
    record = record_of(play(request, StepStarted(Step.DEACTIVATE), now=LATE), Step.DEACTIVATE)
    assert (record.unsure, record.unsure_ts, record.attempts) == (True, LATE, 2)


@pytest.mark.parametrize("early", [0, 1])
def test_an_attempt_is_in_the_air_for_a_bounded_time(early: int) -> None:
    """Then what the homeserver shows as undone is undone, and nothing is unsure any more."""
    request = after(play(own(rules=Rules()), OWN_YES), Step.THREEPIDS)
    request = failed(request, Step.DEACTIVATE, Failure.PASSING, "no answer")
    refused = StepFailed(Step.DEACTIVATE, Failure.NEEDS_PERSON, "no", undone=True)
    now = NOW + IN_THE_AIR_MS - early
    request = play(request, StepStarted(Step.DEACTIVATE), refused, now=now)
    assert request.state is (State.RUNNING if early else State.RELEASING)
    assert record_of(request, Step.DEACTIVATE).unsure is bool(early)


def test_what_lacks_is_named() -> None:
    """In the order in which it was promised."""
    request = play(after(in_state(State.RUNNING), Step.RELEASE), StepStarted(Step.VERIFY))
    answer = {"proofs": {**proofs(request)["proofs"], "no_rooms": False, "no_devices": False}}
    record = record_of(play(request, StepDone(Step.VERIFY, answer)), Step.VERIFY)
    assert record.cause == "not confirmed yet: no_devices, no_rooms"
    assert record.answer == answer


def test_a_proof_needs_a_person_after_an_hour_and_some_tries() -> None:
    """The last of the fewest tries is enough, not one less."""
    request = after(in_state(State.RUNNING), Step.RELEASE)
    lacking = StepDone(Step.VERIFY, {"proofs": {}})
    for attempt in range(1, FEWEST_TRIES + 1):
        assert request.state is State.RUNNING
        now = NOW if attempt == 1 else NOW + NOT_YET_AT_MOST_MS + attempt
        request = play(request, StepStarted(Step.VERIFY), lacking, now=now)
    assert request.state is State.BLOCKED


@pytest.mark.parametrize("more", [0, 1])
def test_six_hours_of_silence_are_the_most_for_a_person(more: int) -> None:
    """Then the account is set free, and the cause of the last failure is the reason."""
    request = after(play(own(rules=Rules()), OWN_YES), Step.SUSPEND)
    late = StepStarted(Step.THREEPIDS), StepFailed(Step.THREEPIDS, Failure.PASSING, "503")
    request = play(request, *late, now=NOW + MUTE_AT_MOST_MS + more)
    assert (request.state, request.ended_because) == ((State.RELEASING, "503") if more else (State.RUNNING, ""))


def test_what_suspends_nobody_keeps_nobody_mute() -> None:
    """A redaction is tried again however long it takes."""
    request = play(moderation(options=Options(aim=Aim.REDACT, redact=True)), YES)
    request = after(request, Step.SNAPSHOT)
    failing = StepStarted(Step.REDACT), StepFailed(Step.REDACT, Failure.PASSING, "502")
    request = play(request, *failing, now=NOW + 9 * MUTE_AT_MOST_MS)
    assert (request.state, request.retry_ts) == (State.RUNNING, NOW + 9 * MUTE_AT_MOST_MS + BACK_OFF_MS[0])


# --- setting free ----------------------------------------------------------------------------------------------------
def test_people_hear_once_that_an_account_is_not_free_yet() -> None:
    """At the third failure, and not again."""
    request, told = in_state(State.RELEASING), []
    for _ in range(5):
        decision = decide(request, StepFailed(Step.RELEASE, Failure.PASSING, "502"), NOW)
        request = decision.request
        told.append(decision.say)
    assert told == [(), (), ("open",), (), ()]


@pytest.mark.parametrize("failure", Failure)
def test_setting_free_is_tried_again_whatever_failed(failure: Failure) -> None:
    """The kind of failure is kept; the homeserver's own wait is never undercut, and jitter spreads ours."""
    releasing = in_state(State.RELEASING)

    def retried(jitter: float = 1.0, retry_after_ms: int | None = None) -> int | None:
        event = StepFailed(Step.RELEASE, failure, "no", jitter=jitter, retry_after_ms=retry_after_ms)
        request = play(releasing, event)
        assert request.state is State.RELEASING
        record = record_of(request, Step.RELEASE)
        assert (record.failure, record.cause, record.attempts, record.started_ts) == (failure, "no", 1, NOW)
        return request.retry_ts

    assert retried() == NOW + BACK_OFF_MS[0]
    assert retried(jitter=0.8) == NOW + int(BACK_OFF_MS[0] * 0.8)
    assert retried(retry_after_ms=90_000) == NOW + 90_000
