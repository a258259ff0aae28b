"""The life of a request: `decide(request, event, now)` gives what becomes of it and what people are told.

Every transition stands in TRANSITIONS. What isn't there doesn't happen: the decision then carries a `refusal`,
which is put into words elsewhere. No I/O, no clock: `now` comes from outside, in milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from removal.plan import SPECS, Kind, Media, Proof, Step, steps_for
from removal.request import (
    UNCONFIRMED,
    WAITING,
    ConfirmedBy,
    Failure,
    ProvedBy,
    Question,
    Request,
    State,
    StepRecord,
    StepState,
)

DAY_MS = 86_400_000
REMINDER_LATE_MS = 3_600_000
"""A reminder that comes later than this is late."""
IN_THE_AIR_MS = 300_000
"""An attempt whose end we didn't hear may act so long afterwards; longer than any time-out of ours or a proxy's."""
MUTE_AT_MOST_MS = 6 * 3_600_000
"""So long a person's own account may stay suspended while steps before its deactivation fail; then it is set free."""
NOT_YET_AT_MOST_MS = 3_600_000
"""So long a step is tried again whose success the homeserver doesn't show although it answers; then a person has to
look. The first attempts count for nothing but the time: a stop of the bot in between proves nothing."""
FEWEST_TRIES = 3
BACK_OFF_MS = (5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 7_200_000)
"""How long a passing failure waits, by number of attempts; the last one goes on. Jitter is the caller's."""
LOOK_AGAIN_PART = 10
"""A step that reads back what it did waits a tenth of the time since it began where that is less than the wait above:
reading costs nothing, and what a homeserver's worker shows late is there within seconds."""


# --- what can happen -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Confirmed:
    """Somebody entitled said yes. `at_ts` is the homeserver's time of it."""

    by: str
    at_ts: int
    event_id: str
    trust: str = ""


@dataclass(frozen=True, slots=True)
class Declined:
    """Somebody entitled said no, by ❌."""

    by: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`!cancel`, or what made the request pointless."""

    by: str
    because: str = ""


@dataclass(frozen=True, slots=True)
class ConfirmationWithdrawn:
    """The ✅ was gone when it was read again before the first step."""

    by: str


@dataclass(frozen=True, slots=True)
class TargetChanged:
    """The account isn't what the prompt showed any more (`what` names the facts). A new prompt takes over."""

    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """The same person asked again for the same account."""

    by_request_id: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A person's own removal: the answer to the first open question."""

    question: Question
    yes: bool


@dataclass(frozen=True, slots=True)
class HandoverNamed:
    """A person's own removal: this user is to become admin of a room."""

    room_id: str
    successor_id: str


@dataclass(frozen=True, slots=True)
class MatrixIDTyped:
    """A person's own removal: the requester typed this as their own Matrix ID."""

    text: str
    at_ts: int


@dataclass(frozen=True, slots=True)
class ConfirmedByLogIn:
    """A person's own removal: `by` has just logged in on the page, read there what happens, and said yes."""

    by: str
    at_ts: int


@dataclass(frozen=True, slots=True)
class Approved:
    by: str


@dataclass(frozen=True, slots=True)
class ApprovalRefused:
    by: str
    because: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The clock was looked at. `synced_ts`: everything sent before this time has been seen."""

    synced_ts: int


@dataclass(frozen=True, slots=True)
class StepStarted:
    step: Step


@dataclass(frozen=True, slots=True)
class StepDone:
    """`answer` is what the homeserver said. For VERIFY it must hold `proofs`: {name: True} for every one promised."""

    step: Step
    answer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepFailed:
    step: Step
    failure: Failure
    cause: str
    retry_after_ms: int | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    jitter: float = 1.0
    undone: bool = False
    """The homeserver shows that the step hasn't happened, this attempt's or an earlier one's doing."""


@dataclass(frozen=True, slots=True)
class RetryAsked:
    by: str


@dataclass(frozen=True, slots=True)
class Closed:
    """Somebody takes it that the rest will never come true. `others`: there are moderators beside the requester."""

    by: str
    because: str
    others: bool


