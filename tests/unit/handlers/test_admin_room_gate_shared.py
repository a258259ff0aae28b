"""Which messages a bot answers in a room that it shares with another server's bot: played on the model."""

from __future__ import annotations

from typing import Any

from removal.audit_action import AuditAction
from tests.support.simulated import BOT, MANY, PERSON, Life, simulated

OTHER = "@lethe:far.test"
"""The other server's bot."""
ANSWERS = {"shared_admin_room": {"other_bots": [OTHER], "answers_for_others": True}}
LEAVES_IT = {"shared_admin_room": {"other_bots": [OTHER]}}
WHICH_SERVER = "Please write the whole Matrix ID, with the server"
WHICH_BOT = "each has its own numbers"
UNKNOWN = "I know no request"
"""What this bot says of a number that it doesn't have."""


def reply(event_id: str) -> dict[str, Any]:
    return {"m.relates_to": {"m.in_reply_to": {"event_id": event_id}}}


def others_message(life: Life) -> str:
    """Something that the other bot said."""
    life.server.add(life.room, OTHER, "m.room.member", {"membership": "join"}, state_key=OTHER)
    return life.send(life.room, OTHER, "m.room.message", {"msgtype": "m.text", "body": "R1"}, sealed=False)


@simulated(**ANSWERS)
async def test_the_bot_answers_for_its_own_server(life: Life) -> None:
    """A short name or a bare number could be any bot's, so the one that answers for others asks, and nobody acts."""
    assert "I am @lethe:model.test" in (await life.say("!ping"))[0]
    assert WHICH_SERVER in (await life.say("!suspend @person"))[0]
    assert await life.say("!suspend @person:far.test") == []
    assert not life.server.local(PERSON).suspended
    await life.say("!suspend @person:model.test")
    assert life.server.local(PERSON).suspended
    (which,) = await life.say("!status R1")
    assert WHICH_BOT in which and f"such as {BOT}" in which
    assert UNKNOWN in (await life.say(f"{BOT} !status R1"))[0]
    assert await life.say(f"{OTHER} !status R1") == []
    assert "!deactivate" in (await life.say("!help"))[0]


@simulated(**LEAVES_IT)
async def test_where_another_bot_answers_for_others_this_one_is_silent(life: Life) -> None:
    """It says nothing of what could be any bot's, keeps nobody waiting by that, and answers what is its own."""
    assert await life.at_once("!suspend @person", "!status R1", "!help", times=MANY) == []
    assert "I am @lethe:model.test" in (await life.say("!ping"))[0]
    assert not [row for row in await life.audited() if row.action == AuditAction.COMMAND_REFUSED]


@simulated(**ANSWERS)
async def test_a_reply_names_the_bot_that_it_answers(life: Life) -> None:
    """Where the message begins with a bot's Matrix ID, that counts alone; a reply to nobody's message names none."""
    await life.say("!ping")
    ours, others = life.newest(), others_message(life)
    assert UNKNOWN in (await life.say("!status R1", **reply(ours)))[0]
    assert await life.say("!status R1", **reply(others)) == []
    assert await life.say(f"{OTHER} !status R1", **reply(ours)) == []
    assert UNKNOWN in (await life.say(f"{BOT} !status R1", **reply(others)))[0]
    assert WHICH_BOT in (await life.say("!status R1", **reply("$nothing")))[0]
    asked = len([path for _, path in life.asked if "/event/" in path])
    assert WHICH_BOT in (await life.say("!status R1"))[0]
    assert len([path for _, path in life.asked if "/event/" in path]) == asked == 3


@simulated(encrypted=True, confirmation={"method": "reply"}, **ANSWERS)
async def test_an_answer_goes_to_the_bot_whose_prompt_it_is(life: Life) -> None:
    """Numbers are each bot's own, so `yes R1` alone confirms nothing; in a reply to the prompt it does."""
    await life.say("!deactivate @person:model.test")
    card, others = life.newest(), others_message(life)
    assert WHICH_BOT in (await life.say("no R1"))[0]
    assert await life.say("no R1", **reply(others)) == []
    assert "cancelled by @mod:model.test" in (await life.say("no R1", **reply(card)))[-1]


@simulated(**ANSWERS)
async def test_another_bot_is_never_answered(life: Life) -> None:
    """Bots quote strangers' words: whatever one says is no command, and two bots don't answer each other."""
    others_message(life)
    for said in ("!ping", "!suspend @person:model.test", "!status R1"):
        assert await life.say(said, by=OTHER) == []
    assert not life.server.local(PERSON).suspended
    assert "I am @lethe:model.test" in (await life.say("!ping"))[0]
    assert not [row for row in await life.audited() if row.actor == OTHER]


@simulated(**ANSWERS)
async def test_what_another_bot_changes_in_the_room_is_seen(life: Life) -> None:
    """Its state events are the room's, whoever sent them."""
    others_message(life)
    (said,) = await life.answers(
        lambda: life.server.add(life.room, OTHER, "m.room.join_rules", {"join_rule": "public"}, state_key="")
    )
    assert "⚠️" in said
