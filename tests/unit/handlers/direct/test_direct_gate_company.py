"""Who else is in a direct message, and who has left it: played on the model of a homeserver."""

from __future__ import annotations

from typing import Any

import pytest

from removal.audit_action import AuditAction
from simulation.model.state import Room
from tests.support.simulated import BOT, FRIEND, MOD, PERSON, Life, simulated, text_of

STOPPED = "Someone else is here, or invited."


async def scheduled(life: Life, room: Room) -> None:
    """The person confirms the removal of their account, which waits for its date then."""
    await life.say("!deactivate --erase --keep-media", by=PERSON, to=room)
    await life.react("✅", by=PERSON, to=life.newest(room), room=room)
    *_, said = await life.say(PERSON, by=PERSON, to=room)
    assert "R1: your account @person:model.test will be removed on" in said


def becomes(life: Life, room: Room, who: str, membership: str, *, by: str = PERSON, **more: Any) -> None:
    """Somebody's membership changes, whoever may do that."""
    life.server.add(room, by, "m.room.member", {"membership": membership, **more}, state_key=who)


def last_message(room: Room) -> dict[str, Any]:
    return [event for event in room.timeline if event.sender == BOT and event.type == "m.room.message"][-1].content


async def actions(life: Life) -> list[str]:
    """What the audit has. The bot is stopped for it."""
    return [row.action for row in await life.audited()]


@simulated()
async def test_a_third_person_ends_the_conversation(life: Life) -> None:
    """Invited, joined or knocking: the bot says why, which rings for the person, and leaves for good."""
    for membership in ("invite", "join", "knock"):
        room = await life.direct()
        (said,) = await life.answers(lambda: becomes(life, room, FRIEND, membership), room)  # noqa: B023 - done at once
        assert said.startswith(STOPPED)
        assert last_message(room)["m.mentions"] == {"user_ids": [PERSON]}
        assert room.membership(BOT) == "leave" and BOT in room.forgotten
    stopped = [row for row in await life.audited() if row.action == AuditAction.CONVERSATION_STOPPED]
    assert [(row.actor, row.target) for row in stopped] == [(PERSON, PERSON)] * 3


@simulated()
async def test_who_let_a_third_person_in_stands_in_the_audit(life: Life) -> None:
    """Whose conversation it was, and who did it, also where it was the third person."""
    room = await life.direct()
    await life.answers(lambda: becomes(life, room, FRIEND, "join", by=FRIEND), room)
    *_, row = await life.audited()
    assert (row.action, row.actor, row.target) == (AuditAction.CONVERSATION_STOPPED, FRIEND, PERSON)


@simulated()
async def test_a_third_person_stops_what_was_confirmed(life: Life) -> None:
    """The person hears of it where they are alone with the bot: by whom, and why. The moderators hear it too."""
    room = await life.direct()
    await scheduled(life, room)
    before = set(life.server.rooms)
    becomes(life, room, FRIEND, "invite")
    told = await life.answers(lambda: None)
    assert told == [
        "R1 · @person:model.test: the removal of their own account was cancelled by @lethe:model.test. "
        "Reason: Someone else was in the conversation, or invited to it."
    ]
    (new,) = set(life.server.rooms) - before
    assert text_of(life.server.rooms[new].timeline[-1]) == (
        "R1: stopped by @lethe:model.test. Your account stays. "
        "Reason: Someone else was in the conversation, or invited to it."
    )


@simulated()
async def test_a_third_person_seen_before_it_was_heard_of(life: Life) -> None:
    """Who is there is asked anew for each message: nothing is answered in front of somebody else."""
    room = await life.direct()
    await scheduled(life, room)

    def said_and_invited() -> None:
        life.send(room, PERSON, "m.room.message", {"msgtype": "m.text", "body": "!status"}, sealed=False)
        becomes(life, room, FRIEND, "invite")

    (said,) = await life.answers(said_and_invited, room)
    assert said.startswith(STOPPED)
    assert last_message(room)["m.mentions"] == {"user_ids": [PERSON]}
    rows = await life.audited()
    stopped = [(row.action, row.target) for row in rows if row.ts > rows[-1].ts - 1_000]
    assert (AuditAction.CANCELLED, PERSON) in stopped and (AuditAction.CONVERSATION_STOPPED, PERSON) in stopped


@simulated()
async def test_only_what_was_asked_in_that_conversation_stops(life: Life) -> None:
    """A request that the person goes on with elsewhere stays."""
    old = await life.direct()
    await scheduled(life, old)
    await life.direct()  # the request follows the person
    (said,) = await life.answers(lambda: becomes(life, old, FRIEND, "invite"), old)
    assert said.startswith(STOPPED)
    assert AuditAction.CANCELLED not in await actions(life)


@simulated()
async def test_what_moderators_asked_for_goes_on(life: Life) -> None:
    """A third person in the direct message of somebody whose account moderators are about to remove."""
    room = await life.direct()
    await life.say(f"!deactivate {PERSON}")
    (said,) = await life.answers(lambda: becomes(life, room, FRIEND, "invite"), room)
    assert said.startswith(STOPPED)
    assert AuditAction.CANCELLED not in await actions(life)


@simulated()
async def test_a_conversation_goes_on_with_who_was_there(life: Life) -> None:
    """Somebody else's leaving, and new names and pictures, change nothing."""
    room = await life.direct()
    for who, membership in ((FRIEND, "leave"), (FRIEND, "ban"), (PERSON, "join"), (BOT, "join")):
        becomes(life, room, who, membership, displayname="Somebody")
    (said,) = await life.say("!help", by=PERSON, to=room)
    assert "!deactivate" in said
    assert AuditAction.CONVERSATION_STOPPED not in await actions(life)


@pytest.mark.parametrize("membership", ["leave", "ban"])
@simulated()
async def test_the_person_leaves(life: Life, membership: str) -> None:
    """Then the bot leaves too, without a word. What was confirmed goes on."""
    room = await life.direct()
    await scheduled(life, room)
    assert await life.answers(lambda: becomes(life, room, PERSON, membership, by=MOD), room) == []
    assert room.membership(BOT) == "leave" and BOT in room.forgotten
    happened = await actions(life)
    assert AuditAction.CONVERSATION_STOPPED not in happened and AuditAction.CANCELLED not in happened


@simulated()
async def test_a_last_word_before_leaving(life: Life) -> None:
    """It is heard as it was meant, and nobody else is taken to have been there."""
    room = await life.direct()
    await scheduled(life, room)

    def said_and_left(body: str, room: Room) -> None:
        life.send(room, PERSON, "m.room.message", {"msgtype": "m.text", "body": body}, sealed=False)
        life.server.leave(PERSON, room.room_id)

    assert not any(STOPPED in said for said in await life.answers(lambda: said_and_left("Thank you!", room), room))
    room = await life.direct()
    assert last_message(room)["body"].startswith("R1 · Removal of your account @person:model.test · scheduled")
    (told,) = await life.answers(lambda: said_and_left("!cancel", room))
    assert told == "R1 · @person:model.test: the removal of their own account was cancelled by @person:model.test."