Event = (
    Confirmed | Declined | Cancelled | ConfirmationWithdrawn | TargetChanged | Replaced | Answered | MatrixIDTyped
    | HandoverNamed | ConfirmedByLogIn
    | Approved | ApprovalRefused | TimePassed | StepStarted | StepDone | StepFailed | RetryAsked | Closed
)  # fmt: skip


# --- what follows ----------------------------------------------------------------------------------------------------
class Notice(StrEnum):
    """What people are told when a request changes; engine/announcements.py has who hears it and where."""

    APPROVAL_ASKED = "approval_asked"
    APPROVAL_REMINDER = "approval_reminder"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    CLOSED = "closed"
    CONFIRMATION_WITHDRAWN = "confirmation_withdrawn"
    DEPARTURE = "departure"
    DONE = "done"
    EXPIRED = "expired"
    FAILED = "failed"
    LOG_IN_ASKED = "log_in_asked"
    MATRIX_ID_ASKED = "matrix_id_asked"
    OPEN = "open"
    PROMPT = "prompt"
    QUESTION = "question"
    REFUSED = "refused"
    RELEASING = "releasing"
    REMINDER = "reminder"
    REPLACED = "replaced"
    SCHEDULED = "scheduled"
    TARGET_CHANGED = "target_changed"


class NoChange(StrEnum):
    """Why something that was said or done changed nothing, beside "not in this state"."""

    BEGUN = "begun"
    CLOCK_WRONG = "clock_wrong"  # said by the unit of work: nothing in here reads a clock
    CLOSE_NEEDS_OTHER = "close_needs_other"
    CODE_MISSING = "code_missing"  # said by the unit of work as well: a code is given beside the decision
    EXPIRED = "expired"
    NEEDS_OTHER = "needs_other"
    NOT_ASKED = "not_asked"
    NOT_CLOSABLE = "not_closable"
    NOT_CURRENT = "not_current"
    NOT_RELEASING = "not_releasing"
    NOT_STARTED = "not_started"
    NOT_YET = "not_yet"
    ONLY_REQUESTER = "only_requester"
    OWN = "own"
    RUNNING = "running"
    TARGET = "target"
    TOO_LATE = "too_late"
    WRONG_MATRIX_ID = "wrong_matrix_id"


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows. `say`: the messages that people get. `refusal`: why nothing changed, where nothing did; a state
    where the event means nothing in it.
    """

    request: Request
    say: tuple[Notice, ...] = ()
    refusal: NoChange | State | None = None


class _Refused(Exception):
    """Nothing changes, and why."""

    def __init__(self, why: NoChange | State) -> None:
        self.why = why


# --- the rules -------------------------------------------------------------------------------------------------------
def _ended(r: Request, state: State, now: int, by: str | None = None, because: str = "") -> Request:
    return replace(r, state=state, ended_ts=now, ended_by=by, ended_because=because, ends_as=None, retry_ts=None)


def _run(r: Request, now: int) -> Request:
    steps = r.steps or tuple(StepRecord(step) for step in steps_for(r.kind, r.options))
    return replace(r, state=State.RUNNING, steps=steps, started_ts=r.started_ts or now, due_ts=None, retry_ts=None)


def _begin(r: Request, now: int) -> Decision:
    return Decision(_run(r, now), (Notice.DEPARTURE,) if r.kind is Kind.OWN else ())


def _agreed(r: Request, now: int) -> Decision:
    """Everybody who had to agree has: from here on it's a matter of time."""
    if r.rules.needs_approval and r.approver_id is None:
        return Decision(replace(r, state=State.AWAITING_APPROVAL, reminded_ts=now), (Notice.APPROVAL_ASKED,))
    due = max(now + r.rules.grace_ms, r.at_ts or 0)
    if due > now:
        # Who has just heard the date needs no reminder within a day.
        reminded_ts = None if due - now > DAY_MS else now
        return Decision(replace(r, state=State.SCHEDULED, due_ts=due, reminded_ts=reminded_ts), (Notice.SCHEDULED,))
    return _begin(r, now)


