"""The rules behind the transitions: who may confirm, until when, how steps fail, and when the clock matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from removal.lifecycle import (
    BACK_OFF_MS,
    IN_THE_AIR_MS,
    MUTE_AT_MOST_MS,
    NOT_YET_AT_MOST_MS,
    Answered,
    ApprovalRefused,
    Approved,
    Cancelled,
    Closed,
    ConfirmationWithdrawn,
    Confirmed,
    ConfirmedByLogIn,
    Declined,
    Event,
    HandoverNamed,
    MatrixIDTyped,
    RetryAsked,
    StepDone,
    StepFailed,
    StepStarted,
    TargetChanged,
    TimePassed,
    can_cancel,
    decide,
    reminder_ts,
    wake_ts,
)
from removal.plan import Media, Step
from removal.request import ConfirmedBy, Failure, Question, Request, Rules, State, StepState
from tests.support.made_requests import (
    DAY,
    LEAVER,
    MINUTE,
    MODERATOR,
    NOW,
    OWN_YES,
    SECOND_MODERATOR,
    SECOND_YES,
    SPAMMER,
    YES,
    after,
    done,
    failed,
    in_state,
    moderation,
    own,
    play,
    proofs,
)

# --- who may confirm -------------------------------------------------------------------------------------------------
ANY, REQUESTER, OTHER = ConfirmedBy.ANY_MODERATOR, ConfirmedBy.REQUESTER, ConfirmedBy.OTHER_MODERATOR


@pytest.mark.parametrize(
    ("confirmed_by", "needs_other", "event", "refusal"),
    [
        (ANY, False, YES, None),
        (ANY, False, SECOND_YES, None),
        (ANY, True, YES, "needs_other"),
        (ANY, True, SECOND_YES, None),
        (REQUESTER, False, YES, None),
        (REQUESTER, False, SECOND_YES, "only_requester"),
        (REQUESTER, True, YES, "needs_other"),
        (REQUESTER, True, SECOND_YES, None),
        (OTHER, False, YES, "needs_other"),
        (OTHER, False, SECOND_YES, None),
        (OTHER, True, YES, "needs_other"),
        (OTHER, True, SECOND_YES, None),
    ],
)
def test_who_may_confirm(confirmed_by: ConfirmedBy, needs_other: bool, event: Confirmed, refusal: str | None) -> None:
    """The setting says who may confirm; over the cap it is always somebody else, so that it stays possible."""
    request = moderation(rules=Rules(confirmed_by=confirmed_by, needs_other=needs_other))
    assert decide(request, event, NOW).refusal == refusal


def test_the_target_never_confirms_a_moderators_removal() -> None:
    """Not even where the target became a moderator meanwhile."""
    assert decide(moderation(), Confirmed(SPAMMER, NOW, "$x"), NOW).refusal == "target"


def test_only_the_person_confirms_their_own_removal() -> None:
    """A moderator's ✅ in somebody's own request is nothing."""
    assert decide(own(), YES, NOW).refusal == "only_requester"


def test_a_moderators_plan_is_what_was_shown() -> None:
    """A successor can be named later in a person's own request only, and the last one named for a room counts."""
    named = HandoverNamed("!room:example.org", MODERATOR)
    assert decide(moderation(), named, NOW).refusal == "awaiting_confirmation"
    request = play(own(), named, HandoverNamed("!room:example.org", SECOND_MODERATOR))
    assert request.options.handover == (("!room:example.org", SECOND_MODERATOR),)


def test_the_matrix_id_must_be_exact() -> None:
    """Matrix IDs differ by case; another one, or a part of it, doesn't count."""
    request = in_state(State.AWAITING_MATRIX_ID)
    for text in ("@Leaver:example.org", "@leaver", "", LEAVER + " "):
        assert decide(request, MatrixIDTyped(text, NOW), NOW).refusal == "wrong_matrix_id"


def test_nobody_approves_or_refuses_their_own_request() -> None:
    """A moderator who leaves needs another moderator."""
    request = in_state(State.AWAITING_APPROVAL)
    assert decide(request, Approved(LEAVER), NOW).refusal == "own"
    assert decide(request, ApprovalRefused(LEAVER, ""), NOW).refusal == "own"


