"""Random lives of requests: whatever happens in whatever order, what must never happen doesn't.

The test keeps a record of its own of who said yes and of what the homeserver may have done, and holds the core to it.
"""

from __future__ import annotations

from itertools import dropwhile
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from removal.lifecycle import (
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
    Replaced,
    RetryAsked,
    StepDone,
    StepFailed,
    StepStarted,
    TargetChanged,
    TimePassed,
    can_cancel,
    decide,
    wake_ts,
)
from removal.plan import Kind, Media, Options, Step, proofs_for, steps_for
from removal.request import ENDED, ConfirmedBy, Failure, ProvedBy, Question, Request, Rules, State, StepState
from tests.support.made_requests import (
    DAY,
    HOUR,
    LEAVER,
    MINUTE,
    MODERATOR,
    NOW,
    SECOND_MODERATOR,
    SPAMMER,
    moderation,
    reloaded,
)

PEOPLE = st.sampled_from([MODERATOR, SECOND_MODERATOR, SPAMMER, LEAVER])
OPTIONS = st.builds(
    Options,
    erase=st.booleans(),
    redact=st.booleans(),
    media=st.sampled_from(Media),
    forget_sso=st.booleans(),
    handover=st.sampled_from([(), (("*", SECOND_MODERATOR),)]),
)
RULES = st.builds(
    Rules,
    confirmed_by=st.sampled_from(ConfirmedBy),
    expires_after_ms=st.sampled_from([0, 10 * MINUTE]),
    needs_other=st.booleans(),
    needs_matrix_id=st.booleans(),
    proved_by=st.sampled_from(ProvedBy),
    needs_approval=st.booleans(),
    grace_ms=st.sampled_from([0, HOUR, 7 * DAY]),
)
ASKED: dict[str, Any] = {
    "kind": st.sampled_from(Kind),
    "options": OPTIONS,
    "rules": RULES,
    "at": st.sampled_from([None, HOUR, 7 * DAY]),
    "way": st.integers(0, 6),
    "steps": st.integers(1, 6),
}
AROUND = st.sampled_from([-DAY, -MINUTE, 0, 0, 0, MINUTE, HOUR, 2 * DAY])
"""How far a time named in an event is from now."""


alive = precondition(lambda self: self.disturbed < 3)


def entitled(request: Request, event: Confirmed, now: int) -> bool:
    """Who may say yes, and until when, in words of the test's own."""
    rules = request.rules
    in_time = event.at_ts <= request.expires_ts and now - request.expires_ts <= rules.expires_after_ms
    if request.kind is Kind.OWN:
        return in_time and event.by == request.requester_id == request.target_id
    if event.by == request.target_id:
        return False
    if rules.needs_other or rules.confirmed_by is ConfirmedBy.OTHER_MODERATOR:
        return in_time and event.by != request.requester_id
    return in_time and (rules.confirmed_by is not ConfirmedBy.REQUESTER or event.by == request.requester_id)


