"""What a person says to the bot in a direct message, and what is answered: played on the model of a homeserver."""

from __future__ import annotations

from typing import Any

from removal.audit_action import AuditAction
from removal.incoming import DeviceTrust
from simulation.model.state import Room
from tests.support.simulated import GUEST, MOD, PERSON, Life, simulated
from texts import Template, Texts

TEXTS = Texts("en", "!")
HINT = TEXTS.render(Template.OWN_HINT).body
HOW = TEXTS.render(Template.OWN_HOW).body
CLEAR_TEXT = TEXTS.render(Template.CLEAR_TEXT).body
EDITED = TEXTS.render(Template.EDITED).body
HELP = "I can remove your account from this server, and only yours."


class Talk:
    """A person in their direct message with the bot."""

    def __init__(self, life: Life, room: Room, person: str = PERSON) -> None:
        self.life, self.room, self.person = life, room, person

    async def say(self, body: str, **more: Any) -> list[str]:
        return await self.life.say(body, by=self.person, to=self.room, **more)

    async def react(self, key: str) -> list[str]:
        """To the bot's newest message."""
        return await self.life.react(key, by=self.person, to=self.life.newest(self.room), room=self.room)

    async def edit(self, body: str, *, of: str) -> list[str]:
        """Args: of: the event."""
        changed = {"m.new_content": {"msgtype": "m.text", "body": body}}
        return await self.say(f"* {body}", **changed, **{"m.relates_to": {"rel_type": "m.replace", "event_id": of}})


async def incidents(life: Life) -> int:
    """How much went wrong. The bot is stopped for it."""
    return sum(row.action == AuditAction.INCIDENT for row in await life.audited())


@simulated()
async def test_talk_is_answered_by_a_hint_now_and_then(life: Life) -> None:
    """Once in ten minutes what the bot is for; a wish to be removed each time how that is done."""
    talk = Talk(life, await life.direct())
    assert await talk.say("Hello!") == [HINT]
    assert await talk.say("Are you there?") == []
    assert await talk.say("Please delete my account.") == [HOW]
    assert await talk.say("Delete my account!") == [HOW]
    assert await talk.say("123456") == []  # no code is asked for here
    await life.pass_time(600)
    assert await talk.say("Hello?") == [HINT]
    assert await incidents(life) == 0


@simulated()
async def test_commands(life: Life) -> None:
    """One that the bot knows is carried out. One that it doesn't know is named, or taken for the wish that it is."""
    talk = Talk(life, await life.direct())
    (said,) = await talk.say("!help")
    assert said.startswith(HELP) and "!totp" not in said
    (said,) = await talk.say("lethe: !help")
    assert said.startswith(HELP)
    (said,) = await talk.say("!stauts")
    assert said.startswith("I don't know stauts. Did you mean !status?")
    assert await talk.say("!delete") == [HOW]
    (said,) = await talk.say("!deactivate --no-such-option")
    assert "--no-such-option" in said
    (said,) = await talk.say("!mydata")
    assert said.startswith("I send your data only in an encrypted conversation.")


@simulated()
async def test_a_wish_is_understood_in_the_persons_language(life: Life) -> None:
    """In the one that they chose, and so is the answer."""
    talk = Talk(life, await life.direct())
    assert await talk.say("Bitte lösche mein Konto") == [HINT]
    await talk.say("!language de")
    assert await talk.say("Bitte lösche mein Konto") == [TEXTS.speaking("de").render(Template.OWN_HOW).body]


@simulated()
async def test_reactions_and_the_typed_matrix_id_are_answers(life: Life) -> None:
    """✅ and then one's own Matrix ID confirm; ❌ stops it."""
    talk = Talk(life, await life.direct())
    (card,) = await talk.say("!deactivate --erase --keep-media")
    assert card.startswith("R1 · Remove @person:model.test?")
    *_, said = await talk.react("✅")
    assert said.startswith("Please type your full Matrix ID")
    *_, said = await talk.say("@person:elsewhere.test")
    assert "Matrix ID" in said
    *_, said = await talk.say(PERSON)
    assert said.startswith("R1: your account @person:model.test will be removed on")
    *_, said = await talk.react("❌")
    assert said == "R1: stopped. Your account stays."