def _confirmed(r: Request, e: Confirmed, now: int) -> Decision:
    if r.kind is Kind.OWN and e.by != r.requester_id:
        raise _Refused(NoChange.ONLY_REQUESTER)
    if e.by == r.target_id and r.kind is not Kind.OWN:
        raise _Refused(NoChange.TARGET)
    if r.kind is Kind.MODERATION:
        # Over the cap, somebody else has to look, whatever the settings say of other days.
        other = r.rules.needs_other or r.rules.confirmed_by is ConfirmedBy.OTHER_MODERATOR
        if other and e.by == r.requester_id:
            raise _Refused(NoChange.NEEDS_OTHER)
        if not other and r.rules.confirmed_by is ConfirmedBy.REQUESTER and e.by != r.requester_id:
            raise _Refused(NoChange.ONLY_REQUESTER)
    if e.at_ts > r.expires_ts or now > r.expires_ts + r.rules.expires_after_ms:
        raise _Refused(NoChange.EXPIRED)
    r = replace(r, confirmer_id=e.by, confirmed_ts=e.at_ts, confirmation_event_id=e.event_id, confirmer_trust=e.trust)
    # The person gets as long again to type it, or to log in, as they had to press.
    later = max(r.expires_ts, now + r.rules.expires_after_ms)
    if r.kind is Kind.OWN and r.rules.proved_by is ProvedBy.LOGIN:
        return Decision(replace(r, state=State.AWAITING_LOG_IN, expires_ts=later), (Notice.LOG_IN_ASKED,))
    if r.rules.needs_matrix_id:
        return Decision(replace(r, state=State.AWAITING_MATRIX_ID, expires_ts=later), (Notice.MATRIX_ID_ASKED,))
    return _agreed(r, now)


def _declined(r: Request, e: Declined, now: int) -> Decision:
    if r.touched:
        raise _Refused(NoChange.BEGUN)
    return _cancelled(r, Cancelled(e.by), now)


def _cancelled(r: Request, e: Cancelled, now: int) -> Decision:
    if r.began_final_step:
        raise _Refused(NoChange.TOO_LATE)
    return _give_up(r, State.CANCELLED, now, e.by, e.because)


def _give_up(r: Request, ends_as: State, now: int, by: str | None, because: str) -> Decision:
    """Ends a request before the point of no return; a suspension of ours is lifted first."""
    suspension = r.record(Step.SUSPEND)
    if suspension and suspension.state is not StepState.PENDING:
        r = replace(r, state=State.RELEASING, ends_as=ends_as, ended_by=by, ended_because=because, retry_ts=None)
        return Decision(r, (Notice.RELEASING,))
    return Decision(_ended(r, ends_as, now, by, because), (Notice(ends_as),))


def _withdrawn(r: Request, e: ConfirmationWithdrawn, now: int) -> Decision:
    if r.touched:
        raise _Refused(NoChange.BEGUN)
    r = replace(r, confirmer_id=None, confirmed_ts=None, confirmation_event_id=None, confirmer_trust="")
    r = replace(r, steps=(), started_ts=None, retry_ts=None, open_said=False)
    if now > r.expires_ts:
        return Decision(_ended(r, State.EXPIRED, now), (Notice.EXPIRED,))
    return Decision(replace(r, state=State.AWAITING_CONFIRMATION), (Notice.CONFIRMATION_WITHDRAWN,))


def _target_changed(r: Request, e: TargetChanged, now: int) -> Decision:
    if r.touched:
        raise _Refused(NoChange.BEGUN)
    return Decision(_ended(r, State.CANCELLED, now, None, "changed:" + ",".join(e.what)), (Notice.TARGET_CHANGED,))


def _replaced(r: Request, e: Replaced, now: int) -> Decision:
    return Decision(_ended(r, State.REPLACED, now, r.requester_id, f"R{e.by_request_id}"), (Notice.REPLACED,))


