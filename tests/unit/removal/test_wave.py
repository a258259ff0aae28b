"""What becomes of a wave: who may confirm, what a number has to be, and what every event does in every state."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from removal import wave as life
from removal.request import ConfirmedBy
from removal.wave import TRANSITIONS, Wave, WaveNoChange, WaveRules, WaveState, decide, wake_ts
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


def test_a_date_that_has_come_is_no_date() -> None:
    """Confirmed at that very millisecond or later, it runs at once, with nothing more to tell."""
    for at_ts in (NOW, NOW - HOUR):
        running = after(confirmed(), of=wave(at_ts=at_ts, reported=False))
        assert (running.state, running.due_ts, running.reported) == (WaveState.RUNNING, None, True)


def test_a_date_is_kept_after_the_number_too() -> None:
    """And told; once it has come, nothing is scheduled and nothing left to tell."""
    scheduled = after(confirmed(), life.NumberTyped(OTHER, 101, NOW), of=wave(101, at_ts=NOW + HOUR))
    assert (scheduled.state, scheduled.due_ts, scheduled.reported) == (WaveState.SCHEDULED, NOW + HOUR, False)
    running = decide(scheduled, life.TimePassed(NOW + HOUR), NOW + HOUR).wave
    assert (running.state, running.due_ts, running.reported) == (WaveState.RUNNING, None, True)


def test_what_the_looks_brought_is_asked_about() -> None:
    """For the time that the settings gave when the wave was opened, and by a prompt that is yet to be sent."""
    found = review(7, old=2)
    collecting = wave(0, state=WaveState.COLLECTING, round=0, rules=WaveRules(expires_after_ms=7 * MINUTE))
    asked = after(life.Looked(found), of=collecting)
    assert (asked.state, asked.review, asked.round) == (WaveState.AWAITING_CONFIRMATION, found, 1)
    assert (asked.asked_ts, asked.expires_ts, asked.reported) == (NOW, NOW + 7 * MINUTE, False)


def test_who_confirmed_is_written_down_until_it_is_asked_again() -> None:
    """Who, when, by which event and how far their device was trusted; a new question is as if nobody had."""
    asked = wave(at_ts=NOW + HOUR)
    scheduled = after(life.Confirmed(OTHER, NOW - 1, "$yes", LONG_AGO, "verified"), of=asked)
    assert (scheduled.confirmer_id, scheduled.confirmed_ts, scheduled.confirmation_event_id) == (OTHER, NOW - 1, "$yes")
    assert (scheduled.confirmer_trust, scheduled.due_ts, scheduled.reported) == ("verified", NOW + HOUR, False)
    again = after(life.Excluded(MODERATOR, review(2)), of=scheduled)
    assert again == replace(
        asked, review=review(2), round=2, asked_ts=NOW, expires_ts=NOW + 10 * MINUTE, reported=False
    )


def test_there_is_time_to_type_the_number() -> None:
    """As much as there was to confirm, from the ✅ on; that it has to be typed is yet to be said."""
    asked = after(confirmed(), of=wave(101))
    assert (asked.expires_ts, asked.reported) == (NOW + 10 * MINUTE, False)
    assert after(life.NumberTyped(OTHER, 101, NOW), of=asked).reported


def test_an_answer_in_time_counts_even_if_it_comes_late() -> None:
    """Sent in the last millisecond, and seen as long after the end as the prompt was open; nothing later counts."""
    asked = wave()
    end = asked.expires_ts
    last = end + asked.rules.expires_after_ms
    assert decide(asked, confirmed(at=end), last).wave.state is WaveState.RUNNING
    assert refusal(confirmed(at=end), asked, last + 1) is WaveNoChange.EXPIRED
    assert refusal(life.TimePassed(end), asked, last) is WaveNoChange.NOT_YET
    assert decide(asked, life.TimePassed(end), last + 1).wave.state is WaveState.EXPIRED


LOOKED_AT, ASKED_NUMBER = wave(state=WaveState.COLLECTING), wave(101, state=WaveState.AWAITING_NUMBER)
RUNNING = wave(state=WaveState.RUNNING, confirmer_id=OTHER)
BEGUN = replace(RUNNING, begun_ts=NOW - 1)
CANCELLING = replace(BEGUN, state=WaveState.CANCELLING, ended_by=OTHER, ended_because="a mistake")
ENDINGS: tuple[Any, ...] = (
    (LOOKED_AT, life.Looked(review(0)), WaveState.REFUSED, None, ""),
    (LOOKED_AT, life.Looked(review(900), "too many"), WaveState.REFUSED, None, "too many"),
    (replace(LOOKED_AT, dry_run=True), life.Looked(review(3)), WaveState.SHOWN, None, ""),
    (LOOKED_AT, life.Cancelled(OTHER, "a mistake"), WaveState.CANCELLED, OTHER, "a mistake"),
    (wave(), life.Excluded(OTHER, review(0)), WaveState.CANCELLED, OTHER, ""),
    (wave(), life.Declined(OTHER), WaveState.CANCELLED, OTHER, ""),
    (wave(), life.TimePassed(NOW + HOUR), WaveState.EXPIRED, None, ""),
    (ASKED_NUMBER, life.Declined(OTHER), WaveState.CANCELLED, OTHER, ""),
    (RUNNING, life.Declined(OTHER), WaveState.CANCELLED, OTHER, ""),
    (RUNNING, life.Cancelled(OTHER, "a mistake"), WaveState.CANCELLED, OTHER, "a mistake"),
    (BEGUN, life.Settled(), WaveState.DONE, None, ""),
    (CANCELLING, life.Settled(), WaveState.CANCELLED, OTHER, "a mistake"),
)


@pytest.mark.parametrize(("before", "event", "state", "by", "because"), ENDINGS)
def test_an_end_says_when_by_whom_and_why(
    before: Wave, event: life.Event, state: WaveState, by: str | None, because: str
) -> None:
    """And is yet to be told. Nobody ended what ended by itself."""
    end = after(event, of=before)
    assert (end.state, end.ended_ts, end.ended_by, end.ended_because) == (state, NOW, by, because)
    assert end.reported is False
    assert end.review == getattr(event, "review", before.review)


def test_a_stop_is_remembered_while_accounts_are_set_free() -> None:
    """By whom and why; it has ended only once they are."""
    stopped = after(life.Cancelled(OTHER, "a mistake"), of=BEGUN)
    assert (stopped.state, stopped.ended_by, stopped.ended_because) == (WaveState.CANCELLING, OTHER, "a mistake")
    assert stopped.ended_ts is None


def test_a_pause_lasts_until_somebody_goes_on() -> None:
    """Nothing but where it stands is changed by either."""
    paused = after(life.Paused(MODERATOR), of=BEGUN)
    assert paused == replace(BEGUN, state=WaveState.PAUSED)
    assert after(life.Resumed(OTHER), of=paused) == BEGUN


def test_what_is_retried_has_no_end() -> None:
    """Until it ends again. Without an account that failed there is nothing to retry."""
    done = after(life.Settled(), of=BEGUN)
    assert refusal(life.RetryAsked(OTHER, 0), done) is WaveNoChange.NOTHING_FAILED
    assert after(life.RetryAsked(OTHER, 1), of=done) == BEGUN


@pytest.mark.parametrize("state", WaveState)
def test_the_clock_wakes_what_waits_for_it(state: WaveState) -> None:
    """A question at its end, a scheduled wave at its date, and nothing else."""
    waking = {WaveState.SCHEDULED: NOW + HOUR, **dict.fromkeys(life.ASKED, NOW + MINUTE)}
    assert wake_ts(wave(state=state, expires_ts=NOW + MINUTE, due_ts=NOW + HOUR)) == waking.get(state)


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


@pytest.mark.parametrize("filters", [None, life.Filters("spam*", 1, 2, True, True, "@x:y")])
def test_a_wave_is_stored_whole(filters: life.Filters | None) -> None:
    """Every field comes back as it was, whether its accounts were named or sought."""
    full = replace(
        wave(7, filters=filters, notes=("a",), skipped=(("blank", 2),)),
        review=review(7, refused=(("moderator", 1),), outliers=(life.Outlier("@a:b", "oldest", -1),), sample=("@a:b",)),
    )
    assert Wave.from_dict(json.loads(json.dumps(full.to_dict()))) == full