class Life(RuleBasedStateMachine):
    """One request, and everything that can happen to it."""

    reached: ClassVar[set[State]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.ask(Kind.MODERATION, Options(), Rules(), None, 0, 0)

    @initialize(**ASKED)
    def first_life(self, **asked: Any) -> None:
        self.ask(**asked)

    @precondition(lambda self: self.disturbed >= 3)
    @rule(**ASKED)
    def next_life(self, **asked: Any) -> None:
        """One that ended was disturbed often enough: another begins."""
        self.ask(**asked)

    def ask(self, kind: Kind, options: Options, rules: Rules, at: int | None, way: int, steps: int) -> None:
        """Somebody asks, and some of what was hoped for happens: the way to the steps is long."""
        self.now = NOW
        self.confirmed = self.typed = self.logged_in = self.approved = False
        self.in_the_air = self.perhaps_deactivated = self.suspended = False
        self.ended: Request | None = None
        self.disturbed = 0
        own = kind is Kind.OWN
        person, target = (LEAVER, LEAVER) if own else (MODERATOR, SPAMMER)
        self.request = moderation(
            kind=kind,
            requester_id=person,
            target_id=target,
            options=options,
            rules=rules,
            at_ts=NOW + at if at else None,
            expires_ts=NOW + rules.expires_after_ms,
            state=State.ASKING if own else State.AWAITING_CONFIRMATION,
            questions=("erase", "media") if own else (),
        )
        for _ in range(way):
            self.go_on(steps)

    # --- what happens ---
    def happens(self, event: Event) -> None:
        """Decides, notes in the test's own words what that means, and checks what holds for every decision."""
        before = self.request
        self.disturbed += before.state in ENDED
        allowed = isinstance(event, Confirmed) and entitled(before, event, self.now)
        decision = decide(before, event, self.now)
        self.request = after = decision.request
        if decision.refusal:
            assert after is before
            assert decision.say == ()
            return
        assert before.state not in ENDED
        if after.options != before.options:
            assert isinstance(event, Answered | HandoverNamed)
            assert before.kind is Kind.OWN
            assert not before.steps
        if after.state in ENDED:
            self.ended = after
        self.note(event, before, allowed)
        if before.state is State.RELEASING and after.state is not State.RELEASING:
            assert event == StepDone(Step.RELEASE, getattr(event, "answer", {}))
            assert after.state is before.ends_as
            assert after.state in (State.CANCELLED, State.FAILED)
        if after.state is State.RUNNING and before.state is not State.RUNNING and before.due_ts is not None:
            assert self.now >= before.due_ts

    def note(self, event: Event, before: Request, allowed: bool) -> None:
        """The test's own record of what was agreed to, and of what the homeserver may have done."""
        if isinstance(event, StepDone | StepFailed):
            record = before.record(event.step)
            assert record is not None
            releasing = before.state is State.RELEASING and event.step is Step.RELEASE
            assert releasing or record.state is StepState.STARTED
        match event:
            case Confirmed():
                assert allowed
                self.confirmed = True
            case MatrixIDTyped(text, at_ts):
                assert text == before.target_id
                assert at_ts <= before.expires_ts
                self.typed = True
            case ConfirmedByLogIn(by, at_ts):
                assert before.kind is Kind.OWN
                assert by == before.requester_id == before.target_id
                assert at_ts <= before.expires_ts
                self.confirmed = self.typed = self.logged_in = True
            case Approved(by):
                assert by not in (before.requester_id, before.target_id)
                self.approved = True
            case ConfirmationWithdrawn():
                self.confirmed = self.typed = self.logged_in = False
            case StepStarted(Step.DEACTIVATE):
                self.perhaps_deactivated |= self.in_the_air
                self.in_the_air = True
            case StepFailed(Step.DEACTIVATE, failure):
                self.in_the_air = False
                self.perhaps_deactivated |= failure in (Failure.PASSING, Failure.NOT_YET)
            case StepDone(Step.DEACTIVATE):
                self.in_the_air, self.perhaps_deactivated = False, True
            case StepStarted(Step.SUSPEND):
                self.suspended = True
            case StepDone(Step.RELEASE):
                self.suspended = False
            case _:
                pass

    @alive
    @rule(by=PEOPLE, around=AROUND)
    def confirm(self, by: str, around: int) -> None:
        self.happens(Confirmed(by, self.now + around, "$yes"))

    @precondition(lambda self: self.request.state not in ENDED)
    @rule(steps=st.integers(1, 6))
    def ordinary(self, steps: int) -> None:
        self.go_on(steps)

    def go_on(self, steps: int) -> None:
        """What an ordinary life would bring next, after some that are too late or not entitled have tried."""
        request = self.request
        match request.state:
            case State.ASKING:
                self.happens(Answered(request.questions[0], True))
            case State.AWAITING_CONFIRMATION:
                self.now = min(self.now, request.expires_ts)
                self.happens(Confirmed(request.requester_id, request.expires_ts + 1, "$late"))
                asked = [request.target_id, SECOND_MODERATOR, request.requester_id]
                for by in asked if steps % 2 else reversed(asked):
                    self.happens(Confirmed(by, self.now, "$yes"))
            case State.AWAITING_MATRIX_ID:
                self.now = min(self.now, request.expires_ts)
                self.happens(MatrixIDTyped(request.target_id, request.expires_ts + 1))
                for text in (MODERATOR, request.target_id):
                    self.happens(MatrixIDTyped(text, self.now))
            case State.AWAITING_LOG_IN:
                self.now = min(self.now, request.expires_ts)
                self.happens(ConfirmedByLogIn(request.target_id, request.expires_ts + 1))
                for by in (MODERATOR, request.target_id):
                    self.happens(ConfirmedByLogIn(by, self.now))
            case State.AWAITING_APPROVAL:
                for by in (request.requester_id, SECOND_MODERATOR):
                    self.happens(Approved(by))
            case State.SCHEDULED:
                self.now = wake_ts(request) or self.now
                self.happens(TimePassed(self.now))
            case State.RUNNING:
                for _ in range(steps):
                    self.succeed()
            case State.RELEASING:
                self.happens(StepDone(Step.RELEASE, {"suspended": False}))
            case _ if request.state not in ENDED:
                self.happens(RetryAsked(MODERATOR))

    def succeed(self) -> None:
        """The current step succeeds."""
        record = self.request.current_step
        if record is not None and self.can_succeed():
            self.happens(StepStarted(record.step))
            promised = {proof.value: True for proof in proofs_for(self.request.options)}
            self.happens(StepDone(record.step, {"proofs": promised} if record.step is Step.VERIFY else {}))

    @alive
    @rule(text=PEOPLE, around=AROUND)
    def type_a_matrix_id(self, text: str, around: int) -> None:
        self.happens(MatrixIDTyped(text, self.now + around))

    @alive
    @rule(by=PEOPLE, around=AROUND)
    def log_in(self, by: str, around: int) -> None:
        self.happens(ConfirmedByLogIn(by, self.now + around))

    @alive
    @rule(question=st.sampled_from(Question), yes=st.booleans())
    def answer(self, question: Question, yes: bool) -> None:
        self.happens(Answered(question, yes))

    @alive
    @rule(by=PEOPLE)
    def approve(self, by: str) -> None:
        self.happens(Approved(by))

    @precondition(lambda self: self.request.state is State.AWAITING_APPROVAL)
    @rule(by=PEOPLE)
    def refuse_approval(self, by: str) -> None:
        self.happens(ApprovalRefused(by, "no"))

    @alive
    @rule(by=PEOPLE)
    def cancel(self, by: str) -> None:
        self.happens(Cancelled(by, "because"))

    @alive
    @rule(
        event=st.one_of(
            st.builds(Declined, PEOPLE),
            st.builds(ConfirmationWithdrawn, PEOPLE),
            st.builds(ApprovalRefused, PEOPLE, st.just("no")),
            st.just(TargetChanged(("admin",))),
            st.just(Replaced(8)),
            st.builds(HandoverNamed, st.just("!room:example.org"), PEOPLE),
        )
    )
    def interfere(self, event: Event) -> None:
        self.happens(event)

    @precondition(lambda self: self.request.state is State.BLOCKED)
    @rule(by=PEOPLE, others=st.booleans())
    def close(self, by: str, others: bool) -> None:
        """Ended by a person, and only an account that is deactivated; never called done."""
        before = self.request
        self.happens(Closed(by, "because", others))
        if self.request.state is State.CLOSED:
            deactivated = before.record(Step.DEACTIVATE)
            assert deactivated is not None and deactivated.state is StepState.DONE
            assert by != before.requester_id or not others

    @alive
    @rule()
    def retry(self) -> None:
        self.happens(RetryAsked(MODERATOR))

    @alive
    @rule(
        ms=st.sampled_from([-DAY, -MINUTE, 1, MINUTE, HOUR, DAY, 8 * DAY]),
        lag=st.sampled_from([-HOUR, 0, MINUTE, 30 * DAY]),
    )
    def time_passes(self, ms: int, lag: int) -> None:
        self.now += ms
        self.happens(TimePassed(self.now - lag))

    @alive
    @rule()
    def crash(self) -> None:
        """What storage gives back is what was there, and the life goes on from it."""
        again = reloaded(self.request)
        assert again == self.request
        if self.ended is not None:
            self.ended = again
        self.request = again

    # --- steps, as the runner does them, and as it never should ---
    @alive
    @rule(step=st.sampled_from(Step))
    def start_any(self, step: Step) -> None:
        self.happens(StepStarted(step))

    @alive
    @rule(step=st.sampled_from(Step))
    def finish_any(self, step: Step) -> None:
        self.happens(StepDone(step))

    @precondition(lambda self: self.request.state in (State.RUNNING, State.RELEASING))
    @rule(
        step=st.sampled_from([*Step, *[Step.DEACTIVATE] * 5]),
        failure=st.sampled_from(Failure),
        wait=st.none() | st.integers(0, HOUR),
        starts=st.integers(0, 2),
    )
    def fail(self, step: Step, failure: Failure, wait: int | None, starts: int) -> None:
        """All goes well up to some step; there one attempt fails, or the second after a crash in the first."""
        while (record := self.request.current_step) and record.step is not step and self.can_succeed():
            self.succeed()
        if record is not None:
            for _ in range(starts):
                self.happens(StepStarted(record.step))
            self.happens(StepFailed(record.step, failure, "the cause", wait))
            self.happens(StepFailed(step, failure, "the cause", wait))

    def can_succeed(self) -> bool:
        return self.request.state is State.RUNNING and self.request.current_step is not None

    @precondition(lambda self: self.request.current_step is not None)
    @rule(values=st.dictionaries(st.sampled_from([p.value for p in proofs_for(Options(True, True))]), st.booleans()))
    def verify_reads_something_else(self, values: dict[str, Any]) -> None:
        """Proofs that are missing or false."""
        promised = {proof.value for proof in proofs_for(self.request.options)}
        if not all(values.get(name) is True for name in promised):
            self.happens(StepStarted(Step.VERIFY))
            self.happens(StepDone(Step.VERIFY, {"proofs": values}))

    # --- what always holds ---
    @invariant()
    def nothing_is_touched_without_permission(self) -> None:
        begun = any(record.state is not StepState.PENDING for record in self.request.steps)
        if self.request.state in (State.RUNNING, State.RELEASING, State.BLOCKED, State.DONE) or begun:
            assert self.confirmed
            by_log_in = self.request.kind is Kind.OWN and self.request.rules.proved_by is ProvedBy.LOGIN
            if by_log_in:
                assert self.logged_in
            elif self.request.rules.needs_matrix_id:
                assert self.typed
            if self.request.rules.needs_approval:
                assert self.approved

    @invariant()
    def nothing_is_done_without_every_proof(self) -> None:
        request = self.request
        if request.state is State.DONE:
            assert tuple(record.step for record in request.steps) == steps_for(request.kind, request.options)
            assert all(record.state is StepState.DONE for record in request.steps)
            assert {proof for proof, read in request.proofs if read} == set(proofs_for(request.options))

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        assert (self.request.state in ENDED) == (self.ended is not None)
        if self.ended is not None:
            assert self.request is self.ended

    @invariant()
    def what_may_have_happened_is_never_called_off(self) -> None:
        if self.in_the_air or self.perhaps_deactivated:
            assert self.request.began_final_step
            assert self.request.state in (State.RUNNING, State.BLOCKED, State.DONE, State.CLOSED)

    @invariant()
    def nobody_is_left_suspended(self) -> None:
        assert self.request.suspended == self.suspended
        if self.request.state in ENDED - {State.CLOSED}:  # there it is one of the open points
            assert not self.suspended

    @invariant()
    def steps_are_done_one_after_the_other(self) -> None:
        if self.request.state in (State.RUNNING, State.BLOCKED, State.DONE):
            undone = list(dropwhile(lambda record: record.state is StepState.DONE, self.request.steps))
            assert all(record.state is StepState.PENDING for record in undone[1:])

    @invariant()
    def the_clock_is_set_where_it_matters(self) -> None:
        request = self.request
        assert (wake_ts(request) is None) == (request.state in ENDED | {State.BLOCKED})
        assert request.retry_ts is None or request.state in (State.RUNNING, State.RELEASING)
        assert (request.ends_as is not None) == (request.state is State.RELEASING)
        assert (request.due_ts is not None) == (request.state is State.SCHEDULED) or request.state in ENDED

    @invariant()
    def the_words_about_cancel_are_true(self) -> None:
        assert can_cancel(self.request) is not bool(decide(self.request, Cancelled(MODERATOR), self.now).refusal)

    @invariant()
    def remember(self) -> None:
        self.reached.add(self.request.state)


@pytest.mark.timeout(900)  # 300 lives of 50 events: on a busy machine more than the usual three minutes
def test_random_lives() -> None:
    """No sequence of events breaks a promise, and the sequences that were tried reach every state there is."""
    chosen = settings(max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
    Life.reached.clear()
    for _ in range(12):  # one round mostly does; few lives end as closed
        run_state_machine_as_test(Life, settings=chosen)
        if Life.reached == set(State):
            return
    raise AssertionError(f"never reached: {set(State) - Life.reached}")