def test_answers_come_in_order_and_choose_options() -> None:
    """The first open question is the one that is answered; all answered, the prompt follows."""
    request = own(state=State.ASKING, questions=(Question.ERASE, Question.MEDIA))
    assert decide(request, Answered(Question.MEDIA, True), NOW).refusal == "not_asked"
    first = decide(request, Answered(Question.ERASE, True), NOW)
    assert (first.request.state, first.say) == (State.ASKING, ("question",))
    second = decide(first.request, Answered(Question.MEDIA, True), NOW).request
    assert (second.options.erase, second.options.media) == (True, Media.DELETE)
    assert decide(first.request, Answered(Question.MEDIA, False), NOW).request.options.media is Media.KEEP


# --- expiry ----------------------------------------------------------------------------------------------------------
END = NOW + 10 * MINUTE


@pytest.mark.parametrize(
    ("at_ts", "now", "refusal"),
    [
        (END, END, None),
        (END, END + 10 * MINUTE, None),
        (END, END + 10 * MINUTE + 1, "expired"),
        (END + 1, END + 1, "expired"),
        (NOW, NOW - DAY, None),
    ],
    ids=["in time", "in time, heard late", "heard too late", "too late", "our clock was set back"],
)
def test_a_confirmation_counts_by_the_homeservers_time(at_ts: int, now: int, refusal: str | None) -> None:
    """Pressed before the end it counts, if it is heard at most `expires_after` later."""
    assert decide(moderation(), Confirmed(MODERATOR, at_ts, "$yes"), now).refusal == refusal
    typed = replace(in_state(State.AWAITING_MATRIX_ID), expires_ts=END)
    assert decide(typed, MatrixIDTyped(LEAVER, at_ts), now).refusal == refusal
    logged_in = decide(in_state(State.AWAITING_LOG_IN), ConfirmedByLogIn(LEAVER, at_ts), now)
    assert logged_in.refusal == refusal


@pytest.mark.parametrize(
    ("synced_ts", "now", "expires"),
    [
        (END, END + 1, False),
        (END + 1, END + 1, True),
        (0, END + 10 * MINUTE, False),
        (0, END + 10 * MINUTE + 1, True),
    ],
    ids=["not yet seen past its end", "seen past its end", "sync is away", "sync is away for too long"],
)
def test_a_prompt_expires_once_nothing_sent_in_time_can_still_arrive(synced_ts: int, now: int, expires: bool) -> None:
    """While sync lags, a ✅ that was pressed in time may be on its way; but not for ever."""
    decision = decide(moderation(), TimePassed(synced_ts), now)
    assert decision.request.state is (State.EXPIRED if expires else State.AWAITING_CONFIRMATION)
    assert decision.refusal == (None if expires else "not_yet")


def test_typing_gets_as_long_as_pressing() -> None:
    """Whoever pressed ✅ in the last second still has the whole time to type the Matrix ID."""
    assert play(own(), OWN_YES, now=END).expires_ts == END + 10 * MINUTE


def test_a_withdrawn_confirmation_leaves_nothing_behind() -> None:
    """The request waits again as if nobody had confirmed; a new ✅ begins from the start."""
    request = failed(in_state(State.RUNNING), Step.SNAPSHOT, Failure.PASSING)
    waiting = play(request, ConfirmationWithdrawn(MODERATOR))
    assert waiting == moderation()
    late = decide(request, ConfirmationWithdrawn(MODERATOR), END + 1)
    assert (late.request.state, late.say) == (State.EXPIRED, ("expired",))


@pytest.mark.parametrize("event", [Declined(MODERATOR), ConfirmationWithdrawn(MODERATOR), TargetChanged(("admin",))])
def test_once_something_was_changed_only_cancel_ends_it(event: Event) -> None:
    """❌, a withdrawn ✅ or a changed account come too late when the first change has begun."""
    request = play(after(in_state(State.RUNNING), Step.SNAPSHOT), StepStarted(Step.SUSPEND))
    assert decide(request, event, NOW).refusal == "begun"