def _answered(r: Request, e: Answered, now: int) -> Decision:
    if not r.questions or r.questions[0] != e.question:
        raise _Refused(NoChange.NOT_ASKED)
    if e.question is Question.ERASE:
        r = replace(r, options=replace(r.options, erase=e.yes))
    elif e.question is Question.MEDIA:
        r = replace(r, options=replace(r.options, media=Media.DELETE if e.yes else Media.KEEP))
    r = replace(r, questions=r.questions[1:], expires_ts=max(r.expires_ts, now + r.rules.expires_after_ms))
    if r.questions:
        return Decision(r, (Notice.QUESTION,))
    return Decision(replace(r, state=State.AWAITING_CONFIRMATION), (Notice.PROMPT,))


def _handover_named(r: Request, e: HandoverNamed, now: int) -> Decision:
    if r.kind is not Kind.OWN:
        raise _Refused(r.state)  # a moderator's plan is what was shown and confirmed
    others = tuple(pair for pair in r.options.handover if pair[0] != e.room_id)
    options = replace(r.options, handover=(*others, (e.room_id, e.successor_id)))
    return Decision(replace(r, options=options))


def _matrix_id_typed(r: Request, e: MatrixIDTyped, now: int) -> Decision:
    if e.text != r.target_id:
        raise _Refused(NoChange.WRONG_MATRIX_ID)
    if e.at_ts > r.expires_ts or now > r.expires_ts + r.rules.expires_after_ms:
        raise _Refused(NoChange.EXPIRED)
    return _agreed(r, now)


def _confirmed_by_log_in(r: Request, e: ConfirmedByLogIn, now: int) -> Decision:
    if r.kind is not Kind.OWN:
        raise _Refused(r.state)
    if e.by != r.requester_id:
        raise _Refused(NoChange.ONLY_REQUESTER)
    if e.at_ts > r.expires_ts or now > r.expires_ts + r.rules.expires_after_ms:
        raise _Refused(NoChange.EXPIRED)
    return _agreed(replace(r, confirmer_id=e.by, confirmed_ts=r.confirmed_ts or e.at_ts), now)


def _approved(r: Request, e: Approved, now: int) -> Decision:
    if e.by in (r.requester_id, r.target_id):
        raise _Refused(NoChange.OWN)
    return _agreed(replace(r, approver_id=e.by), now)


def _approval_refused(r: Request, e: ApprovalRefused, now: int) -> Decision:
    if e.by in (r.requester_id, r.target_id):
        raise _Refused(NoChange.OWN)
    return Decision(_ended(r, State.REFUSED, now, e.by, e.because), (Notice.REFUSED,))


def _unconfirmed_time(r: Request, e: TimePassed, now: int) -> Decision:
    # What was sent in time may still be on its way to us: the request expires once we've seen past its end.
    if e.synced_ts > r.expires_ts or now > r.expires_ts + r.rules.expires_after_ms:
        return Decision(_ended(r, State.EXPIRED, now), (Notice.EXPIRED,))
    raise _Refused(NoChange.NOT_YET)


def _approval_time(r: Request, e: TimePassed, now: int) -> Decision:
    if now >= (r.reminded_ts or 0) + DAY_MS:
        return Decision(replace(r, reminded_ts=now), (Notice.APPROVAL_REMINDER,))
    raise _Refused(NoChange.NOT_YET)


def _scheduled_time(r: Request, e: TimePassed, now: int) -> Decision:
    remind_ts = reminder_ts(r)
    if remind_ts is not None and now >= remind_ts and r.kind is Kind.OWN and r.rules.wait_for_reminder:
        if e.synced_ts < remind_ts:
            raise _Refused(NoChange.NOT_YET)  # the homeserver is away: nobody would read the reminder
        if now > remind_ts + REMINDER_LATE_MS and r.due_ts is not None:
            # The bot or the homeserver was away on the day before: the person has not had the day in which to change
            # their mind.
            r = replace(r, due_ts=max(r.due_ts, now + DAY_MS))
    if r.due_ts is None or now >= r.due_ts:
        return _begin(r, now)
    if remind_ts is not None and now >= remind_ts:
        return Decision(replace(r, reminded_ts=now), (Notice.REMINDER,))
    raise _Refused(NoChange.NOT_YET)


