"""A request as a value: what it says about itself, and that storage gives back what it was given."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from removal.facts import Facts, changed_meanwhile
from removal.lifecycle import ConfirmationWithdrawn, StepStarted
from removal.plan import Media, Options, Proof, Step, proofs_for, steps_for
from removal.request import (
    ACTING,
    ENDED,
    OPEN,
    UNCONFIRMED,
    WAITING,
    ConfirmedBy,
    Failure,
    Question,
    Request,
    Rules,
    State,
    StepRecord,
    StepState,
)
from tests.support.made_requests import MODERATOR, YES, after, failed, in_state, moderation, play, reloaded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# StepRecord.answer and the rest are drawn by type; only what types don't say is said here.
REQUESTS = st.builds(
    Request,
    options=st.builds(Options, handover=st.lists(st.tuples(st.text(), st.text()), max_size=2).map(tuple)),
    steps=st.lists(
        st.builds(
            StepRecord,
            answer=st.dictionaries(st.text(), JSON, max_size=3),
            failure=st.none() | st.sampled_from(Failure),
        ),
        max_size=3,
    ).map(tuple),
    questions=st.lists(st.sampled_from(Question), max_size=2).map(tuple),
    facts=st.builds(
        Facts,
        threepids=st.lists(st.text(), max_size=2).map(tuple),
        sso_providers=st.lists(st.text(), max_size=2).map(tuple),
        only_admin_in=st.none() | st.lists(st.text(), max_size=2).map(tuple),
    ),
    ends_as=st.none() | st.sampled_from(State),
)  # fmt: skip


@given(request=REQUESTS)
def test_storage_gives_back_what_it_was_given(request: Request) -> None:
    """Through JSON and back nothing is lost, and every enumeration is one again."""
    again = reloaded(request)
    assert again == request
    assert isinstance(again.state, State)
    assert isinstance(again.rules.confirmed_by, ConfirmedBy)
    assert all(isinstance(record.step, Step) for record in again.steps)
    assert all(isinstance(record.failure, Failure | None) for record in again.steps)


def test_what_a_newer_version_added_is_ignored() -> None:
    """A field that this version doesn't know is no reason to lose a request."""
    data: dict[str, Any] = json.loads(json.dumps(moderation().to_dict()))
    assert Request.from_dict({**data, "colour": "red"}) == moderation()


def test_every_state_is_open_or_ended_and_in_one_group() -> None:
    """The groups that the rest of the program asks about overlap nowhere and leave nothing out."""
    groups = (UNCONFIRMED, WAITING, ACTING, ENDED)
    assert sum(map(len, groups)) == len(State)
    assert frozenset().union(*groups) == frozenset(State)
    assert frozenset(State) - ENDED == OPEN


def test_the_reference_is_what_people_type() -> None:
    """R and the number."""
    assert moderation().reference == "R7"


def test_before_it_runs_the_plan_follows_from_the_options() -> None:
    """Once it runs, the plan is what was begun, even if the code's order changes later."""
    request = moderation(options=Options(redact=True))
    assert request.plan == steps_for(request.kind, request.options)
    begun = replace(request, steps=(StepRecord(Step.SNAPSHOT), StepRecord(Step.VERIFY)))
    assert begun.plan == (Step.SNAPSHOT, Step.VERIFY)


def test_looking_at_an_account_does_not_touch_it() -> None:
    """The snapshot only reads, so the request can still be dropped without a trace."""
    request = after(in_state(State.RUNNING), Step.SNAPSHOT)
    assert not request.touched
    assert play(request, StepStarted(Step.SUSPEND)).touched


def test_the_suspension_is_ours_from_the_attempt_until_the_release() -> None:
    """An attempt whose outcome is unknown counts: it may have succeeded."""
    request = play(after(in_state(State.RUNNING), Step.SNAPSHOT), StepStarted(Step.SUSPEND))
    assert request.suspended
    assert after(request, Step.WAIT).suspended
    assert not after(request, Step.RELEASE).suspended


@pytest.mark.parametrize("state", State)
def test_the_point_of_no_return(state: State) -> None:
    """It lies where the final step may have acted, and no request that was called off is past it."""
    expected = state in (State.DONE, State.CLOSED)
    assert in_state(state).began_final_step is expected
    before = after(in_state(State.RUNNING), Step.THREEPIDS)
    assert not before.began_final_step
    assert play(before, StepStarted(Step.DEACTIVATE)).began_final_step


def test_proofs_are_what_was_read_last_and_nothing_else() -> None:
    """Unread, false, or anything but True is no proof; what the plan doesn't promise isn't shown."""
    request = replace(moderation(), options=Options(erase=True))
    assert not any(read for _, read in request.proofs)
    answer = {"proofs": {"deactivated": True, "erased": "yes", "no_rooms": 1, "no_media": True}}
    read = replace(request, steps=(StepRecord(Step.VERIFY, StepState.FAILED, answer=answer),))
    assert [proof for proof, ok in read.proofs if ok] == [Proof.DEACTIVATED]
    assert tuple(proof for proof, _ in read.proofs) == proofs_for(request.options)


def test_the_current_step_is_the_one_that_failed_or_comes_next() -> None:
    """What people are told about stands there."""
    request = failed(after(in_state(State.RUNNING), Step.SNAPSHOT), Step.SUSPEND, Failure.PASSING)
    assert request.current_step is not None
    assert request.current_step.step is Step.SUSPEND
    assert in_state(State.DONE).current_step is None
    assert in_state(State.AWAITING_CONFIRMATION).current_step is None


def test_promises_made_when_asked_are_kept_whatever_the_settings_become() -> None:
    """The rules travel with the request through everything, a withdrawn ✅ included."""
    rules = Rules(confirmed_by=ConfirmedBy.REQUESTER, by_reply=True)
    request = play(moderation(rules=rules), YES, ConfirmationWithdrawn(MODERATOR))
    assert request.rules == rules


@pytest.mark.parametrize("name", ["admin", "deactivated", "erased", "guest", "appservice", "locked"])
def test_a_change_that_alters_the_decision_is_named(name: str) -> None:
    """Each of these makes it another account than the one that was shown."""
    flag: dict[str, Any] = {name: True}
    assert changed_meanwhile(Facts(), Facts(**flag)) == (name,)
    assert changed_meanwhile(Facts(**flag), Facts()) == (name,)


def test_a_change_that_alters_nothing_is_no_reason_to_ask_again() -> None:
    """Another name, room or device, or that this very request suspended it."""
    now = Facts(displayname="x", rooms=3, devices=2, media=1, suspended=True, last_seen_ts=1, only_admin_in=("a",))
    assert changed_meanwhile(Facts(), now) == ()
    assert changed_meanwhile(Facts(), replace(now, media=2, threepids=("email",))) == ()


def test_media_words_are_the_ones_stored() -> None:
    """Enumerations are stored by value: renaming one would orphan old requests."""
    assert [media.value for media in Media] == ["keep", "delete", "quarantine"]
