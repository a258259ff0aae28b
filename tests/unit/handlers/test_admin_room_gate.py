"""Who is heard in the admin room, and what the others read: played on the model of a homeserver."""

from __future__ import annotations

from typing import Any

import pytest

from removal.audit_action import AuditAction
from removal.incoming import DeviceTrust
from tests.support.simulated import BOT, ENCRYPTION, FAR, FRIEND, GUEST, MANY, MOD, MOD2, PERSON, Life, simulated

HERE = "I am @lethe:model.test"
"""What `!ping` is answered."""


async def refused(life: Life) -> list[tuple[str | None, Any, Any]]:
    """What the audit has of refused commands: who, why, and what more is said of it."""
    rows = [row for row in await life.audited() if row.action == AuditAction.COMMAND_REFUSED]
    return [(row.actor, row.public["because"], row.public["detail"]) for row in rows]


@simulated()
async def test_somebody_who_is_no_moderator_is_refused(life: Life) -> None:
    """They read why, and the audit has their attempt."""
    (said,) = await life.say("!requests", by=GUEST)
    assert "only moderators" in said
    assert await refused(life) == [(GUEST, "not_moderator", "")]


@simulated()
async def test_an_account_of_another_server_is_refused_whatever_its_power(life: Life) -> None:
    """It reads of which server moderators have to be."""
    (said,) = await life.say("!requests", by=FAR)
    assert "only take commands from accounts on model.test" in said
    assert await refused(life) == [(FAR, "not_local", "")]


@simulated(moderators={"allow_remote": True})
async def test_where_the_settings_say_so_a_moderator_may_be_of_another_server(life: Life) -> None:
    """Their commands are carried out; somebody of this server still needs the power."""
    assert HERE in (await life.say("!ping", by=FAR))[0]
    assert "only moderators" in (await life.say("!ping", by=GUEST))[0]


@simulated()
async def test_somebody_who_is_no_moderator_gets_five_answers_in_ten_minutes(life: Life) -> None:
    """Further messages of theirs are ignored; others are answered, and so are they ten minutes later."""
    said = await life.at_once("!ping", times=5 + MANY, by=GUEST)
    assert len(said) == 5
    assert len(await life.say("!ping", by=FAR)) == 1
    await life.pass_time(500)
    assert await life.say("!ping", by=GUEST) == []
    await life.pass_time(100)
    assert len(await life.say("!ping", by=GUEST)) == 1
    assert len(await refused(life)) == 7


@simulated()
async def test_moderators_always_read_why_they_are_refused(life: Life) -> None:
    """An edit commands nothing, however often one is sent; nobody waits for it."""
    edit: dict[str, Any] = {"m.new_content": {"msgtype": "m.text", "body": "!deactivate @person:model.test"}}
    edit |= {"m.relates_to": {"rel_type": "m.replace", "event_id": "$before"}}
    said = await life.at_once("* !deactivate @person:model.test", times=MANY, **edit)
    assert said == ["I don't act on edited messages. Please send the command as a new message."] * MANY
    assert await refused(life) == [(MOD, "edited", "")] * MANY


@simulated(encrypted=True)
async def test_in_an_encrypted_room_only_what_is_encrypted_counts(life: Life) -> None:
    """And only where it comes from a device of the moderator's own, verified or not."""
    assert "your message wasn't, so anyone could have forged it" in (await life.say("!ping", sealed=False))[0]
    assert HERE in (await life.say("!ping"))[0]
    trust = life.machine.known.trust
    for known, answer in (
        (DeviceTrust.UNSIGNED, HERE),
        (DeviceTrust.UNKNOWN, "The device that sent it is gone or unknown"),
        (DeviceTrust.MISMATCH, "The device that encrypted it isn't yours"),
    ):
        trust[MOD] = known
        assert answer in (await life.say("!ping"))[0]
    assert await refused(life) == [(MOD, "clear_text", ""), *[(MOD, "untrusted_device", "")] * 2]


@simulated(encrypted=True, require_cross_signed_moderators=True)
async def test_where_moderators_have_to_be_verified_the_device_and_the_identity_count(life: Life) -> None:
    """A device that isn't signed is refused, and so is an identity that was reset; another moderator may accept it."""
    assert HERE in (await life.say("!ping"))[0]
    life.machine.known.trust[MOD] = DeviceTrust.UNSIGNED
    assert "You haven't verified this device" in (await life.say("!ping"))[0]
    del life.machine.known.trust[MOD]
    life.machine.known.identities[MOD] = "another"
    told, why = await life.say("!ping")
    assert "The identity of @mod:model.test was reset" in told
    assert "I can't tell if it's still you" in why and "!accept @mod:model.test" in why
    assert "Accepted" in (await life.say("!accept @mod:model.test", by=MOD2))[0]
    assert HERE in (await life.say("!ping"))[0]
    assert await refused(life) == [(MOD, "untrusted_device", ""), (MOD, "identity", "refused")]


@simulated(require_cross_signed_moderators=True)
async def test_where_moderators_have_to_be_verified_a_plain_room_is_of_no_use(life: Life) -> None:
    """Nobody can tell there which device something came from."""
    (said,) = await life.say("!ping")
    assert "This room isn't encrypted, so I can't tell which device sent that" in said
    assert await refused(life) == [(MOD, "identity", "plain")]


