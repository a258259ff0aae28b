"""A removal request: an immutable value that is stored after each change. Times are milliseconds since 1970."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from removal.facts import Facts
from removal.ids import reference
from removal.plan import SPECS, Kind, Options, Proof, Step, proofs_for, steps_for


class State(StrEnum):
    """Where a request stands."""

    ASKING = "asking"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    AWAITING_MATRIX_ID = "awaiting_matrix_id"
    AWAITING_LOG_IN = "awaiting_log_in"
    AWAITING_APPROVAL = "awaiting_approval"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    RELEASING = "releasing"
    BLOCKED = "blocked"
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REFUSED = "refused"
    FAILED = "failed"
    CLOSED = "closed"
    """Ended by a person with points that the homeserver never confirmed. Never done."""


UNCONFIRMED = frozenset({State.ASKING, State.AWAITING_CONFIRMATION, State.AWAITING_MATRIX_ID, State.AWAITING_LOG_IN})
"""Nobody has decided yet: such a request expires."""
WAITING = frozenset({State.AWAITING_APPROVAL, State.SCHEDULED})
"""Decided, and nothing touched."""
ACTING = frozenset({State.RUNNING, State.RELEASING, State.BLOCKED})
"""The account is being worked on, or is half way through."""
ENDED = frozenset(
    {State.DONE, State.CANCELLED, State.EXPIRED, State.REPLACED, State.REFUSED, State.FAILED, State.CLOSED}
)
OPEN = frozenset(State) - ENDED


class ConfirmedBy(StrEnum):
    """Who may confirm a moderator's removal (setting `confirmation.confirmed_by`)."""

    ANY_MODERATOR = "any_moderator"
    REQUESTER = "requester"
    OTHER_MODERATOR = "other_moderator"


class ProvedBy(StrEnum):
    """How a person proves that the account is theirs (setting `self_service.proof`)."""

    CHAT = "chat"
    """By a session, which is where they write from, and what `needs_matrix_id` says."""
    LOGIN = "login"
    """By logging in on the page."""
    EITHER = "either"


class Question(StrEnum):
    """What a person is asked about their own removal."""

    ERASE = "erase"
    MEDIA = "media"


class Failure(StrEnum):
    """The kinds of failure of a step, and what follows from each."""

    PASSING = "passing"  # tried again, by itself
    NOT_YET = "not_yet"  # the homeserver answers, but it isn't as it should be: tried again for a bounded time
    NEEDS_PERSON = "needs_person"  # somebody has to fix something first
    IMPOSSIBLE = "impossible"  # nothing would help


class StepState(StrEnum):
    PENDING = "pending"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"


