"""Every decision there can be, found by trying everything: what people may come to read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cache

from removal.lifecycle import (
    Answered,
    ApprovalRefused,
    Approved,
    Cancelled,
    Closed,
    ConfirmationWithdrawn,
    Confirmed,
    ConfirmedByLogIn,
    Decision,
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
    decide,
    wake_ts,
)
from removal.plan import Kind, Step
from removal.request import ENDED, Failure, ProvedBy, Question, Request, Rules, State
from tests.support.made_requests import DAY, MODERATOR, NOW, SECOND_MODERATOR, moderation, own, proofs

LONG_AFTER = NOW + 400 * DAY


def possible(request: Request) -> Iterator[tuple[Event, int]]:
    """What could happen to a request now, and when."""
    question = request.questions[0] if request.questions else Question.ERASE
    record = request.current_step
    step = record.step if record else Step.SNAPSHOT
    for by in (request.requester_id, SECOND_MODERATOR):
        yield Confirmed(by, NOW, "$yes"), NOW
    for event in (
        Declined(MODERATOR),
        Cancelled(MODERATOR, "the reason"),
        ConfirmationWithdrawn(MODERATOR),
        TargetChanged(("admin",)),
        Replaced(8),
        Answered(question, True),
        HandoverNamed("!room:example.org", SECOND_MODERATOR),
        MatrixIDTyped(request.target_id, NOW),
        ConfirmedByLogIn(request.requester_id, NOW),
        Approved(MODERATOR),
        ApprovalRefused(MODERATOR, "the reason"),
        StepStarted(step),
        StepDone(step, proofs(request) if step is Step.VERIFY else {}),
        StepDone(step),
        RetryAsked(MODERATOR),
        Closed(SECOND_MODERATOR, "the reason", others=True),
    ):
        yield event, NOW
    for failure in Failure:
        yield StepFailed(step, failure, "the cause"), NOW
    yield StepFailed(step, Failure.NOT_YET, "the cause"), LONG_AFTER
    lacking = {"proofs": {**proofs(request)["proofs"], "no_rooms": False}, "left_over": [("!room:x", "the name", "0")]}
    yield StepDone(step, {**lacking, "lasting": True} if step is Step.VERIFY else {}), NOW
    yield ConfirmationWithdrawn(MODERATOR), LONG_AFTER
    yield TimePassed(LONG_AFTER), wake_ts(request) or NOW
    yield TimePassed(LONG_AFTER), LONG_AFTER


def alike(request: Request) -> tuple[object, ...]:
    """What two requests have in common that go on in the same ways."""
    current = request.current_step
    step = (current.step, current.state, min(current.attempts, 3)) if current else None
    told = (request.open_said, request.reminded_ts is not None, request.retry_ts is not None, request.ends_as)
    rules = (request.kind, request.rules, request.questions, request.approver_id)
    return (*rules, request.state, step, request.began_final_step, request.suspended, told)


@cache
def decisions() -> tuple[tuple[Request, Event, Decision], ...]:
    """A request, what happened to it, and what followed, refusals included: each way of it once."""
    rules = Rules(needs_matrix_id=True, needs_approval=True, grace_ms=3 * DAY)
    waiting = deque([
        moderation(),
        moderation(at_ts=NOW + 3 * DAY),
        own(rules=rules, state=State.ASKING, questions=("erase", "media")),
        own(rules=Rules()),
        *(own(rules=Rules(needs_matrix_id=True, proved_by=by)) for by in (ProvedBy.LOGIN, ProvedBy.EITHER)),
    ])  # fmt: skip
    seen = {alike(request) for request in waiting}
    found: list[tuple[Request, Event, Decision]] = []
    while waiting:
        request = waiting.popleft()
        for event, now in possible(request):
            decision = decide(request, event, now)
            found.append((request, event, decision))
            after = decision.request
            if alike(after) not in seen:
                seen.add(alike(after))
                waiting.append(after)
    assert {request.state for request, _, _ in found} == set(State)
    assert any(request.kind is Kind.OWN and request.state in ENDED for request, _, _ in found)
    return tuple(found)
