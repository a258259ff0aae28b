"""A wave: many accounts, one decision. A durable value, and `decide`, which says what becomes of it.

Each account of a confirmed wave becomes a request of its own (removal.request) and is decided on there; here stands
only what is common to all. Pure, as removal.lifecycle: no I/O, no clock. Times are milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from removal.ids import wave_reference
from removal.plan import Options
from removal.request import ConfirmedBy


class WaveState(StrEnum):
    """Where a wave stands."""

    COLLECTING = "collecting"  # the accounts are sought and looked at; nobody was asked yet
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    AWAITING_NUMBER = "awaiting_number"  # confirmed; who did types the number of accounts
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"  # what isn't past its point of no return is set free
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SHOWN = "shown"  # a dry run
    REFUSED = "refused"  # nobody left to remove, or too many


ASKED = frozenset({WaveState.AWAITING_CONFIRMATION, WaveState.AWAITING_NUMBER})
AT_WORK = frozenset({WaveState.RUNNING, WaveState.PAUSED, WaveState.CANCELLING})
ENDED = frozenset(
    {WaveState.DONE, WaveState.CANCELLED, WaveState.EXPIRED, WaveState.SHOWN, WaveState.REFUSED}
)  # fmt: skip


class MemberState(StrEnum):
    """Where one account of a wave stands before it has a request; afterwards the request's own state holds."""

    LISTED = "listed"  # named, not looked at yet
    REFUSED = "refused"
    EXCLUDED = "excluded"
    WAITING = "waiting"  # on the frozen list
    CANCELLED = "cancelled"  # the same word as a request's


@dataclass(frozen=True, slots=True)
class Filters:
    """Which of the server's own accounts are meant; all that is given must hold."""

    match: str = ""
    registered_after_ts: int | None = None
    registered_before_ts: int | None = None
    never_joined: bool = False
    no_messages: bool = False
    ip_of: str = ""