def _step_started(r: Request, e: StepStarted, now: int) -> Decision:
    record = _current(r, e.step)
    record = replace(
        record,
        state=StepState.STARTED,
        attempts=record.attempts + 1,
        started_ts=record.started_ts or now,
        unsure=record.unsure or record.state is StepState.STARTED,
        unsure_ts=now if record.state is StepState.STARTED else record.unsure_ts,
    )
    return Decision(replace(r.with_step(record), retry_ts=None))


def _step_done(r: Request, e: StepDone, now: int) -> Decision:
    record = _current(r, e.step)
    if record.state is not StepState.STARTED:
        raise _Refused(NoChange.NOT_STARTED)
    if e.step is Step.VERIFY:
        proofs = e.answer.get("proofs", {})
        missing = [p.value for p in r.promised if proofs.get(p.value) is not True]
        if missing:
            cause = "not confirmed yet: " + ", ".join(missing)
            failure = Failure.NEEDS_PERSON if e.answer.get("lasting") is True else Failure.NOT_YET
            return _step_failed(r, StepFailed(e.step, failure, cause, answer=e.answer), now)
    record = replace(record, state=StepState.DONE, ended_ts=now, answer=e.answer, failure=None, cause="")
    r = r.with_step(record)
    if r.current_step is None:
        return Decision(_ended(r, State.DONE, now), (Notice.DONE,))
    return Decision(r)


def _step_failed(r: Request, e: StepFailed, now: int) -> Decision:
    record = _current(r, e.step)
    if record.state is not StepState.STARTED:
        raise _Refused(NoChange.NOT_STARTED)
    if e.failure is Failure.NOT_YET:
        too_long = record.attempts >= FEWEST_TRIES and now - (record.started_ts or now) > NOT_YET_AT_MOST_MS
        e = replace(e, failure=Failure.NEEDS_PERSON if too_long else Failure.PASSING)
    passing = e.failure is Failure.PASSING
    record = replace(
        record,
        state=StepState.FAILED,
        failure=e.failure,
        cause=e.cause,
        answer={**record.answer, **e.answer},
        unsure=record.unsure or passing,
        unsure_ts=now if passing else record.unsure_ts,
    )
    retry_after_ms = e.retry_after_ms or 0
    if e.undone and record.unsure and not passing:
        # The homeserver shows that nothing happened. Only an attempt that may still be in the air could prove it wrong.
        if now - (record.unsure_ts or 0) < IN_THE_AIR_MS:
            passing, retry_after_ms = True, IN_THE_AIR_MS
        else:
            record = replace(record, unsure=False)
    r = r.with_step(record)
    if passing:
        if _mute_too_long(r, now):
            return _give_up(r, State.FAILED, now, None, e.cause)
        r = replace(r, retry_ts=now + max(int(_wait_ms(record, now) * e.jitter), retry_after_ms))
        # One word to people when it takes long; every attempt would be noise.
        if not r.open_said and (record.attempts >= 3 or e.step is Step.VERIFY):
            return Decision(replace(r, open_said=True), (Notice.OPEN,))
        return Decision(r)
    if not r.began_final_step and (r.kind is Kind.OWN or e.failure is Failure.IMPOSSIBLE):
        return _give_up(r, State.FAILED, now, None, e.cause)
    # Neither "nothing happened" nor "done" would be true: a person has to look.
    return Decision(replace(r, state=State.BLOCKED, retry_ts=None), (Notice.BLOCKED,))


