"""Who hears what of a request."""

from __future__ import annotations

import pytest

from engine.announcements import STOP, YES_NO, To, messages
from removal.lifecycle import Notice
from removal.request import State
from tests.support.made_requests import LEAVER, NOW, moderation, own
from texts import Template, Texts

CONFIRMED = own(confirmed_ts=NOW, confirmer_id=LEAVER)
TEXTS = Texts("en", "!")


@pytest.mark.parametrize("what", [Notice.MATRIX_ID_ASKED, Notice.APPROVAL_ASKED, Notice.SCHEDULED, Notice.REMINDER])
def test_every_message_on_the_way_rings_and_carries_the_way_out(what: Notice) -> None:
    """A person's own removal: whatever is said before it begins mentions them, and ❌ stands under it."""
    (said,) = [each for each in messages(CONFIRMED, what) if each.to is To.ROOM]
    assert said.rings and said.reactions == STOP


def test_questions_are_answered_by_yes_and_no() -> None:
    """A question carries both reactions, in either room."""
    assert [said.reactions for said in messages(own(), Notice.QUESTION)] == [YES_NO]
    in_admin_room = [said for said in messages(CONFIRMED, Notice.APPROVAL_ASKED) if said.to is To.ADMIN_ROOM]
    assert [said.reactions for said in in_admin_room] == [YES_NO]


@pytest.mark.parametrize(
    "what", [Notice.DEPARTURE, Notice.FAILED, Notice.CANCELLED, Notice.REFUSED, Notice.EXPIRED, Notice.TARGET_CHANGED]
)
def test_what_ends_it_is_told_and_rings(what: Notice) -> None:
    """The person hears of every end, with a mention, and nothing is left to press."""
    (said,) = [each for each in messages(CONFIRMED, what) if each.to is To.ROOM]
    assert said.rings and said.reactions == ()


@pytest.mark.parametrize("what", [Notice.DONE, Notice.OPEN, Notice.BLOCKED, Notice.RELEASING])
def test_what_comes_after_the_farewell_is_for_moderators_only(what: Notice) -> None:
    """Nobody reads the direct message any more; the receipt and everything that got stuck go to the admin room."""
    assert [said.to for said in messages(CONFIRMED, what)] == [To.ADMIN_ROOM]


def test_moderators_hear_of_a_persons_own_request_from_the_confirmation_on() -> None:
    """What somebody asked and thought better of is nobody's business; what they confirmed is shown, and its end too."""
    assert [said.to for said in messages(own(), Notice.CANCELLED)] == [To.ROOM]
    assert [said.to for said in messages(CONFIRMED, Notice.CANCELLED)] == [To.ROOM, To.ADMIN_ROOM]
    assert To.ADMIN_ROOM in {said.to for said in messages(CONFIRMED, Notice.SCHEDULED)}


def test_the_departure_notice_never_says_that_it_is_done() -> None:
    """It comes before anything is touched."""
    body = TEXTS.render(Template.OWN_OUTCOME, r=CONFIRMED, what="departure", changed=()).body
    assert "begins now" in body and CONFIRMED.reference in body
    assert not any(word in body.lower() for word in (" done", "was removed", "has been", "is deactivated"))


def test_only_what_matters_rings_in_the_admin_room() -> None:
    """A moderator is mentioned when a removal ended or needs somebody, and not for what they just did themselves."""
    rings = {what for what in Notice for said in messages(moderation(), what) if said.rings}
    assert rings == {"done", "closed", "open", "blocked", "failed", "reminder", "scheduled"}
    assert messages(moderation(state=State.REPLACED), Notice.REPLACED) == ()
