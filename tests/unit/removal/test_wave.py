"""What becomes of a wave: who may confirm, what a number has to be, and what every event does in every state."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from removal import wave as life
from removal.request import ConfirmedBy
from removal.wave import TRANSITIONS, Wave, WaveNoChange, WaveRules, WaveState, decide
from tests.support.made_waves import MINUTE, MODERATOR, NOW, OTHER, review, wave

HOUR = 60 * MINUTE
LONG_AGO = NOW - 100 * HOUR


def confirmed(by: str = OTHER, *, since: int | None = LONG_AGO, at: int = NOW) -> life.Confirmed:
    """A ✅."""
    return life.Confirmed(by, at, "$yes", since)


def after(*events: life.Event, of: Wave) -> Wave:
    """The wave after these events, each of which changes it."""
    for event in events:
        decision = decide(of, event, NOW)
        assert decision.refusal is None, (event, decision.refusal)
        of = decision.wave
    return of


def refusal(event: life.Event, of: Wave, now: int = NOW) -> object:
    """Why an event changes nothing."""
    decision = decide(of, event, now)
    assert decision.refusal is not None
    assert decision.wave is of
    return decision.refusal


def test_few_accounts_need_one_moderator_only() -> None:
    """Up to the threshold, and the one after it needs another."""
    assert after(confirmed(MODERATOR), of=wave(10)).state is WaveState.RUNNING
    assert refusal(confirmed(MODERATOR), wave(11)) is WaveNoChange.NEEDS_OTHER
    assert after(confirmed(OTHER), of=wave(11)).state is WaveState.RUNNING


@pytest.mark.parametrize("since", [None, NOW - HOUR + 1, NOW])
def test_a_new_moderator_cant_be_the_second(since: int | None) -> None:
    """Neither one of less than an hour, nor one that nothing can be told of."""
    assert refusal(confirmed(since=since), wave(11)) is WaveNoChange.TOO_NEW


def test_a_moderator_made_after_the_prompt_cant_be_the_second() -> None:
    """However short the settings say that somebody must have been one."""
    asked = wave(12, rules=WaveRules(moderator_for_ms=0))
    made_after = confirmed(since=asked.created_ts + 1)
    assert refusal(made_after, asked) is WaveNoChange.TOO_NEW
    assert refusal(made_after, after(life.Excluded(MODERATOR, review(11)), of=asked)) is WaveNoChange.TOO_NEW
    assert after(confirmed(since=asked.created_ts), of=asked).state is WaveState.RUNNING


def test_the_number_is_typed_by_who_confirmed() -> None:
    """And must be the number."""
    asked = after(confirmed(), of=wave(101))
    assert asked.state is WaveState.AWAITING_NUMBER
    assert refusal(life.NumberTyped(MODERATOR, 101, NOW), asked) is WaveNoChange.OTHER_TYPES
    assert refusal(life.NumberTyped(OTHER, 100, NOW), asked) is WaveNoChange.WRONG_NUMBER
    late = asked.expires_ts + 1
    assert refusal(life.NumberTyped(OTHER, 101, late), asked, late) is WaveNoChange.EXPIRED
    assert after(life.NumberTyped(OTHER, 101, NOW), of=asked).state is WaveState.RUNNING
    assert after(confirmed(), of=wave(100)).state is WaveState.RUNNING


def test_the_settings_for_single_removals_hold_too() -> None:
    """Only the requester, or never the requester, or over the cap per hour."""
    own = wave(rules=WaveRules(confirmed_by=ConfirmedBy.REQUESTER))
    assert refusal(confirmed(OTHER), own) is WaveNoChange.ONLY_REQUESTER
    for rules in (WaveRules(confirmed_by=ConfirmedBy.OTHER_MODERATOR), WaveRules(over_cap=True)):
        assert refusal(confirmed(MODERATOR), wave(rules=rules)) is WaveNoChange.NEEDS_OTHER


def test_an_excluded_account_makes_a_new_question() -> None:
    """Whoever had confirmed has to again, and a list without anybody ends."""
    asked = after(confirmed(), of=wave(101))
    again = after(life.Excluded(MODERATOR, review(100)), of=asked)
    assert (again.state, again.round, again.confirmer_id) == (WaveState.AWAITING_CONFIRMATION, asked.round + 1, None)
    assert after(life.Excluded(MODERATOR, review(0)), of=asked).state is WaveState.CANCELLED


def test_cancelling_sets_free_only_what_was_begun() -> None:
    """Before the first account it simply ends."""
    running = after(confirmed(), of=wave())
    assert after(life.Cancelled(OTHER), of=running).state is WaveState.CANCELLED
    begun = after(life.Begun(), of=running)
    assert refusal(life.Declined(OTHER), begun) is WaveNoChange.BEGUN
    assert refusal(life.Withdrawn(OTHER), begun) is WaveNoChange.BEGUN
    assert after(life.Cancelled(OTHER), of=begun).state is WaveState.CANCELLING
    assert after(life.Cancelled(OTHER), life.Settled(), of=begun).state is WaveState.CANCELLED
    assert after(life.Paused(OTHER), life.Cancelled(OTHER), of=begun).state is WaveState.CANCELLING


def test_a_prompt_expires_once_its_end_was_seen() -> None:
    """What was sent in time may still be on its way."""
    asked = wave()
    assert refusal(life.TimePassed(asked.expires_ts), asked) is WaveNoChange.NOT_YET
    assert after(life.TimePassed(asked.expires_ts + 1), of=asked).state is WaveState.EXPIRED
    assert refusal(confirmed(at=asked.expires_ts + 1), asked) is WaveNoChange.EXPIRED


def test_a_date_is_kept() -> None:
    """Confirmed now, begun then."""
    scheduled = after(confirmed(), of=wave(at_ts=NOW + HOUR))
    assert (scheduled.state, scheduled.due_ts) == (WaveState.SCHEDULED, NOW + HOUR)
    assert refusal(life.TimePassed(NOW), scheduled) is WaveNoChange.NOT_YET
    assert decide(scheduled, life.TimePassed(NOW), NOW + HOUR).wave.state is WaveState.RUNNING


def test_what_is_retried_ends_as_done() -> None:
    """Who cancelled it before didn't end it this time."""
    running = after(confirmed(), life.Begun(), life.Cancelled(OTHER, "a mistake"), life.Settled(), of=wave())
    assert running.ended_by == OTHER
    again = after(life.RetryAsked(MODERATOR, 1), life.Settled(), of=running)
    assert (again.state, again.ended_by, again.ended_because) == (WaveState.DONE, None, "")


