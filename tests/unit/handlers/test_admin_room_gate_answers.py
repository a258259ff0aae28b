"""Answers to prompts in the admin room, by reaction, in writing and by code: played on the model of a homeserver."""

from __future__ import annotations

from removal.audit_action import AuditAction
from tests.support.simulated import BOT, FRIEND, GUEST, MANY, MOD, MOD2, PERSON, Life, simulated

IN_WRITING = {"encrypted": True, "confirmation": {"method": "reply"}}
"""A room in which prompts ask for an encrypted answer."""


def no_longer_encrypted(life: Life) -> None:
    """The homeserver shows the room as if it had never been encrypted."""
    del life.room.state["m.room.encryption", ""]


@simulated()
async def test_a_reaction_answers_a_prompt(life: Life) -> None:
    """Where it is plain, as every client sends it: what claims to be an encrypted one counts for nothing."""
    await life.say(f"!deactivate {PERSON}")
    card = life.newest()
    relation = {"rel_type": "m.annotation", "event_id": card, "key": "❌"}
    sealed = {"m.relates_to": relation}
    assert await life.answers(lambda: life.send(life.room, MOD, "m.reaction", sealed, sealed=True)) == []
    assert await life.react("❌", to=card, by=GUEST) == []
    assert "cancelled by @mod:model.test" in (await life.react("❌", to=card))[-1]


@simulated()
async def test_where_reactions_answer_what_is_written_does_not(life: Life) -> None:
    """`yes R1` is talk there, as everything that names no prompt."""
    await life.say(f"!deactivate {PERSON}")
    for said in ("yes R1", "no R1", "yes R7", "yes B7", "12"):
        assert await life.say(said) == []
    assert "cancelled by @mod:model.test" in (await life.react("❌", to=life.newest()))[-1]


@simulated(**IN_WRITING)
async def test_a_prompt_is_answered_in_writing(life: Life) -> None:
    """By a moderator; the answer says yes or no, and goes to the request that it names."""
    await life.say(f"!deactivate {PERSON}")
    await life.say(f"!deactivate {FRIEND}")
    assert await life.say("yes R9") == []
    assert "only moderators" in (await life.say("yes R2", by=GUEST))[0]
    assert "R2" in (await life.say("no R2", by=MOD2))[-1]
    await life.say("yes R1")
    await life.pass_time(30)
    assert life.server.local(PERSON).deactivated and not life.server.local(FRIEND).deactivated
    assert len(await life.at_once("no R2", times=MANY, sealed=True)) == MANY


@simulated(**IN_WRITING)
async def test_what_asks_for_an_encrypted_answer_never_takes_a_plain_one(life: Life) -> None:
    """Not even where the room doesn't seem to be encrypted any more; a plain command is taken there."""
    await life.say(f"!deactivate {PERSON}")
    await life.say(f"!deactivate {PERSON} {FRIEND}")
    await life.pass_time(10)
    no_longer_encrypted(life)
    for said in ("yes R1", "yes B1"):
        assert "your message wasn't, so anyone could have forged it" in (await life.say(said, sealed=False))[0]
    assert "I am @lethe:model.test" in (await life.say("!ping", sealed=False))[0]
    assert "cancelled by @mod:model.test" in (await life.say("no R1", sealed=True))[-1]


@simulated(bulk={"type_number_above": 1})
async def test_the_number_of_accounts_is_typed(life: Life) -> None:
    """By whoever confirmed the wave; in a plain room it is a plain message."""
    await life.say(f"!deactivate {PERSON} {FRIEND}")
    await life.pass_time(10)
    card = next(e for e in reversed(life.room.timeline) if "Deactivate 2 accounts?" in e.content.get("body", ""))
    await life.react("✅", to=card.event_id)
    assert await life.say("2", by=MOD2) == []
    assert await life.say("two") == []
    assert any("in progress" in said for said in await life.say("2"))
    assert len(await life.at_once("B1 2", times=MANY)) == MANY


@simulated(confirmation={"second_factor": "totp"})
async def test_a_code_in_the_room_is_used_up(life: Life) -> None:
    """Each moderator who types one there reads that; of others it is talk."""
    said = await life.at_once("123 456", times=MANY)
    assert len(said) == MANY and all("others could read this one" in each for each in said)
    assert await life.say("123 456", by=GUEST) == []
    assert "I am @lethe:model.test" in (await life.say("!ping"))[0]
    rows = [row for row in await life.audited() if row.action == AuditAction.CODE_REFUSED]
    assert [(row.actor, row.public["because"]) for row in rows] == [(MOD, "in_room")] * MANY


@simulated(policy_rooms=["#list:model.test"])
async def test_a_reaction_under_a_card_is_the_command_that_it_stands_for(life: Life) -> None:
    """🔇 suspends the account that a watched list names."""
    policies = life.server.create_room(MOD)
    life.server.aliases["#list:model.test"] = policies.room_id
    life.server.invite(MOD, policies.room_id, BOT)
    await life.pass_time(700)
    rule = {"entity": PERSON, "recommendation": "m.ban", "reason": "spam"}
    (card,) = await life.answers(lambda: life.server.add(policies, MOD, "m.policy.rule.user", rule, state_key="1"))
    assert f"It names {PERSON}" in card
    (said, _) = await life.react("🔇", to=life.newest())
    assert "suspended" in said and life.server.local(PERSON).suspended
