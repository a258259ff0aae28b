"""A person removes their own account: the whole conversation with the real bot, encrypted, on a real Synapse."""

from __future__ import annotations

from tests.synapse.direct import BEGINS, SHOWN, TYPE_IT, MakeScene, Talk


async def test_the_whole_conversation(scene: MakeScene) -> None:
    """Greeting, questions, the explanation, ✅, the Matrix ID typed, the departure notice, and the account is gone."""
    stage = await scene(self_service={"grace_period": "0s"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.say("!deactivate")
    question = await talk.hears("erased")
    assert question.encrypted
    await talk.react(question, "✅")
    shown = await talk.hears(SHOWN)
    await talk.react(shown, "✅")
    await talk.hears(TYPE_IT)
    await talk.say(person.user_id)
    await talk.hears(BEGINS)
    await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "Read back" in e.body)
