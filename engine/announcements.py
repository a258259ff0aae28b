"""Who hears what of a request: for each word of a decision, the messages that follow. texts/ has the sentences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from removal.plan import Kind
from removal.request import Request, State


class To(StrEnum):
    """Where a message goes."""

    ROOM = "room"  # where the request was made: the admin room, or the person's direct message
    ADMIN_ROOM = "admin_room"


@dataclass(frozen=True, slots=True)
class Said:
    """One message. `rings`: sent as `m.text` with a mention of the requester; all others are notices, which don't."""

    to: To
    template: str
    what: str
    reactions: tuple[str, ...] = ()
    rings: bool = False


YES_NO = ("✅", "❌")
STOP = ("❌",)
_RINGS = frozenset({"done", "open", "blocked", "failed", "reminder", "scheduled"})
# A person's own removal: what is said in the direct message, with which reactions under it, …
_TO_PERSON: dict[str, tuple[str, ...]] = {
    "question": YES_NO,
    "matrix_id_asked": STOP,
    "approval_asked": STOP,
    "scheduled": STOP,
    "reminder": STOP,
    "departure": (),
    "failed": (),
    "expired": (),
    "cancelled": (),
    "refused": (),
    "target_changed": (),
}
# … and what is said to the moderators.
_TO_MODERATORS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "approval_asked": ("approval", "approval_asked", YES_NO),
    "approval_reminder": ("approval", "approval_reminder", YES_NO),
    "scheduled": ("own_notice", "scheduled", ()),
    "done": ("outcome", "done", ()),
    "open": ("outcome", "open", ()),
    "blocked": ("outcome", "blocked", ()),
    "failed": ("outcome", "failed", ()),
    "releasing": ("outcome", "releasing", ()),
}


def messages(request: Request, what: str) -> tuple[Said, ...]:
    """The messages that follow from one word of a decision."""
    if request.kind is Kind.MODERATION:
        # That a newer request took its place stands in the card: nobody needs to be told twice.
        return () if what == "replaced" else (Said(To.ROOM, "outcome", what, rings=what in _RINGS),)
    said: list[Said] = []
    if what in _TO_PERSON:
        said.append(Said(To.ROOM, "own_outcome", what, _TO_PERSON[what], rings=True))
    if what in _TO_MODERATORS:
        template, word, reactions = _TO_MODERATORS[what]
        reactions = () if request.rules.by_reply else reactions  # they wouldn't count
        said.append(Said(To.ADMIN_ROOM, template, word, reactions))
    if what == State.CANCELLED.value and request.confirmed_ts is not None:
        said.append(Said(To.ADMIN_ROOM, "own_notice", what))
    return tuple(said)