@dataclass(frozen=True, slots=True)
class WaveRules:
    """The promises made when the wave was opened. Settings that change later don't change them."""

    confirmed_by: ConfirmedBy = ConfirmedBy.ANY_MODERATOR
    by_reply: bool = False
    expires_after_ms: int = 600_000
    other_moderator_above: int = 10
    type_number_above: int = 100
    moderator_for_ms: int = 3_600_000
    over_cap: bool = False
    """The requester would exceed the cap per hour with it, so somebody else has to confirm."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """An account that stands out of the list, and by what: a normal user who was caught by mistake."""

    user_id: str
    what: str
    value: int


@dataclass(frozen=True, slots=True)
class Review:
    """What the looks at the accounts brought."""

    count: int = 0
    """Accounts on the list."""
    refused: tuple[tuple[str, int], ...] = ()
    outliers: tuple[Outlier, ...] = ()
    old: int = 0
    """Accounts older than `bulk.old_account`."""
    tied: int = 0
    """Accounts with single sign-on or third-party ids."""
    sample: tuple[str, ...] = ()
    digest: str = ""
    """SHA-256 over the sorted list."""


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave, whole. The accounts themselves are rows of their own (storage.waves)."""

    id: int
    requester_id: str
    room_id: str
    command_event_id: str
    created_ts: int
    state: WaveState = WaveState.COLLECTING
    options: Options = field(default_factory=Options)
    rules: WaveRules = field(default_factory=WaveRules)
    filters: Filters | None = None
    """None where the accounts were named."""
    notes: tuple[str, ...] = ()
    """What was wrong with lines of the list that was given."""
    skipped: tuple[tuple[str, int], ...] = ()
    """How many lines of the list were passed over, by kind."""
    reason: str = ""
    at_ts: int | None = None
    hurry: bool = False
    """`--now`: at full speed, whatever other people notice."""
    dry_run: bool = False
    review: Review = field(default_factory=Review)
    round: int = 0
    """How often was asked: each prompt is a message of its own, and only the newest counts."""
    asked_ts: int | None = None
    expires_ts: int = 0
    confirmer_id: str | None = None
    confirmed_ts: int | None = None
    confirmation_event_id: str | None = None
    confirmed_in: str = ""
    """The room and the round of the prompt that was confirmed: they change where the admin room is upgraded."""
    confirmed_round: int = 0
    confirmer_trust: str = ""
    due_ts: int | None = None
    begun_ts: int | None = None
    """When the first account was about to be touched."""
    ended_ts: int | None = None
    ended_by: str | None = None
    ended_because: str = ""
    reported: bool = True
    """False while what the current state has to tell isn't told yet."""
    version: int = 0

    @property
    def reference(self) -> str:
        return wave_reference(self.id)

    @property
    def needs_other(self) -> bool:
        """Whether a moderator other than the requester has to confirm."""
        rules = self.rules
        many = self.review.count > rules.other_moderator_above
        return many or rules.over_cap or rules.confirmed_by is ConfirmedBy.OTHER_MODERATOR

    @property
    def needs_number(self) -> bool:
        """Whether who confirms has to type the number of accounts."""
        return self.review.count > self.rules.type_number_above

    def to_dict(self) -> dict[str, Any]:
        """Plain values for storage."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Wave:
        """The wave that `to_dict` was made of."""
        known = {f.name for f in fields(cls)}
        d = {key: value for key, value in data.items() if key in known}
        d["state"] = WaveState(d["state"])
        d["options"] = Options.from_dict(d["options"])
        d["rules"] = WaveRules(**{**d["rules"], "confirmed_by": ConfirmedBy(d["rules"]["confirmed_by"])})
        d["filters"] = Filters(**d["filters"]) if d["filters"] else None
        d["notes"] = tuple(d["notes"])
        d["skipped"] = tuple((kind, number) for kind, number in d["skipped"])
        r = d["review"]
        d["review"] = Review(
            **{
                **r,
                "refused": tuple((kind, number) for kind, number in r["refused"]),
                "outliers": tuple(Outlier(**each) for each in r["outliers"]),
                "sample": tuple(r["sample"]),
            }
        )
        return cls(**d)


# --- what can happen -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Looked:
    """Every account was looked at; `because` says why nobody can be asked all the same."""

    review: Review
    because: str = ""


@dataclass(frozen=True, slots=True)
class Excluded:
    """The list was changed by a moderator: `review` is the new one."""

    by: str
    review: Review


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Somebody entitled said yes. `at_ts` is the homeserver's time of it."""

    by: str
    at_ts: int
    event_id: str
    moderator_since_ts: int | None
    """Since when they are a moderator; None where that can't be told."""
    trust: str = ""


@dataclass(frozen=True, slots=True)
class NumberTyped:
    by: str
    number: int
    at_ts: int