# --- the steps -------------------------------------------------------------------------------------------------------
def test_steps_come_in_order_each_started_before_it_is_done() -> None:
    """What isn't the current step, or wasn't started, has no outcome."""
    request = in_state(State.RUNNING)
    assert decide(request, StepStarted(Step.DEACTIVATE), NOW).refusal == "not_current"
    assert decide(request, StepDone(Step.SNAPSHOT), NOW).refusal == "not_started"
    assert decide(request, StepFailed(Step.SNAPSHOT, Failure.PASSING, ""), NOW).refusal == "not_started"
    assert decide(done(request, Step.SNAPSHOT), StepDone(Step.SNAPSHOT), NOW).refusal == "not_current"


def test_back_off_grows_and_stays_at_its_longest() -> None:
    """Each passing failure waits longer than the one before, up to the longest wait, which goes on."""
    request, waits = in_state(State.RUNNING), []
    for _ in range(len(BACK_OFF_MS) + 2):
        request = failed(request, Step.SNAPSHOT, Failure.PASSING)
        assert request.retry_ts is not None
        waits.append(request.retry_ts - NOW)
    assert tuple(waits) == (*BACK_OFF_MS, BACK_OFF_MS[-1], BACK_OFF_MS[-1])
    assert list(BACK_OFF_MS) == sorted(set(BACK_OFF_MS))


@pytest.mark.parametrize("step", [Step.SUSPEND, Step.VERIFY, Step.RELEASE])
def test_what_is_not_shown_yet_is_looked_at_again_soon(step: Step) -> None:
    """A homeserver with workers may show late what was done: the next look comes after seconds however many there
    were, and only after long grow the waits."""
    request = in_state(State.RUNNING)
    while request.current_step is not None and request.current_step.step is not step:
        request = done(request, request.current_step.step)
    for elapsed, wait in ((0, 5_000), (40_000, 5_000), (60_000, 6_000), (3_600_000, 300_000), (10**9, 900_000)):
        now = NOW + elapsed
        request = decide(request, StepStarted(step), now).request
        request = decide(request, StepFailed(step, Failure.PASSING, "not shown"), now).request
        assert request.retry_ts == now + wait


def test_a_suspension_that_is_lifted_late_is_looked_at_again_soon() -> None:
    """The same where a removal was given up and the account is set free."""
    request = in_state(State.RELEASING)
    for elapsed, wait in ((0, 5_000), (40_000, 5_000), (60_000, 6_000), (3_600_000, 300_000)):
        now = NOW + elapsed
        request = decide(request, StepFailed(Step.RELEASE, Failure.PASSING, "not shown"), now).request
        assert request.retry_ts == now + wait


def test_the_homeservers_own_wait_is_obeyed_and_jitter_spreads() -> None:
    """`Retry-After` is never undercut; jitter stretches or shortens the wait of ours only."""
    request = in_state(State.RUNNING)
    assert failed(request, Step.SNAPSHOT, Failure.PASSING, retry_after_ms=90_000).retry_ts == NOW + 90_000
    assert failed(request, Step.SNAPSHOT, Failure.PASSING, retry_after_ms=10).retry_ts == NOW + BACK_OFF_MS[0]
    assert failed(request, Step.SNAPSHOT, Failure.PASSING, jitter=0.8).retry_ts == NOW + int(BACK_OFF_MS[0] * 0.8)


def test_people_hear_once_that_it_takes_long() -> None:
    """The third failure is told, the following are not; after a retry by hand it may be told again."""
    request, told = in_state(State.RUNNING), []
    for _ in range(5):
        request = play(request, StepStarted(Step.SNAPSHOT))
        decision = decide(request, StepFailed(Step.SNAPSHOT, Failure.PASSING, "502"), NOW)
        request = decision.request
        told.append(decision.say)
    assert told == [(), (), ("open",), (), ()]


def test_an_unconfirmed_proof_is_open_and_never_done() -> None:
    """What couldn't be read back is said at once, by name, and looked at again."""
    request = play(after(in_state(State.RUNNING), Step.RELEASE), StepStarted(Step.VERIFY))
    answers: list[dict[str, Any]] = [{}, {"proofs": {}}, {"proofs": {**proofs(request)["proofs"], "no_rooms": "True"}}]
    for answer in answers:
        decision = decide(request, StepDone(Step.VERIFY, answer), NOW)
        assert (decision.request.state, decision.say) == (State.RUNNING, ("open",))
        record = decision.request.record(Step.VERIFY)
        assert record is not None
        assert (record.state, "no_rooms" in record.cause) == (StepState.FAILED, True)
        assert decision.request.retry_ts is not None