@simulated()
async def test_what_is_no_message_of_the_person_is_left_alone(life: Life) -> None:
    """Notices, state, types that nobody knows; they cost nothing of what the person may say either."""
    talk = Talk(life, await life.direct())

    def flood() -> None:
        for _ in range(20):
            life.send(talk.room, PERSON, "org.example.message", {"msgtype": "m.text", "body": "!help"}, sealed=False)

    assert await talk.say("!help", msgtype="m.notice") == []
    assert await talk.say("hello", msgtype="m.emote") == []
    assert await life.answers(flood, talk.room) == []
    life.server.set_state(PERSON, talk.room.room_id, "m.room.topic", {"topic": "!help"})
    (said,) = await talk.say("!help")
    assert said.startswith(HELP)
    assert await incidents(life) == 0


@simulated()
async def test_an_edited_command_is_refused(life: Life) -> None:
    """With the reason; edited talk is left alone, and what comes after it is heard."""
    talk = Talk(life, await life.direct())
    await talk.say("!help")
    said = next(event for event in reversed(talk.room.timeline) if event.sender == PERSON)
    assert await talk.edit("!deactivate", of=said.event_id) == [EDITED]
    assert await talk.edit("What else?", of=said.event_id) == []
    (card,) = await talk.say("!deactivate --erase --keep-media")
    assert card.startswith("R1 · Remove")
    assert await incidents(life) == 0


@simulated()
async def test_clear_text_in_an_encrypted_conversation_is_refused(life: Life) -> None:
    """Anybody with access to the server could have written it. Sealed, the same is carried out."""
    talk = Talk(life, await life.direct(encrypted=True))
    assert await talk.say("!help", sealed=False) == [CLEAR_TEXT]
    (said,) = await talk.say("!help", sealed=True)
    assert said.startswith(HELP)


@simulated()
async def test_which_devices_are_heard(life: Life) -> None:
    """Those of the person, verified or not. All others are refused, encrypted conversation or not, and told why."""
    encrypted, clear = await life.direct(encrypted=True), await life.direct()
    trust = life.machine.known.trust
    for room in (encrypted, clear):
        talk = Talk(life, room)
        for heard in (DeviceTrust.SIGNED, DeviceTrust.UNSIGNED):
            trust[PERSON] = heard
            (said,) = await talk.say("!help", sealed=True)
            assert said.startswith(HELP), heard
        for refused, why in (
            (DeviceTrust.UNKNOWN, "The device that sent it is gone or unknown."),
            (DeviceTrust.MISMATCH, "The device that encrypted it isn't yours."),
        ):
            trust[PERSON] = refused
            (said,) = await talk.say("!help", sealed=True)
            assert said.startswith("I couldn't tell that this message comes from one of your") and why in said


@simulated()
async def test_a_person_gets_their_data_in_an_encrypted_conversation(life: Life) -> None:
    """Asked by command, confirmed by their Matrix ID typed; another text is answered, and sends nothing."""
    talk = Talk(life, await life.direct(encrypted=True))
    (said,) = await talk.say("!mydata")
    assert "Please type your full Matrix ID" in said
    (said,) = await talk.say("Why?")
    assert said.startswith("That isn't your Matrix ID")
    file, said = await talk.say(PERSON)
    assert file == "my-data.json" and said.startswith("Here is your data.")


@simulated(confirmation={"second_factor": "totp"})
async def test_a_moderators_codes(life: Life) -> None:
    """Where the settings ask for a second factor, six digits are a code, and help says how to set one up."""
    talk = Talk(life, await life.direct(by=MOD, encrypted=True), MOD)
    (said,) = await talk.say("!help")
    assert "!totp" in said
    (said,) = await talk.say("123 456")
    assert said.startswith("Here you need a second factor to confirm, and you have none yet.")
    (said,) = await talk.say("!totp")
    assert said.startswith("Add this to your authenticator app")
    assert await talk.say("Thank you!") == [HINT]
    guest = Talk(life, await life.direct(by=GUEST), GUEST)
    (said,) = await guest.say("123456")
    assert said.startswith("That needs an encrypted direct message.")


@simulated(confirmation={"second_factor": "totp"})
async def test_a_key_is_handed_over_to_nobody_but_who_asked(life: Life) -> None:
    """A moderator who asked for it and left at once gets none: whoever comes into that room next would read it."""
    room = await life.direct(by=MOD, encrypted=True)

    def ask_and_leave() -> None:
        life.send(room, MOD, "m.room.message", {"msgtype": "m.text", "body": "!totp"}, sealed=True)
        life.server.leave(MOD, room.room_id)

    assert await life.answers(ask_and_leave, room) == []
