"""Threads with a real homeserver: what is asked in one is answered there, encrypted or not."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.client import Person
from sandbox.timeline import Seen
from tests.support.admin_room import OPENED
from tests.support.direct_room import SCHEDULED, SHOWN, TYPE_IT, MakeScene, Talk


def thread(root: str) -> dict[str, Any]:
    """What a client puts into a message in a thread."""
    relation = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True, "m.in_reply_to": {"event_id": root}}
    return {"m.relates_to": relation}


def root_of(event: Seen) -> str | None:
    """The thread where an event stands."""
    relation = event.content.get("m.relates_to") or {}
    return relation.get("event_id") if relation.get("rel_type") == "m.thread" else None


async def asked(person: Person, room: str, body: str, root: str) -> Seen:
    """Says something in a thread; returns the answer."""
    return await person.reply_to(await person.say(room, body, **thread(root)))


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_a_removal_in_a_thread_stays_there(scene: MakeScene, encrypted: bool) -> None:
    """Answer, prompt and receipt; the homeserver lists them as that thread's, and edits carry no thread."""
    stage = await scene(encrypted=encrypted)
    moderator, target = stage.moderator, await stage.account("spammer")
    root = await moderator.say(stage.room, "what about this one?")
    assert root_of(await asked(moderator, stage.room, "!help", root)) == root
    assert root_of(await asked(moderator, stage.room, "!deactivate", root)) == root
    prompt = await asked(moderator, stage.room, f"!deactivate {target}", root)
    assert OPENED in prompt.body and root_of(prompt) == root
    await moderator.reacted(prompt.event_id, "✅", by=stage.bot_id)
    await moderator.react(stage.room, prompt.event_id, "✔")
    hint = await moderator.wait_for(lambda e: (e.sender == stage.bot_id and "Only ✅" in e.body) or "only ✅" in e.body)
    assert root_of(hint) == root
    await moderator.react(stage.room, prompt.event_id, "✅")
    receipt = await moderator.wait_for(lambda e: e.sender == stage.bot_id and "Read back" in e.body and not e.replaces)
    assert root_of(receipt) == root
    path = "/_matrix/client/v1/rooms/{}/relations/{}/m.thread"
    listed = await moderator.call("GET", path, stage.room, root, params={"limit": "50"})
    there = {event["event_id"] for event in listed["chunk"]}
    assert {prompt.event_id, receipt.event_id, hint.event_id} <= there
    edits = [event for event in moderator.timeline.events if event.replaces == prompt.event_id]
    assert edits and all("m.relates_to" not in edit.content["m.new_content"] for edit in edits)


async def test_a_thread_that_is_not_there_loses_no_answer(scene: MakeScene) -> None:
    """A relation hidden in the ciphertext, which the homeserver never saw, names a root that doesn't exist: the answer
    is said outside."""
    stage = await scene()
    moderator = stage.moderator
    assert moderator._encryption is not None
    members = await moderator.members(stage.room)
    content = {"msgtype": "m.text", "body": "!help", **thread("$nowhere")}
    sealed = await moderator._encryption.encrypt(stage.room, members, "m.room.message", content)
    del sealed["m.relates_to"]
    event_id = await moderator.send_clear(stage.room, "m.room.encrypted", sealed)
    said = await moderator.reply_to(event_id)
    assert root_of(said) is None and "!deactivate" in said.body


async def test_a_persons_own_removal_in_a_thread(scene: MakeScene) -> None:
    """Questions stay in the thread. The date doesn't: a stolen session could ask in a thread that nobody looks at.
    `!cancel` outside of it is answered where it was said."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    root = await talk.say("hello")
    await talk.say("!deactivate --erase --keep-media", **thread(root))
    shown = await talk.hears(SHOWN)
    await talk.react(shown, "✅")
    question = await talk.hears(TYPE_IT)
    await talk.say(person.user_id, **thread(root))
    date = await talk.hears(SCHEDULED)
    assert root_of(shown) == root_of(question) == root
    assert root_of(date) is None
    assert root_of(await talk.ask("!cancel")) is None
    assert root_of(await talk.hears("stopped")) == root
