"""The steps of a removal: which there are, in which order, when each applies, and what it promises.

This is the one declaration. The prompt, `!status`, the runner, the receipt and docs/steps.md all follow it. Which
requests a step makes is the backend's business (`homeserver.accounts`); the order is explained in docs/design.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Who asks for a removal: a moderator, or the account's owner."""

    MODERATION = "moderation"
    OWN = "own"


class Media(StrEnum):
    """What becomes of the files an account uploaded."""

    KEEP = "keep"
    DELETE = "delete"
    QUARANTINE = "quarantine"


class Aim(StrEnum):
    """What is asked for: the account's removal, or one of the rungs below it that a person has to confirm."""

    REMOVE = "remove"
    REDACT = "redact"  # only its messages
    MEDIA = "media"  # only its files
    REACTIVATE = "reactivate"  # a removal taken back, as far as that goes


ALL_ROOMS = "*"
"""In a hand-over: every room where the account is the only admin."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for, and how."""

    erase: bool = False
    redact: bool = False
    media: Media = Media.KEEP
    forget_sso: bool = False
    handover: tuple[tuple[str, str], ...] = ()
    """Pairs (room_id or ALL_ROOMS, successor's Matrix ID)."""
    clear_marks: bool = False
    """Whether a lock and a shadow-ban are cleared at the end: as a suspension, they outlive a deactivation."""
    aim: Aim = Aim.REMOVE
    rooms: tuple[str, ...] = ()
    """Of a redaction: only in these rooms. None named: in all where it is or was."""
    since_ts: int | None = None
    """Of a redaction: only what was sent since, milliseconds since 1970."""

    @property
    def removes(self) -> bool:
        """Whether the account is removed by this."""
        return self.aim is Aim.REMOVE

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Options:
        """What the fields of one were stored as; what older versions didn't have is as it was without."""
        return cls(
            **{
                **data,
                "aim": Aim(data.get("aim", Aim.REMOVE)),
                "media": Media(data["media"]),
                "handover": tuple((room, to) for room, to in data["handover"]),
                "rooms": tuple(data.get("rooms", ())),
            }
        )


class Step(StrEnum):
    """The steps, in the order in which they're done."""

    SNAPSHOT = "snapshot"
    HANDOVER = "handover"
    SUSPEND = "suspend"
    THREEPIDS = "threepids"
    REDACT = "redact"
    DEACTIVATE = "deactivate"
    WAIT = "wait"
    MEDIA = "media"
    SSO = "sso"
    REACTIVATE = "reactivate"
    RELEASE = "release"
    VERIFY = "verify"


class Proof(StrEnum):
    """What is read back from the homeserver at the end. A removal is done when all that its plan promises hold."""

    DEACTIVATED = "deactivated"
    ERASED = "erased"
    NO_THREEPIDS = "no_threepids"
    NO_DEVICES = "no_devices"
    NO_PUSHERS = "no_pushers"
    NO_ROOMS = "no_rooms"
    NO_ACCOUNT_DATA = "no_account_data"
    NO_DISPLAYNAME = "no_displayname"
    NO_PROFILE = "no_profile"
    NO_MEDIA = "no_media"
    MEDIA_QUARANTINED = "media_quarantined"
    NO_SSO = "no_sso"
    REDACTED = "redacted"
    NOT_SUSPENDED = "not_suspended"
    NO_INVITES = "no_invites"
    NOT_IN_DIRECTORY = "not_in_directory"
    NOT_LOCKED = "not_locked"
    NOT_SHADOW_BANNED = "not_shadow_banned"
    ACTIVE = "active"