@simulated(roles={"helpdesk": {"commands": ["ping"], "users": [MOD2, GUEST]}})
async def test_a_role_has_its_commands_and_no_others(life: Life) -> None:
    """What it hasn't is refused with the command's name; a word that is no command is answered as to everybody."""
    assert HERE in (await life.say("!ping", by=GUEST))[0]
    assert "Your role here doesn't include !requests" in (await life.say("!requests", by=MOD2))[0]
    assert "I don't know pong" in (await life.say("!pong", by=MOD2))[0]
    (shown,) = await life.say("!help", by=MOD2)
    assert "!ping" in shown and "!deactivate" not in shown
    assert "no open request" in (await life.say("!requests"))[0].lower()
    assert await refused(life) == [(MOD2, "not_yours", "requests")]


@simulated()
async def test_many_commands_at_once_are_all_answered(life: Life) -> None:
    """None waits for another."""
    said = await life.at_once("!ping", times=MANY)
    assert len(said) == MANY and all(HERE in each for each in said)


@simulated()
async def test_a_list_under_the_command_names_accounts(life: Life) -> None:
    """All of the message is read, not its first line alone."""
    said = await life.say(f"!deactivate\n{PERSON}\n{FRIEND}")
    assert any("Deactivate 2 accounts?" in each for each in said)


@simulated()
async def test_talk_is_not_for_the_bot(life: Life) -> None:
    """Nobody who only talks is answered or refused, and what was said before is no hindrance to a command."""
    for by in (MOD, GUEST, FAR):
        assert await life.say("Did you see @person:model.test?", by=by) == []
    assert await life.say("!ping", msgtype="m.notice") == []
    assert await life.say("waves", msgtype="m.emote", by=GUEST) == []
    sticker = {"body": "!ping", "url": "mxc://model.test/1", "info": {}}
    assert await life.answers(lambda: life.send(life.room, MOD, "m.sticker", sticker, sealed=False)) == []
    assert await life.answers(lambda: life.send(life.room, MOD, "m.sticker", sticker, sealed=True)) == []
    assert HERE in (await life.say("!ping"))[0]
    assert await refused(life) == []


@simulated()
async def test_only_state_that_matters_is_a_reason_to_look_at_the_room(life: Life) -> None:
    """Whatever lets people in or gives power is looked at once, the bot's own coming for an upgrade too; no other."""

    async def looks(event_type: str, content: dict[str, Any], state_key: str = "") -> int:
        """How often the bot reads the room after a state event."""
        before = len(life.asked)
        life.server.add(life.room, MOD, event_type, content, state_key=state_key)
        await life.pass_time(10)
        path = f"/_matrix/client/v3/rooms/%21{life.room.room_id[1:].replace(':', '%3A')}/state"
        return life.asked[before:].count(("GET", path))

    member = {"membership": "join", "displayname": "new"}
    assert await looks("m.room.name", {"name": "Moderators"}) == 0
    assert await looks("m.room.member", member, GUEST) == 0
    assert await looks("org.example.note", {}, BOT) == 0
    assert await looks("m.room.guest_access", {"guest_access": "forbidden"}) == 1
    assert await looks("m.room.tombstone", {"replacement_room": life.room.room_id}) == 1
    assert await looks("m.room.member", member, BOT) == 2
    assert HERE in (await life.say("!ping"))[0]


@simulated()
async def test_a_room_that_was_opened_to_everybody_is_an_alarm(life: Life) -> None:
    """It is said at once, and whoever came in that way is no moderator by it."""
    (said,) = await life.answers(
        lambda: life.server.set_state(MOD, life.room.room_id, "m.room.join_rules", {"join_rule": "public"})
    )
    assert "⚠️" in said
    life.server.join(PERSON, life.room.room_id)
    assert "only moderators" in (await life.say("!ping", by=PERSON))[0]


@simulated()
async def test_the_bot_follows_an_upgrade_of_the_room(life: Life) -> None:
    """Once both rooms say so and a moderator has invited it: what is said in the old room is heard no more."""
    old = life.room
    new = life.server.create_room(MOD, invite=[BOT], power_levels={"users": {MOD: 100, BOT: 50}})
    new.state["m.room.create", ""].content["predecessor"] = {"room_id": old.room_id}
    await life.pass_time(30)
    said = await life.answers(
        lambda: life.server.set_state(MOD, old.room_id, "m.room.tombstone", {"replacement_room": new.room_id})
    )
    assert "I now take commands in" in said[-1]
    assert await life.say("!ping") == []
    assert HERE in (await life.say("!ping", to=new))[0]


@pytest.mark.parametrize("encrypted_later", [False, True])
@simulated()
async def test_the_room_is_read_anew_for_each_command(life: Life, encrypted_later: bool) -> None:
    """Who has lost the power is refused at once; encryption that was turned on counts at once."""
    assert HERE in (await life.say("!ping", by=MOD2))[0]
    if encrypted_later:
        life.server.set_state(MOD, life.room.room_id, "m.room.encryption", ENCRYPTION["content"])
    else:
        life.server.set_state(MOD, life.room.room_id, "m.room.power_levels", {"users": {MOD: 100, BOT: 50}})
    await life.pass_time(10)
    (said,) = await life.say("!ping", by=MOD2, sealed=False)
    assert ("your message wasn't" if encrypted_later else "only moderators") in said