@pytest.mark.parametrize("failure", [Failure.NEEDS_PERSON, Failure.IMPOSSIBLE])
def test_a_refused_deactivation_did_nothing(failure: Failure) -> None:
    """The homeserver's plain no leaves the way back open: the account can be set free again."""
    request = failed(after(in_state(State.RUNNING), Step.THREEPIDS), Step.DEACTIVATE, failure)
    assert not request.began_final_step
    if failure is Failure.NEEDS_PERSON:
        assert (request.state, can_cancel(request)) == (State.BLOCKED, True)
    else:
        assert (request.state, request.ends_as) == (State.RELEASING, State.FAILED)


@pytest.mark.parametrize("failure", [Failure.NEEDS_PERSON, Failure.IMPOSSIBLE])
@pytest.mark.parametrize("crash", [False, True])
def test_a_refusal_after_an_unknown_outcome_proves_nothing(failure: Failure, crash: bool) -> None:
    """An earlier attempt that timed out, or was in the air at a crash, may have acted: there's no way back."""
    request = play(after(in_state(State.RUNNING), Step.THREEPIDS), StepStarted(Step.DEACTIVATE))
    if not crash:
        request = play(request, StepFailed(Step.DEACTIVATE, Failure.PASSING, "no answer"))
    request = failed(request, Step.DEACTIVATE, failure)
    assert (request.state, request.began_final_step) == (State.BLOCKED, True)
    assert decide(request, Cancelled(MODERATOR), NOW).refusal == "too_late"


def test_a_persons_own_account_is_set_free_when_somebody_has_to_help() -> None:
    """A moderator's target stays suspended; whoever leaves of their own will is not locked in."""
    running = play(own(rules=Rules()), OWN_YES)
    freed = failed(after(running, Step.SUSPEND), Step.THREEPIDS, Failure.NEEDS_PERSON, "an identity server is away")
    assert (freed.state, freed.ends_as) == (State.RELEASING, State.FAILED)
    assert play(freed, StepDone(Step.RELEASE)).ended_because == "an identity server is away"


def test_what_the_homeserver_shows_clears_up_an_unknown_outcome() -> None:
    """Shown as not deactivated long after the attempt we know nothing of, an account is free to be set free again."""
    request = after(play(own(rules=Rules()), OWN_YES), Step.THREEPIDS)
    request = failed(request, Step.DEACTIVATE, Failure.PASSING, "no answer")
    refused = StepFailed(Step.DEACTIVATE, Failure.NEEDS_PERSON, "the identity server is away", undone=True)
    soon = play(request, StepStarted(Step.DEACTIVATE), refused, now=NOW + MINUTE)
    assert (soon.state, soon.began_final_step) == (State.RUNNING, True)
    assert soon.retry_ts is not None and soon.retry_ts >= NOW + MINUTE + IN_THE_AIR_MS
    late = play(soon, StepStarted(Step.DEACTIVATE), refused, now=NOW + 60 * MINUTE)
    assert (late.state, late.ends_as, late.began_final_step) == (State.RELEASING, State.FAILED, False)


def test_a_person_is_not_kept_mute_for_long_by_steps_that_keep_failing() -> None:
    """Six hours after the suspension, an account that still isn't deactivated is set free and its owner told."""
    request = after(play(own(rules=Rules()), OWN_YES), Step.SUSPEND)
    once = failed(request, Step.THREEPIDS, Failure.PASSING, "502")
    assert once.state is State.RUNNING
    events = StepStarted(Step.THREEPIDS), StepFailed(Step.THREEPIDS, Failure.PASSING, "502")
    freed = play(once, *events, now=NOW + MUTE_AT_MOST_MS + 1)
    assert (freed.state, freed.ends_as) == (State.RELEASING, State.FAILED)
    target = failed(after(in_state(State.RUNNING), Step.SUSPEND), Step.THREEPIDS, Failure.PASSING, "502")
    assert play(target, *events, now=NOW + MUTE_AT_MOST_MS + 1).state is State.RUNNING