Applies = Callable[[Kind, Options], bool]


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One step: when it applies, and which option or setting chooses it. How it is done, the backend knows."""

    step: Step
    applies: Applies
    chosen_by: str
    final: bool = False
    """Once it has begun, nobody can take the removal back."""
    reads_back: bool = False
    """It ends by reading back what it promises. A homeserver of several processes shows that a little later."""


def _always(_kind: Kind, _options: Options) -> bool:
    return True


def _removes(_kind: Kind, options: Options) -> bool:
    return options.removes


STEPS: tuple[StepSpec, ...] = (
    StepSpec(Step.SNAPSHOT, _always, "always"),
    StepSpec(Step.HANDOVER, lambda _, o: bool(o.handover), "`--handover @user`, in a direct message `!handover`"),
    StepSpec(Step.SUSPEND, _removes, "in every removal", reads_back=True),
    StepSpec(Step.THREEPIDS, _removes, "in every removal"),
    StepSpec(Step.REDACT, lambda _, o: o.redact, "`--redact`; `!redact`"),
    StepSpec(Step.DEACTIVATE, _removes, "in every removal", final=True),
    StepSpec(Step.WAIT, _removes, "in every removal"),
    StepSpec(
        Step.MEDIA,
        lambda _, o: o.media is not Media.KEEP,
        "`--media` or `--quarantine`; `!media`; a person's own removal: `--media`, or a question",
    ),
    StepSpec(
        Step.SSO,
        lambda _, o: o.forget_sso,
        "`--forget-sso`; a person's own removal: the setting `self_service.remove_sso_links`",
    ),
    StepSpec(Step.REACTIVATE, lambda _, o: o.aim is Aim.REACTIVATE, "`!reactivate`"),
    StepSpec(Step.RELEASE, _removes, "in every removal", reads_back=True),
    StepSpec(Step.VERIFY, _always, "always", reads_back=True),
)
SPECS = {spec.step: spec for spec in STEPS}


def steps_for(kind: Kind, options: Options, *, in_wave: bool = False) -> tuple[Step, ...]:
    """The steps of this removal, in order.

    In a wave all accounts are suspended before anything else happens, so that the wave stops.

    A person's own account works as usual until the last moment: it is suspended, and its third-party ids are taken
    off, only right before it is deactivated.
    """
    chosen = [spec.step for spec in STEPS if spec.applies(kind, options)]
    if kind is Kind.OWN:
        late = [Step.SUSPEND, Step.THREEPIDS]
        chosen = [step for step in chosen if step not in late]
        at = chosen.index(Step.DEACTIVATE)
        chosen[at:at] = late
    if in_wave:
        chosen.remove(Step.SUSPEND)
        chosen.insert(0, Step.SUSPEND)
    return tuple(chosen)


def proofs_for(options: Options, *, in_wave: bool = False) -> tuple[Proof, ...]:
    """What this plan promises, and so all that has to be read back before anybody says "done".

    A wave doesn't search the user directory: each search there costs the homeserver more than all other proofs.
    """
    promised: list[Proof] = []
    if options.removes:
        promised += [
            Proof.DEACTIVATED,
            Proof.NO_THREEPIDS,
            Proof.NO_DEVICES,
            Proof.NO_PUSHERS,
            Proof.NO_ROOMS,
            Proof.NO_INVITES,
            Proof.NO_ACCOUNT_DATA,
        ]
    if options.erase:
        promised += [Proof.ERASED, Proof.NO_DISPLAYNAME, Proof.NO_PROFILE]
    if options.redact:
        promised.append(Proof.REDACTED)
    if options.media is Media.DELETE:
        promised.append(Proof.NO_MEDIA)
    if options.media is Media.QUARANTINE:
        promised.append(Proof.MEDIA_QUARANTINED)
    if options.forget_sso:
        promised.append(Proof.NO_SSO)
    if options.removes:
        promised.append(Proof.NOT_SUSPENDED)
    if options.clear_marks:
        promised += [Proof.NOT_LOCKED, Proof.NOT_SHADOW_BANNED]
    if options.removes and not in_wave:
        promised.append(Proof.NOT_IN_DIRECTORY)
    if options.aim is Aim.REACTIVATE:
        promised.append(Proof.ACTIVE)
    return tuple(promised)
