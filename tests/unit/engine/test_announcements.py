"""Who hears what of a request."""

from __future__ import annotations

import pytest

from engine.announcements import STOP, YES_NO, To, messages
from removal.request import State
from tests.support.made_requests import LEAVER, NOW, moderation, own
from texts import Texts

CONFIRMED = own(confirmed_ts=NOW, confirmer_id=LEAVER)
TEXTS = Texts("en", "!")


@pytest.mark.parametrize("what", ["matrix_id_asked", "approval_asked", "scheduled", "reminder"])
def test_every_message_on_the_way_rings_and_carries_the_way_out(what: str) -> None:
    """A person's own removal: whatever is said before it begins mentions them, and ❌ stands under it."""
    (said,) = [each for each in messages(CONFIRMED, what) if each.to is To.ROOM]
    assert said.rings and said.reactions == STOP


def test_questions_are_answered_by_yes_and_no() -> None:
    """A question carries both reactions, in either room."""
    assert [said.reactions for said in messages(own(), "question")] == [YES_NO]
    in_admin_room = [said for said in messages(CONFIRMED, "approval_asked") if said.to is To.ADMIN_ROOM]
    assert [said.reactions for said in in_admin_room] == [YES_NO]


@pytest.mark.parametrize("what", ["departure", "failed", "cancelled", "refused", "expired", "target_changed"])
def test_what_ends_it_is_told_and_rings(what: str) -> None:
    """The person hears of every end, with a mention, and nothing is left to press."""
    (said,) = [each for each in messages(CONFIRMED, what) if each.to is To.ROOM]
    assert said.rings and said.reactions == ()


@pytest.mark.parametrize("what", ["done", "open", "blocked", "releasing"])
def test_what_comes_after_the_farewell_is_for_moderators_only(what: str) -> None:
    """Nobody reads the direct message any more; the receipt and everything that got stuck go to the admin room."""
    assert [said.to for said in messages(CONFIRMED, what)] == [To.ADMIN_ROOM]


def test_moderators_hear_of_a_persons_own_request_from_the_confirmation_on() -> None:
    """What somebody asked and thought better of is nobody's business; what they confirmed is shown, and its end too."""
    assert [said.to for said in messages(own(), "cancelled")] == [To.ROOM]
    assert [said.to for said in messages(CONFIRMED, "cancelled")] == [To.ROOM, To.ADMIN_ROOM]
    assert To.ADMIN_ROOM in {said.to for said in messages(CONFIRMED, "scheduled")}


def test_the_departure_notice_never_says_that_it_is_done() -> None:
    """It comes before anything is touched."""
    body = TEXTS.render("own_outcome", r=CONFIRMED, what="departure", changed=()).body
    assert "begins now" in body and CONFIRMED.reference in body
    assert not any(word in body.lower() for word in (" done", "was removed", "has been", "is deactivated"))


def test_only_what_matters_rings_in_the_admin_room() -> None:
    """A moderator is mentioned when a removal ended or needs somebody, and not for what they just did themselves."""
    rings = {what for what in ("done", "open", "blocked", "failed", "reminder", "scheduled", "cancelled", "expired")
             if messages(moderation(), what)[0].rings}  # fmt: skip
    assert rings == {"done", "open", "blocked", "failed", "reminder", "scheduled"}
    assert messages(moderation(state=State.REPLACED), "replaced") == ()