def test_after_deactivation_nothing_gives_up() -> None:
    """Even the impossible only waits for a person then: the account is gone, the rest has to follow."""
    request = failed(after(in_state(State.RUNNING), Step.DEACTIVATE), Step.WAIT, Failure.IMPOSSIBLE)
    assert request.state is State.BLOCKED


@pytest.mark.parametrize("event", [StepDone(Step.SUSPEND), StepFailed(Step.SUSPEND, Failure.PASSING, "502")])
def test_an_outcome_that_comes_after_cancel_is_no_release(event: Event) -> None:
    """The suspension that was in the air when somebody cancelled still has to be lifted, and without delay."""
    request = play(after(in_state(State.RUNNING), Step.SNAPSHOT), StepStarted(Step.SUSPEND), Cancelled(MODERATOR))
    assert request.state is State.RELEASING
    assert decide(request, event, NOW).refusal == "not_releasing"


def test_a_release_that_fails_is_what_people_are_told() -> None:
    """While a suspension is being lifted, that is the current step, with its cause."""
    request = in_state(State.RELEASING)
    for _ in range(3):
        decision = decide(request, StepFailed(Step.RELEASE, Failure.NEEDS_PERSON, "forbidden"), NOW)
        request = decision.request
    assert decision.say == ("open",)
    assert request.current_step is not None
    assert (request.current_step.step, request.current_step.cause) == (Step.RELEASE, "forbidden")


# --- what never comes true -------------------------------------------------------------------------------------------
LACKING = {"proofs": {"deactivated": True}}


def reading(request: Request, now: int, **answer: Any) -> Request:
    """The request after the result was read back once more, and not all of it held."""
    return play(request, StepStarted(Step.VERIFY), StepDone(Step.VERIFY, {**LACKING, **answer}), now=now)


def test_a_proof_that_never_holds_needs_a_person_after_an_hour() -> None:
    """Until then it is tried again; people hear of it at the first try, and again when it needs them."""
    request = play(after(in_state(State.RUNNING), Step.RELEASE), StepStarted(Step.VERIFY))
    decision = decide(request, StepDone(Step.VERIFY, LACKING), NOW)
    assert (decision.request.state, decision.say) == (State.RUNNING, ("open",))
    request = reading(reading(decision.request, NOW + MINUTE), NOW + NOT_YET_AT_MOST_MS)
    assert request.state is State.RUNNING
    request = play(request, StepStarted(Step.VERIFY))
    decision = decide(request, StepDone(Step.VERIFY, LACKING), NOW + NOT_YET_AT_MOST_MS + 1)
    assert (decision.request.state, decision.say) == (State.BLOCKED, ("blocked",))
    again = play(decision.request, RetryAsked(MODERATOR), now=NOW + DAY)
    assert reading(again, NOW + DAY + MINUTE).state is State.RUNNING  # the hour begins anew


def test_a_stop_of_the_bot_is_no_hour_of_trying() -> None:
    """Whatever lies between the first try and the second."""
    request = reading(after(in_state(State.RUNNING), Step.RELEASE), NOW)
    assert reading(request, NOW + 30 * DAY).state is State.RUNNING


def test_what_is_known_to_last_needs_a_person_at_once() -> None:
    """Nobody is kept waiting for a room that can't be left."""
    assert reading(after(in_state(State.RUNNING), Step.RELEASE), NOW, lasting=True).state is State.BLOCKED


def test_a_homeserver_that_is_away_needs_nobody_however_long() -> None:
    """It comes back by itself."""
    request = after(in_state(State.RUNNING), Step.DEACTIVATE)
    for days in range(5):
        request = play(
            request, StepStarted(Step.WAIT), StepFailed(Step.WAIT, Failure.PASSING, "502"), now=NOW + days * DAY
        )
    assert request.state is State.RUNNING