def test_a_confirmation_is_found_again_after_the_room_was_upgraded() -> None:
    """The prompt that was confirmed stays where it was, whatever room and round the wave has by then."""
    asked = wave(round=2)
    scheduled = after(confirmed(), of=replace(asked, at_ts=NOW + HOUR))
    moved = replace(scheduled, room_id="!new:lethe.test", round=3)
    assert (moved.confirmed_in, moved.confirmed_round) == (asked.room_id, 2)
    asked_again = after(life.Excluded(OTHER, review(2)), of=moved)
    assert (asked_again.confirmed_in, asked_again.confirmed_round) == ("", 0)


EVENTS: tuple[Any, ...] = (
    life.Looked(review(3)), life.Excluded(OTHER, review(2)), confirmed(), life.NumberTyped(OTHER, 3, NOW),
    life.Declined(OTHER), life.Withdrawn(OTHER), life.Cancelled(OTHER), life.Paused(OTHER), life.Resumed(OTHER),
    life.RetryAsked(OTHER, 1), life.Begun(), life.Settled(), life.TimePassed(NOW),
)  # fmt: skip


@pytest.mark.parametrize(("state", "event"), list(itertools.product(WaveState, EVENTS)), ids=str)
def test_what_isnt_in_the_table_changes_nothing(state: WaveState, event: life.Event) -> None:
    """And no event but a decision by people, or the time they chose, makes a wave run."""
    now = wave(3, state=state, confirmer_id=OTHER, due_ts=NOW)
    decision = decide(now, event, NOW)
    if (state, type(event)) not in TRANSITIONS:
        assert decision.refusal is state
        assert decision.wave is now
    elif decision.wave.state is WaveState.RUNNING and state is not WaveState.RUNNING:
        assert isinstance(event, life.Confirmed | life.NumberTyped | life.Resumed | life.RetryAsked | life.TimePassed)


def test_a_wave_is_stored_whole() -> None:
    """Every field comes back as it was."""
    full = replace(
        wave(7, filters=life.Filters("spam*", 1, 2, True, True, "@x:y"), notes=("a",), skipped=(("blank", 2),)),
        review=review(7, refused=(("moderator", 1),), outliers=(life.Outlier("@a:b", "oldest", -1),), sample=("@a:b",)),
    )
    assert Wave.from_dict(json.loads(json.dumps(full.to_dict()))) == full