def _flat(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


_MAY_HAVE_ACTED = frozenset({StepState.STARTED, StepState.DONE})


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What became of one step. `answer` is what the homeserver said, without anything personal."""

    step: Step
    state: StepState = StepState.PENDING
    attempts: int = 0
    started_ts: int | None = None
    ended_ts: int | None = None
    unsure: bool = False
    """An attempt ended without the homeserver's word (a crash, a time-out, a 5xx): it may have acted all the same."""
    unsure_ts: int | None = None
    """When the last such attempt was begun or ended."""
    answer: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The promises made when the request was opened. Settings that change later don't change them."""

    confirmed_by: ConfirmedBy = ConfirmedBy.ANY_MODERATOR
    expires_after_ms: int = 600_000
    needs_other: bool = False
    """The requester is over the cap per hour, so somebody else has to confirm."""
    by_reply: bool = False
    """Confirmed by an encrypted answer instead of a reaction."""
    needs_matrix_id: bool = False
    proved_by: ProvedBy = ProvedBy.CHAT
    needs_approval: bool = False
    grace_ms: int = 0
    wait_for_reminder: bool = True
    """A person whose reminder comes late gets a day from then on."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole."""

    id: int
    kind: Kind
    requester_id: str
    target_id: str
    room_id: str
    command_event_id: str
    created_ts: int
    expires_ts: int
    _: KW_ONLY
    thread_root: str = ""
    """The event that began the thread where it was asked for; empty outside threads."""
    from_page: bool = False
    """Asked for on the page, so that there is no message to answer. `room_id` names no room until one is found."""
    state: State = State.AWAITING_CONFIRMATION
    options: Options = field(default_factory=Options)
    rules: Rules = field(default_factory=Rules)
    facts: Facts = field(default_factory=Facts)
    reason: str = ""
    questions: tuple[Question, ...] = ()
    """A person's own removal: what is still to be asked, in order."""
    at_ts: int | None = None
    """An absolute time asked for (`--at`, `--in`)."""
    confirmer_id: str | None = None
    confirmed_ts: int | None = None
    confirmation_event_id: str | None = None
    confirmer_trust: str = ""
    approver_id: str | None = None
    due_ts: int | None = None
    reminded_ts: int | None = None
    started_ts: int | None = None
    ended_ts: int | None = None
    steps: tuple[StepRecord, ...] = ()
    retry_ts: int | None = None
    """RUNNING or RELEASING: not before this time."""
    open_said: bool = False
    """People were told that something couldn't be confirmed yet."""
    ends_as: State | None = None
    """RELEASING: the state that follows."""
    ended_by: str | None = None
    ended_because: str = ""
    wave_id: int | None = None
    """The wave (removal.wave) that it belongs to: what is said of it is said there."""
    version: int = 0

    @property
    def reference(self) -> str:
        return reference(self.id)

    @property
    def began_final_step(self) -> bool:
        """Whether the point of no return is passed, or may be: from here on nothing can be taken back.

        An attempt that the homeserver refused outright did nothing, so it doesn't count.
        """
        return any(SPECS[r.step].final and (r.unsure or r.state in _MAY_HAVE_ACTED) for r in self.steps)

    @property
    def redacting(self) -> bool:
        """Whether a redaction was begun and hasn't ended."""
        record = self.record(Step.REDACT)
        return record is not None and record.state is StepState.STARTED

    @property
    def touched(self) -> bool:
        """Whether any step was begun that changes something; the snapshot only looks."""
        return any(r.state is not StepState.PENDING and r.step is not Step.SNAPSHOT for r in self.steps)

    @property
    def current_step(self) -> StepRecord | None:
        """The step that comes next, or failed: the first that isn't done, or lifting the suspension in RELEASING."""
        if self.state is State.RELEASING:
            return self.record(Step.RELEASE)
        return next((r for r in self.steps if r.state is not StepState.DONE), None)

    @property
    def plan(self) -> tuple[Step, ...]:
        """The steps, in order, that this removal consists of."""
        return tuple(r.step for r in self.steps) or steps_for(self.kind, self.options)

    @property
    def suspended(self) -> bool:
        """Whether the account is suspended by this request, or may be."""
        suspend, release = self.record(Step.SUSPEND), self.record(Step.RELEASE)
        begun = suspend is not None and suspend.state is not StepState.PENDING
        return begun and not (release is not None and release.state is StepState.DONE)

    @property
    def proofs(self) -> tuple[tuple[Proof, bool], ...]:
        """What the plan promises, and whether the homeserver confirmed it when it was last asked.

        What has ended shows what was promised then, whatever a newer version promises.
        """
        record = self.record(Step.VERIFY)
        read = record.answer.get("proofs", {}) if record else {}
        promised = [p for p in Proof if p.value in read] if read and self.state in ENDED else self.promised
        return tuple((proof, read.get(proof.value) is True) for proof in promised)

    @property
    def promised(self) -> tuple[Proof, ...]:
        """All that has to be read back before this removal is done."""
        return proofs_for(self.options, in_wave=self.wave_id is not None)

    @property
    def marks(self) -> tuple[str, ...]:
        """What admins had put on the account and is still there: `locked`, `shadow_banned`."""
        record = self.record(Step.VERIFY)
        return tuple(record.answer.get("marks", ())) if record else ()

    @property
    def left_over(self) -> tuple[tuple[str, str, str], ...]:
        """The rooms that the account couldn't leave when it was last looked at: id, name, and the version where the
        homeserver doesn't know that any more."""
        record = self.record(Step.VERIFY)
        found = record.answer.get("left_over", []) if record else []
        return tuple((str(room_id), str(name), str(version)) for room_id, name, version in found)

    @property
    def took_threepids(self) -> bool:
        """Whether the account had third-party ids at the beginning, and they were taken off, or may have been, at least
        some of them."""
        snapshot, taken = self.record(Step.SNAPSHOT), self.record(Step.THREEPIDS)
        had = bool(snapshot and snapshot.answer.get("threepids"))
        return had and taken is not None and taken.state is not StepState.PENDING

    def record(self, step: Step) -> StepRecord | None:
        """What became of `step`, or None where this plan doesn't have it."""
        return next((r for r in self.steps if r.step is step), None)

    def with_step(self, record: StepRecord) -> Request:
        """The same request, with one step's record replaced."""
        return replace(self, steps=tuple(record if r.step is record.step else r for r in self.steps))

    @property
    def suspended_before(self) -> bool:
        """Whether somebody else had suspended the account before: then it stays so where the removal is given up."""
        if self.wave_id is not None:
            return self.facts.suspended  # a wave suspends before it takes the snapshot
        snapshot = self.record(Step.SNAPSHOT)
        return bool(snapshot and snapshot.answer.get("suspended_before"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for storage."""
        # Not `asdict`, which copies every value: it would be most of what a wave costs.
        nested = {name: _flat(getattr(self, name)) for name in ("options", "rules", "facts")}
        return {**_flat(self), **nested, "steps": [_flat(record) for record in self.steps]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Request:
        """The request that `to_dict` was made of; keys that a newer version may have added are ignored."""
        known = {f.name for f in fields(cls)}
        d = {key: value for key, value in data.items() if key in known}
        d["kind"] = Kind(d["kind"])
        d["state"] = State(d["state"])
        d["ends_as"] = State(d["ends_as"]) if d.get("ends_as") else None
        d["options"] = Options.from_dict(d["options"])
        rules = {"proved_by": ProvedBy.CHAT, **d["rules"]}
        rules["confirmed_by"] = ConfirmedBy(rules["confirmed_by"])
        rules["proved_by"] = ProvedBy(rules["proved_by"])
        d["rules"] = Rules(**rules)
        f = dict(d["facts"])
        for name in ("threepids", "sso_providers"):
            f[name] = tuple(f[name])
        f["only_admin_in"] = None if f["only_admin_in"] is None else tuple(f["only_admin_in"])
        d["facts"] = Facts(**f)
        d["questions"] = tuple(map(Question, d["questions"]))
        d["steps"] = tuple(
            StepRecord(
                **{
                    **r,
                    "step": Step(r["step"]),
                    "state": StepState(r["state"]),
                    "failure": Failure(r["failure"]) if r["failure"] else None,
                }
            )
            for r in d["steps"]
        )
        return cls(**d)