@dataclass(frozen=True, slots=True)
class Declined:
    by: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The ✅ was gone when it was read again before the first account was touched."""

    by: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    by: str
    because: str = ""


@dataclass(frozen=True, slots=True)
class Paused:
    by: str


@dataclass(frozen=True, slots=True)
class Resumed:
    by: str


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """`accounts` of it failed, and are tried again."""

    by: str
    accounts: int


@dataclass(frozen=True, slots=True)
class Begun:
    """The first account is about to be touched."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is left to do for any account."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The clock was looked at. `synced_ts`: everything sent before this time has been seen."""

    synced_ts: int


Event = (
    Looked | Excluded | Confirmed | NumberTyped | Declined | Withdrawn | Cancelled | Paused | Resumed | RetryAsked
    | Begun | Settled | TimePassed
)  # fmt: skip


class WaveNoChange(StrEnum):
    """Why something that was said or done changed nothing, beside "not in this state"."""

    EXPIRED = "expired"
    NEEDS_OTHER = "needs_other"
    NOT_YET = "not_yet"
    ONLY_REQUESTER = "only_requester"
    NOTHING_FAILED = "nothing_failed"
    TOO_NEW = "too_new"
    WRONG_NUMBER = "wrong_number"
    OTHER_TYPES = "other_types"
    BEGUN = "begun"
    CLOCK = "clock"
    CODE_MISSING = "code_missing"


@dataclass(frozen=True, slots=True)
class WaveDecision:
    """What follows. `refusal`: why nothing changed, where nothing did."""

    wave: Wave
    refusal: WaveNoChange | WaveState | None = None


class _Refused(Exception):
    def __init__(self, why: WaveNoChange | WaveState) -> None:
        self.why = why


# --- the rules -------------------------------------------------------------------------------------------------------
def _ended(w: Wave, state: WaveState, now: int, by: str | None = None, because: str = "") -> Wave:
    return replace(w, state=state, ended_ts=now, ended_by=by, ended_because=because, reported=False)


def _ask(w: Wave, now: int) -> Wave:
    return replace(
        w,
        state=WaveState.AWAITING_CONFIRMATION,
        round=w.round + 1,
        asked_ts=now,
        expires_ts=now + w.rules.expires_after_ms,
        confirmer_id=None,
        confirmed_ts=None,
        confirmation_event_id=None,
        confirmed_in="",
        confirmed_round=0,
        confirmer_trust="",
        due_ts=None,
        reported=False,
    )


def _looked(w: Wave, e: Looked, now: int) -> Wave:
    w = replace(w, review=e.review)
    if e.because or not e.review.count:
        return _ended(w, WaveState.REFUSED, now, None, e.because)
    return _ended(w, WaveState.SHOWN, now) if w.dry_run else _ask(w, now)


def _excluded(w: Wave, e: Excluded, now: int) -> Wave:
    w = replace(w, review=e.review)
    return _ask(w, now) if e.review.count else _ended(w, WaveState.CANCELLED, now, e.by)


def _confirmed(w: Wave, e: Confirmed, now: int) -> Wave:
    if w.needs_other and e.by == w.requester_id:
        raise _Refused(WaveNoChange.NEEDS_OTHER)
    if not w.needs_other and w.rules.confirmed_by is ConfirmedBy.REQUESTER and e.by != w.requester_id:
        raise _Refused(WaveNoChange.ONLY_REQUESTER)
    if w.needs_other and (e.moderator_since_ts is None or e.moderator_since_ts > second_since_ts(w, e.at_ts)):
        raise _Refused(WaveNoChange.TOO_NEW)
    _in_time(w, e.at_ts, now)
    w = replace(w, confirmer_id=e.by, confirmed_ts=e.at_ts, confirmation_event_id=e.event_id, confirmer_trust=e.trust)
    w = replace(w, confirmed_in=w.room_id, confirmed_round=w.round)
    if w.needs_number:
        later = max(w.expires_ts, now + w.rules.expires_after_ms)
        return replace(w, state=WaveState.AWAITING_NUMBER, expires_ts=later, reported=False)
    return _agreed(w, now)


def second_since_ts(w: Wave, at_ts: int) -> int:
    """Since when, at the latest, a second moderator has to be one who confirms at `at_ts`.

    Who wants to be two persons invites the second one: a moderator made for this doesn't count, neither for the first
    prompt nor for a later one.
    """
    return min(at_ts - w.rules.moderator_for_ms, w.created_ts)


def _number_typed(w: Wave, e: NumberTyped, now: int) -> Wave:
    if e.by != w.confirmer_id:
        raise _Refused(WaveNoChange.OTHER_TYPES)
    _in_time(w, e.at_ts, now)
    if e.number != w.review.count:
        raise _Refused(WaveNoChange.WRONG_NUMBER)
    return _agreed(w, now)


def _in_time(w: Wave, at_ts: int, now: int) -> None:
    if at_ts > w.expires_ts or now > w.expires_ts + w.rules.expires_after_ms:
        raise _Refused(WaveNoChange.EXPIRED)


def _agreed(w: Wave, now: int) -> Wave:
    if w.at_ts is not None and w.at_ts > now:
        return replace(w, state=WaveState.SCHEDULED, due_ts=w.at_ts, reported=False)
    return replace(w, state=WaveState.RUNNING, reported=True)


def _declined(w: Wave, e: Declined, now: int) -> Wave:
    if w.begun_ts is not None:
        raise _Refused(WaveNoChange.BEGUN)
    return _ended(w, WaveState.CANCELLED, now, e.by)


def _withdrawn(w: Wave, e: Withdrawn, now: int) -> Wave:
    if w.begun_ts is not None:
        raise _Refused(WaveNoChange.BEGUN)
    return _ask(w, now)


def _cancelled(w: Wave, e: Cancelled, now: int) -> Wave:
    if w.begun_ts is None:
        return _ended(w, WaveState.CANCELLED, now, e.by, e.because)
    return replace(w, state=WaveState.CANCELLING, ended_by=e.by, ended_because=e.because)


def _paused(w: Wave, e: Paused, now: int) -> Wave:
    return replace(w, state=WaveState.PAUSED)


def _resumed(w: Wave, e: Resumed, now: int) -> Wave:
    return replace(w, state=WaveState.RUNNING)


def _retry(w: Wave, e: RetryAsked, now: int) -> Wave:
    if not e.accounts:
        raise _Refused(WaveNoChange.NOTHING_FAILED)
    return replace(w, state=WaveState.RUNNING, ended_ts=None, ended_by=None, ended_because="", reported=True)


def _begun(w: Wave, e: Begun, now: int) -> Wave:
    return replace(w, begun_ts=now)


def _settled(w: Wave, e: Settled, now: int) -> Wave:
    ends_as = WaveState.CANCELLED if w.state is WaveState.CANCELLING else WaveState.DONE
    return _ended(w, ends_as, now, w.ended_by, w.ended_because)


def _unconfirmed_time(w: Wave, e: TimePassed, now: int) -> Wave:
    if e.synced_ts > w.expires_ts or now > w.expires_ts + w.rules.expires_after_ms:
        return _ended(w, WaveState.EXPIRED, now)
    raise _Refused(WaveNoChange.NOT_YET)


def _scheduled_time(w: Wave, e: TimePassed, now: int) -> Wave:
    if w.due_ts is not None and now < w.due_ts:
        raise _Refused(WaveNoChange.NOT_YET)
    return replace(w, state=WaveState.RUNNING, due_ts=None, reported=True)


# --- the table -------------------------------------------------------------------------------------------------------
S = WaveState
Rule = Callable[[Wave, Any, int], Wave]
TRANSITIONS: dict[tuple[WaveState, type[Any]], Rule] = {
    (S.COLLECTING, Looked): _looked,
    (S.COLLECTING, Cancelled): _cancelled,
    (S.AWAITING_CONFIRMATION, Confirmed): _confirmed,
    (S.AWAITING_CONFIRMATION, Excluded): _excluded,
    (S.AWAITING_CONFIRMATION, Declined): _declined,
    (S.AWAITING_CONFIRMATION, Cancelled): _cancelled,
    (S.AWAITING_CONFIRMATION, TimePassed): _unconfirmed_time,
    (S.AWAITING_NUMBER, NumberTyped): _number_typed,
    (S.AWAITING_NUMBER, Excluded): _excluded,
    (S.AWAITING_NUMBER, Declined): _declined,
    (S.AWAITING_NUMBER, Cancelled): _cancelled,
    (S.AWAITING_NUMBER, TimePassed): _unconfirmed_time,
    (S.SCHEDULED, Excluded): _excluded,
    (S.SCHEDULED, Declined): _declined,
    (S.SCHEDULED, Cancelled): _cancelled,
    (S.SCHEDULED, TimePassed): _scheduled_time,
    (S.RUNNING, Begun): _begun,
    (S.RUNNING, Withdrawn): _withdrawn,
    (S.RUNNING, Declined): _declined,
    (S.RUNNING, Paused): _paused,
    (S.RUNNING, Cancelled): _cancelled,
    (S.RUNNING, Settled): _settled,
    (S.PAUSED, Resumed): _resumed,
    (S.PAUSED, Cancelled): _cancelled,
    (S.CANCELLING, Settled): _settled,
    (S.DONE, RetryAsked): _retry,
    (S.CANCELLED, RetryAsked): _retry,
}


def decide(wave: Wave, event: Event, now: int) -> WaveDecision:
    """What becomes of `wave` when `event` happens at `now`. With a `refusal` the wave is unchanged."""
    rule = TRANSITIONS.get((wave.state, type(event)))
    if rule is None:
        return WaveDecision(wave, refusal=wave.state)
    try:
        return WaveDecision(rule(wave, event, now))
    except _Refused as why:
        return WaveDecision(wave, refusal=why.why)


def wake_ts(w: Wave) -> int | None:
    """When the clock matters next to this wave, or None."""
    if w.state in ASKED:
        return w.expires_ts
    return w.due_ts if w.state is WaveState.SCHEDULED else None
