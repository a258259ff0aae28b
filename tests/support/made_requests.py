"""Requests for the tests of the pure core: made, and brought to where a test wants them by the rules themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from removal.lifecycle import (
    Cancelled,
    Closed,
    Confirmed,
    ConfirmedByLogIn,
    Event,
    MatrixIDTyped,
    StepDone,
    StepFailed,
    StepStarted,
    decide,
)
from removal.plan import Kind, Step, proofs_for
from removal.request import Failure, ProvedBy, Request, Rules, State

NOW = 1_700_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

MODERATOR = "@moderator:example.org"
SECOND_MODERATOR = "@second-moderator:example.org"
SPAMMER = "@spammer:example.org"
LEAVER = "@leaver:example.org"

YES = Confirmed(MODERATOR, NOW, "$yes")
SECOND_YES = Confirmed(SECOND_MODERATOR, NOW, "$second-yes")
OWN_YES = Confirmed(LEAVER, NOW, "$own-yes")
TYPED = MatrixIDTyped(LEAVER, NOW)
LOGGED_IN = ConfirmedByLogIn(LEAVER, NOW)


def moderation(**changes: Any) -> Request:
    """A moderator's request as it is when it has just been made."""
    request = Request(
        id=7,
        kind=Kind.MODERATION,
        requester_id=MODERATOR,
        target_id=SPAMMER,
        room_id="!admin:example.org",
        command_event_id="$command",
        created_ts=NOW,
        expires_ts=NOW + 10 * MINUTE,
    )
    return replace(request, **changes)


def own(**changes: Any) -> Request:
    """A person's own request, with a Matrix ID to type and no approval needed, waiting for its ✅."""
    rules = Rules(needs_matrix_id=True, grace_ms=7 * DAY)
    return replace(
        moderation(kind=Kind.OWN, requester_id=LEAVER, target_id=LEAVER, room_id="!direct:example.org", rules=rules),
        **changes,
    )


def play(request: Request, *events: Event, now: int = NOW) -> Request:
    """What becomes of a request when all this happens, none of it refused."""
    for event in events:
        decision = decide(request, event, now)
        assert not decision.refusal, (request.state, event, decision.refusal)
        request = decision.request
    return request


def proofs(request: Request) -> dict[str, Any]:
    """The answer of a step `verify` that confirms all that was promised."""
    return {"proofs": {proof.value: True for proof in proofs_for(request.options)}}


def done(request: Request, step: Step) -> Request:
    """The same request after this step, its current one, succeeded."""
    answer = proofs(request) if step is Step.VERIFY else {}
    return play(request, StepStarted(step), StepDone(step, answer))


def after(request: Request, last: Step) -> Request:
    """The same request after all steps up to and with `last` succeeded."""
    while True:
        record = request.current_step
        assert record is not None
        request = done(request, record.step)
        if record.step is last:
            return request


def failed(request: Request, step: Step, failure: Failure, cause: str = "the cause", **more: Any) -> Request:
    """The same request after one attempt at this step, its current one, failed."""
    return play(request, StepStarted(step), StepFailed(step, failure, cause, **more))


def in_state(state: State) -> Request:
    """A request in this state, where it came by an ordinary way."""
    running = play(moderation(), YES)
    match state:
        case State.ASKING:
            return own(state=State.ASKING, questions=("erase",))
        case State.AWAITING_CONFIRMATION:
            return moderation()
        case State.AWAITING_MATRIX_ID:
            return play(own(), OWN_YES)
        case State.AWAITING_LOG_IN:
            return play(own(rules=Rules(proved_by=ProvedBy.LOGIN, grace_ms=7 * DAY)), OWN_YES)
        case State.AWAITING_APPROVAL:
            return play(own(rules=Rules(needs_approval=True, grace_ms=7 * DAY)), OWN_YES)
        case State.SCHEDULED:
            return play(moderation(at_ts=NOW + 3 * DAY), YES)
        case State.RUNNING:
            return running
        case State.RELEASING:
            return play(after(running, Step.SUSPEND), Cancelled(MODERATOR))
        case State.BLOCKED:
            return failed(after(running, Step.SUSPEND), Step.THREEPIDS, Failure.NEEDS_PERSON)
        case State.CLOSED:
            left_over = [["!room:example.org", "Garden", "0"], ["!other:example.org", "", ""]]
            lacking = {"proofs": {**proofs(running)["proofs"], "no_rooms": False}, "left_over": left_over}
            reading = play(after(running, Step.RELEASE), StepStarted(Step.VERIFY))
            blocked = play(reading, StepDone(Step.VERIFY, {**lacking, "lasting": True}))
            return play(blocked, Closed(SECOND_MODERATOR, "the reason", others=True))
        case State.DONE:
            return after(running, Step.VERIFY)
        case State.CANCELLED:
            return play(moderation(), Cancelled(MODERATOR))
        case _:
            return moderation(state=state, ended_ts=NOW)


def reloaded(request: Request) -> Request:
    """The request as it is after a crash: what storage kept of it."""
    return Request.from_dict(json.loads(json.dumps(request.to_dict())))