def test_before_the_deactivation_a_persons_account_is_set_free_in_time() -> None:
    """A step whose success never shows ends a person's own removal, and a moderator's waits for them."""
    for request, state in (
        (play(own(rules=Rules()), OWN_YES), State.RELEASING),
        (in_state(State.RUNNING), State.BLOCKED),
    ):
        request = after(request, Step.SNAPSHOT)
        for hours in range(4):
            request = (
                play(
                    request,
                    StepStarted(Step.SUSPEND),
                    StepFailed(Step.SUSPEND, Failure.NOT_YET, "not shown"),
                    now=NOW + hours * NOT_YET_AT_MOST_MS,
                )
                if request.state is State.RUNNING
                else request
            )
        assert request.state is state


def test_closing_is_for_another_moderator_and_for_an_account_that_is_deactivated() -> None:
    """Who asked for it closes it only where nobody else could."""
    blocked = reading(after(in_state(State.RUNNING), Step.RELEASE), NOW, lasting=True)
    assert decide(blocked, Closed(MODERATOR, "why", others=True), NOW).refusal == "close_needs_other"
    for closed in (Closed(MODERATOR, "why", others=False), Closed(SECOND_MODERATOR, "why", others=True)):
        decision = decide(blocked, closed, NOW)
        assert (decision.request.state, decision.say) == (State.CLOSED, ("closed",))
        assert (decision.request.ended_by, decision.request.ended_because) == (closed.by, "why")
    assert decide(in_state(State.BLOCKED), Closed(SECOND_MODERATOR, "why", others=True), NOW).refusal == "not_closable"
    assert decide(in_state(State.RUNNING), Closed(SECOND_MODERATOR, "why", others=True), NOW).refusal == State.RUNNING


def test_an_account_that_is_shown_as_active_is_not_closed() -> None:
    """Somebody may have reactivated it after the deactivation; then nothing may hide that it lives."""
    active = {**LACKING["proofs"], "deactivated": False}
    request = reading(after(in_state(State.RUNNING), Step.RELEASE), NOW, proofs=active, lasting=True)
    assert request.state is State.BLOCKED
    assert decide(request, Closed(SECOND_MODERATOR, "why", others=True), NOW).refusal == "not_closable"


# --- the clock -------------------------------------------------------------------------------------------------------

HEARD = TimePassed(NOW + 400 * DAY)
"""All that was sent has been received."""


def test_nobody_is_reminded_while_the_homeserver_is_away() -> None:
    """The reminder couldn't be read: it comes once the homeserver is heard again, and a day is left from then on."""
    request = play(own(rules=Rules(grace_ms=7 * DAY)), OWN_YES)
    remind_ts = NOW + 6 * DAY
    for now in (remind_ts, remind_ts + DAY, remind_ts + 9 * DAY):
        assert decide(request, TimePassed(remind_ts - 1), now).refusal == "not_yet"
    reminded = decide(request, TimePassed(remind_ts + 9 * DAY), remind_ts + 9 * DAY)
    assert (reminded.say, reminded.request.due_ts) == (("reminder",), remind_ts + 10 * DAY)


def test_it_begins_after_the_grace_period_and_not_before_the_time_asked_for() -> None:
    """The later of the two counts, and the grace period begins when the last one agreed."""
    rules = Rules(grace_ms=7 * DAY)
    assert play(own(rules=rules), OWN_YES).due_ts == NOW + 7 * DAY
    assert play(own(rules=rules, at_ts=NOW + 30 * DAY), OWN_YES).due_ts == NOW + 30 * DAY
    approving = play(own(rules=replace(rules, needs_approval=True)), OWN_YES)
    assert play(approving, Approved(MODERATOR), now=NOW + 3 * DAY).due_ts == NOW + 10 * DAY
    assert decide(play(own(rules=rules), OWN_YES), HEARD, NOW + 7 * DAY - 1).request.state is State.SCHEDULED


@pytest.mark.parametrize("grace_ms", [0, DAY])
def test_a_persons_own_removal_is_announced_to_them_before_it_begins(grace_ms: int) -> None:
    """The departure notice goes out whether there is a grace period or none."""
    decision = decide(own(rules=Rules(grace_ms=grace_ms)), OWN_YES, NOW)
    if grace_ms:
        decision = decide(decision.request, HEARD, NOW + grace_ms)
    assert (decision.request.state, decision.say) == (State.RUNNING, ("departure",))