def _wait_ms(record: StepRecord, now: int) -> int:
    """How long until a step is tried again after a failure that passes, without jitter."""
    wait_ms = BACK_OFF_MS[min(max(record.attempts, 1), len(BACK_OFF_MS)) - 1]
    if SPECS[record.step].reads_back:
        since_ms = now - (record.started_ts or now)
        return min(wait_ms, max(since_ms // LOOK_AGAIN_PART, BACK_OFF_MS[0]))
    return wait_ms


def _mute_too_long(r: Request, now: int) -> bool:
    """Whether a person's own account has been suspended for too long without progress."""
    suspend = r.record(Step.SUSPEND)
    since = suspend.started_ts if suspend else None
    return r.kind is Kind.OWN and not r.began_final_step and since is not None and now - since > MUTE_AT_MOST_MS


def _released(r: Request, e: StepDone, now: int) -> Decision:
    if e.step is not Step.RELEASE or r.ends_as is None:
        raise _Refused(NoChange.NOT_RELEASING)
    ends_as, record = r.ends_as, r.record(Step.RELEASE)
    if record is not None:
        r = r.with_step(replace(record, state=StepState.DONE, ended_ts=now, answer=e.answer, failure=None, cause=""))
    return Decision(_ended(r, ends_as, now, r.ended_by, r.ended_because), (Notice(ends_as),))


def _release_failed(r: Request, e: StepFailed, now: int) -> Decision:
    """Whatever the failure: an account that we suspended is never left so because something went wrong."""
    record = r.record(Step.RELEASE)
    if e.step is not Step.RELEASE or record is None:
        raise _Refused(NoChange.NOT_RELEASING)
    attempts, started_ts = record.attempts + 1, record.started_ts or now
    record = replace(record, attempts=attempts, started_ts=started_ts, failure=e.failure, cause=e.cause)
    wait = int(_wait_ms(record, now) * e.jitter)
    r = replace(r.with_step(record), retry_ts=now + max(wait, e.retry_after_ms or 0))
    if not r.open_said and record.attempts >= 3:
        return Decision(replace(r, open_said=True), (Notice.OPEN,))
    return Decision(r)


def _retry_running(r: Request, e: RetryAsked, now: int) -> Decision:
    if r.retry_ts is None:
        raise _Refused(NoChange.RUNNING)
    return Decision(replace(r, retry_ts=None))


def _retry_blocked(r: Request, e: RetryAsked, now: int) -> Decision:
    record = r.current_step
    if record is not None:
        r = r.with_step(replace(record, started_ts=None))  # the time allowed begins anew
    return Decision(replace(r, state=State.RUNNING, open_said=False))


def _closed(r: Request, e: Closed, now: int) -> Decision:
    if not can_close(r):
        raise _Refused(NoChange.NOT_CLOSABLE)  # an account that may be active is nothing to be done with
    if e.by == r.requester_id and e.others:
        raise _Refused(NoChange.CLOSE_NEEDS_OTHER)
    return Decision(_ended(r, State.CLOSED, now, e.by, e.because), (Notice.CLOSED,))


def _current(r: Request, step: Step) -> StepRecord:
    record = r.current_step
    if record is None or record.step is not step:
        raise _Refused(NoChange.NOT_CURRENT)
    return record


# --- the table -------------------------------------------------------------------------------------------------------
Rule = Callable[[Request, Any, int], Decision]
TRANSITIONS: dict[tuple[State, type[Any]], Rule] = {
    (State.ASKING, Answered): _answered,
    (State.ASKING, Cancelled): _cancelled,
    (State.ASKING, TimePassed): _unconfirmed_time,
    (State.ASKING, Replaced): _replaced,
    (State.ASKING, HandoverNamed): _handover_named,
    (State.AWAITING_CONFIRMATION, HandoverNamed): _handover_named,
    (State.AWAITING_MATRIX_ID, HandoverNamed): _handover_named,
    (State.AWAITING_LOG_IN, HandoverNamed): _handover_named,
    (State.AWAITING_APPROVAL, HandoverNamed): _handover_named,
    (State.SCHEDULED, HandoverNamed): _handover_named,
    (State.AWAITING_CONFIRMATION, Confirmed): _confirmed,
    (State.AWAITING_CONFIRMATION, ConfirmedByLogIn): _confirmed_by_log_in,
    (State.AWAITING_CONFIRMATION, Declined): _declined,
    (State.AWAITING_CONFIRMATION, Cancelled): _cancelled,
    (State.AWAITING_CONFIRMATION, TargetChanged): _target_changed,
    (State.AWAITING_CONFIRMATION, Replaced): _replaced,
    (State.AWAITING_CONFIRMATION, TimePassed): _unconfirmed_time,
    (State.AWAITING_MATRIX_ID, MatrixIDTyped): _matrix_id_typed,
    (State.AWAITING_MATRIX_ID, ConfirmedByLogIn): _confirmed_by_log_in,
    (State.AWAITING_MATRIX_ID, Declined): _declined,
    (State.AWAITING_MATRIX_ID, Cancelled): _cancelled,
    (State.AWAITING_MATRIX_ID, TargetChanged): _target_changed,
    (State.AWAITING_MATRIX_ID, Replaced): _replaced,
    (State.AWAITING_MATRIX_ID, TimePassed): _unconfirmed_time,
    (State.AWAITING_LOG_IN, ConfirmedByLogIn): _confirmed_by_log_in,
    (State.AWAITING_LOG_IN, Declined): _declined,
    (State.AWAITING_LOG_IN, Cancelled): _cancelled,
    (State.AWAITING_LOG_IN, TargetChanged): _target_changed,
    (State.AWAITING_LOG_IN, Replaced): _replaced,
    (State.AWAITING_LOG_IN, TimePassed): _unconfirmed_time,
    (State.AWAITING_APPROVAL, Approved): _approved,
    (State.AWAITING_APPROVAL, ApprovalRefused): _approval_refused,
    (State.AWAITING_APPROVAL, Declined): _declined,
    (State.AWAITING_APPROVAL, Cancelled): _cancelled,
    (State.AWAITING_APPROVAL, TimePassed): _approval_time,
    (State.SCHEDULED, Declined): _declined,
    (State.SCHEDULED, Cancelled): _cancelled,
    (State.SCHEDULED, TargetChanged): _target_changed,
    (State.SCHEDULED, TimePassed): _scheduled_time,
    (State.RUNNING, Declined): _declined,
    (State.RUNNING, Cancelled): _cancelled,
    (State.RUNNING, ConfirmationWithdrawn): _withdrawn,
    (State.RUNNING, TargetChanged): _target_changed,
    (State.RUNNING, StepStarted): _step_started,
    (State.RUNNING, StepDone): _step_done,
    (State.RUNNING, StepFailed): _step_failed,
    (State.RUNNING, RetryAsked): _retry_running,
    (State.RELEASING, StepDone): _released,
    (State.RELEASING, StepFailed): _release_failed,
    (State.RELEASING, RetryAsked): _retry_running,
    (State.BLOCKED, RetryAsked): _retry_blocked,
    (State.BLOCKED, Cancelled): _cancelled,
    (State.BLOCKED, Closed): _closed,
}


def decide(request: Request, event: Event, now: int) -> Decision:
    """What becomes of `request` when `event` happens at `now`.

    Returns:
        The request as it is from then on, and the names of the messages people get. With a `refusal` the request is
        unchanged, object for object.
    """
    rule = TRANSITIONS.get((request.state, type(event)))
    if rule is None:
        return Decision(request, refusal=request.state)
    try:
        return rule(request, event, now)
    except _Refused as why:
        return Decision(request, refusal=why.why)


def reminder_ts(r: Request) -> int | None:
    """When people are reminded of a scheduled removal: a day before, where more than a day was left at the start."""
    if r.due_ts is None or r.reminded_ts is not None:
        return None
    return r.due_ts - DAY_MS


def wake_ts(r: Request) -> int | None:
    """When the clock matters next to this request, or None."""
    if r.state in UNCONFIRMED:
        return r.expires_ts
    if r.state is State.AWAITING_APPROVAL:
        return (r.reminded_ts or 0) + DAY_MS
    if r.state is State.SCHEDULED:
        return reminder_ts(r) or r.due_ts
    if r.state in (State.RUNNING, State.RELEASING):
        return r.retry_ts or 0
    return None


def can_close(r: Request) -> bool:
    """Whether `!close` would end it."""
    deactivated, read = r.record(Step.DEACTIVATE), r.record(Step.VERIFY)
    if read is not None and read.answer.get("proofs", {}).get(Proof.DEACTIVATED) is False:
        return False  # somebody may have reactivated it
    return r.state is State.BLOCKED and deactivated is not None and deactivated.state is StepState.DONE


def can_cancel(r: Request) -> bool:
    """Whether `!cancel` would still end it."""
    return r.state in UNCONFIRMED | WAITING | {State.RUNNING, State.BLOCKED} and not r.began_final_step
