"""All sequences of events there can be, breadth first: each state is reached, and from each one there is an end."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable

import pytest

from removal.lifecycle import TRANSITIONS, decide
from removal.plan import Kind, Media, Options, Step
from removal.request import ENDED, ProvedBy, Question, Request, Rules, State
from tests.support.all_decisions import alike, possible
from tests.support.made_requests import DAY, NOW, moderation, own

EVERYTHING = Options(erase=True, redact=True, media=Media.DELETE, forget_sso=True, handover=(("*", "@b:example.org"),))
RULES = Rules(needs_matrix_id=True, needs_approval=True, grace_ms=3 * DAY)
BEGINNINGS = {
    "a moderator's": moderation(),
    "a moderator's with every option": moderation(options=EVERYTHING),
    "a moderator's with a date": moderation(at_ts=NOW + 3 * DAY),
    "a person's own": own(rules=Rules()),
    "a person's own with log-in": own(rules=Rules(needs_matrix_id=True, proved_by=ProvedBy.LOGIN)),
    "a person's own with either proof": own(rules=Rules(needs_matrix_id=True, proved_by=ProvedBy.EITHER)),
    "a person's own with every question": own(
        rules=RULES, state=State.ASKING, questions=(Question.ERASE, Question.MEDIA)
    ),
}
NEVER = {
    Kind.MODERATION: {
        State.ASKING,
        State.AWAITING_MATRIX_ID,
        State.AWAITING_LOG_IN,
        State.AWAITING_APPROVAL,
        State.REFUSED,
    },
    Kind.OWN: set[State](),
}
"""States that a kind of request is never in."""


def walk(begin: Request) -> tuple[dict[Hashable, Request], dict[Hashable, set[Hashable]]]:
    """Every request that can become of this one, of each that goes on in the same ways one; and what follows what."""
    seen: dict[Hashable, Request] = {alike(begin): begin}
    following: dict[Hashable, set[Hashable]] = defaultdict(set)
    waiting = deque([begin])
    while waiting:
        request = waiting.popleft()
        for event, now in possible(request):
            decision = decide(request, event, now)
            after = decision.request
            if decision.refusal:
                assert after is request
                continue
            assert (request.state, type(event)) in TRANSITIONS
            following[alike(request)].add(alike(after))
            if alike(after) not in seen:
                seen[alike(after)] = after
                waiting.append(after)
    return seen, following


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
def test_no_state_is_a_trap(begin: Request) -> None:
    """From each request that can be there is a way to an end, and an ended one stays as it is."""
    seen, following = walk(begin)
    reaches_end = {alike for alike, request in seen.items() if request.state in ENDED}
    assert all(not following[alike] for alike in reaches_end)
    while True:
        more = {alike for alike in seen if alike not in reaches_end and following[alike] & reaches_end}
        if not more:
            break
        reaches_end |= more
    assert [request for alike, request in seen.items() if alike not in reaches_end] == []


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=BEGINNINGS)
def test_each_end_is_a_true_one(begin: Request) -> None:
    """Done has all its steps and proofs; what was stopped never began its final step, and leaves no suspension."""
    for request in walk(begin)[0].values():
        if request.state is State.DONE:
            assert all(record.ended_ts is not None for record in request.steps)
            assert all(held for _, held in request.proofs)
        elif request.state is State.CLOSED:
            assert request.ended_by is not None  # only a person ends what isn't confirmed
        elif request.state in ENDED:
            assert not request.began_final_step
            assert not request.suspended


def test_each_state_is_reached_by_those_that_may_be_in_it() -> None:
    """Every state is reached by one kind of request or both, and none by a kind that has no use for it."""
    reached: dict[Kind, set[State]] = {kind: set() for kind in Kind}
    for begin in BEGINNINGS.values():
        reached[begin.kind] |= {request.state for request in walk(begin)[0].values()}
    assert reached == {kind: set(State) - NEVER[kind] for kind in Kind}
    assert any(Step.REDACT in request.plan for request in BEGINNINGS.values())
