"""Who hears what of a request: for each notice of a decision, the messages that follow. texts/ has the sentences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from removal.lifecycle import Notice
from removal.plan import Kind
from removal.request import Request
from texts import Template


class To(StrEnum):
    """Where a message goes."""

    ROOM = "room"  # where the request was made: the admin room, or the person's direct message
    ADMIN_ROOM = "admin_room"


@dataclass(frozen=True, slots=True)
class Said:
    """One message. `rings`: sent as `m.text` with a mention of the requester; all others are notices, which don't."""

    to: To
    template: Template
    what: Notice
    reactions: tuple[str, ...] = ()
    rings: bool = False


YES_NO = ("✅", "❌")
STOP = ("❌",)
_RINGS = frozenset(
    {Notice.DONE, Notice.CLOSED, Notice.OPEN, Notice.BLOCKED, Notice.FAILED, Notice.REMINDER, Notice.SCHEDULED}
)
# A person's own removal: what is said in the direct message, with which reactions under it, …
_TO_PERSON: dict[Notice, tuple[str, ...]] = {
    Notice.QUESTION: YES_NO,
    Notice.MATRIX_ID_ASKED: STOP,
    Notice.LOG_IN_ASKED: STOP,
    Notice.APPROVAL_ASKED: STOP,
    Notice.SCHEDULED: STOP,
    Notice.REMINDER: STOP,
    Notice.DEPARTURE: (),
    Notice.FAILED: (),
    Notice.EXPIRED: (),
    Notice.CANCELLED: (),
    Notice.REFUSED: (),
    Notice.TARGET_CHANGED: (),
}
# … and what is said to the moderators.
_TO_MODERATORS: dict[Notice, tuple[Template, Notice, tuple[str, ...]]] = {
    Notice.APPROVAL_ASKED: (Template.APPROVAL, Notice.APPROVAL_ASKED, YES_NO),
    Notice.APPROVAL_REMINDER: (Template.APPROVAL, Notice.APPROVAL_REMINDER, YES_NO),
    Notice.SCHEDULED: (Template.OWN_NOTICE, Notice.SCHEDULED, ()),
    Notice.DONE: (Template.OUTCOME, Notice.DONE, ()),
    Notice.CLOSED: (Template.CLOSED, Notice.CLOSED, ()),
    Notice.OPEN: (Template.OUTCOME, Notice.OPEN, ()),
    Notice.BLOCKED: (Template.OUTCOME, Notice.BLOCKED, ()),
    Notice.FAILED: (Template.OUTCOME, Notice.FAILED, ()),
    Notice.RELEASING: (Template.OUTCOME, Notice.RELEASING, ()),
}


def messages(request: Request, what: Notice) -> tuple[Said, ...]:
    """The messages that follow from one notice of a decision."""
    if request.kind is Kind.MODERATION:
        # That a newer request took its place stands in the card: nobody needs to be told twice.
        template = Template.CLOSED if what is Notice.CLOSED else Template.OUTCOME
        return () if what is Notice.REPLACED else (Said(To.ROOM, template, what, rings=what in _RINGS),)
    said: list[Said] = []
    if what in _TO_PERSON:
        said.append(Said(To.ROOM, Template.OWN_OUTCOME, what, _TO_PERSON[what], rings=True))
    if what in _TO_MODERATORS:
        template, word, reactions = _TO_MODERATORS[what]
        reactions = () if request.rules.by_reply else reactions  # they wouldn't count
        said.append(Said(To.ADMIN_ROOM, template, word, reactions))
    if what is Notice.CANCELLED and request.confirmed_ts is not None:
        said.append(Said(To.ADMIN_ROOM, Template.OWN_NOTICE, what))
    return tuple(said)