def test_a_reminder_comes_a_day_before_once() -> None:
    """Where more than a day was left at the start; a shorter wait needs no reminder."""
    request = in_state(State.SCHEDULED)
    assert reminder_ts(request) == wake_ts(request) == NOW + 2 * DAY
    assert decide(request, HEARD, NOW + 2 * DAY - 1).refusal == "not_yet"
    reminded = decide(request, HEARD, NOW + 2 * DAY)
    assert (reminded.request.state, reminded.say) == (State.SCHEDULED, ("reminder",))
    assert (reminder_ts(reminded.request), wake_ts(reminded.request)) == (None, NOW + 3 * DAY)
    assert reminder_ts(play(moderation(at_ts=NOW + DAY), YES)) is None


@pytest.mark.parametrize("late", [2 * 60 * MINUTE, DAY, 30 * DAY], ids=["two hours", "to the date", "long after it"])
def test_a_person_has_a_day_after_a_reminder_that_came_late(late: int) -> None:
    """The bot was down the day before: the reminder names the new date, a day from now, and only then it begins."""
    request = play(own(rules=Rules(grace_ms=7 * DAY)), OWN_YES)
    now = NOW + 6 * DAY + late
    reminded = decide(request, HEARD, now)
    assert (reminded.request.state, reminded.request.due_ts, reminded.say) == (
        State.SCHEDULED,
        now + DAY,
        ("reminder",),
    )
    assert decide(reminded.request, HEARD, now + DAY - 1).refusal == "not_yet"
    assert decide(reminded.request, HEARD, now + DAY).request.state is State.RUNNING


def test_a_date_stays_where_nobody_waits_for_the_reminder() -> None:
    """A moderator's removal, a setting that says so, and a reminder in time."""
    own_rules = Rules(grace_ms=3 * DAY, wait_for_reminder=False)
    for request in (in_state(State.SCHEDULED), play(own(rules=own_rules), OWN_YES)):
        assert decide(request, HEARD, NOW + 4 * DAY).request.state is State.RUNNING
    request = play(own(rules=Rules(grace_ms=3 * DAY)), OWN_YES)
    assert decide(request, HEARD, NOW + 2 * DAY + MINUTE).request.due_ts == NOW + 3 * DAY


def test_a_late_approval_with_a_short_grace_period_brings_no_reminder_at_once() -> None:
    """A day or less is left when the date is said; a reminder right after it would be noise."""
    waiting = play(own(rules=Rules(needs_approval=True, grace_ms=DAY)), OWN_YES)
    assert reminder_ts(play(waiting, Approved(MODERATOR), now=NOW + 3 * DAY)) is None


def test_the_clock_is_looked_at_when_it_matters() -> None:
    """Each state names the next time that concerns it; what waits for people only names none."""
    expected = {
        State.ASKING: END,
        State.AWAITING_CONFIRMATION: END,
        State.AWAITING_MATRIX_ID: END,
        State.AWAITING_LOG_IN: END,
        State.AWAITING_APPROVAL: NOW + DAY,
        State.SCHEDULED: NOW + 2 * DAY,
        State.RUNNING: 0,
        State.RELEASING: 0,
    }
    assert {state: wake_ts(in_state(state)) for state in State} == {state: expected.get(state) for state in State}
    failing = failed(in_state(State.RUNNING), Step.SNAPSHOT, Failure.PASSING)
    assert wake_ts(failing) == NOW + BACK_OFF_MS[0]


def test_a_reminder_while_the_bot_was_away_gives_way_to_the_act() -> None:
    """Due is due: a reminder that comes with the removal would tell nobody anything."""
    decision = decide(in_state(State.SCHEDULED), TimePassed(0), NOW + 4 * DAY)
    assert (decision.request.state, decision.say) == (State.RUNNING, ())


def test_can_cancel_says_what_cancel_would_do() -> None:
    """The word that people read and the rule itself never disagree."""
    for state in State:
        request = in_state(state)
        assert can_cancel(request) is not bool(decide(request, Cancelled(SECOND_MODERATOR), NOW).refusal)
