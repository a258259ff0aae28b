"""A removed account in rooms that another server shares: what arrives there, and what doesn't."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox.client import Person
from sandbox.scene import Scene
from tests.conftest import People
from tests.support.removals import begun

MakeScene = Callable[..., Awaitable[Scene]]


async def shared_room(host: Person, guest: Person) -> str:
    """A public room of one person, with the other one in it."""
    room = await host.create_room(name="Lounge", preset="public_chat", invite=[guest.user_id])
    await guest.invited_to(by=host.user_id)
    return await guest.join(room)


async def left(reader: Person, room: str, user_id: str) -> None:
    """Waits until somebody's client shows that the account has left."""
    await reader.wait_for(
        lambda e: (
            e.room_id == room
            and e.type == "m.room.member"
            and e.state_key == user_id
            and e.content.get("membership") == "leave"
        ),
        60.0,
        f"{user_id} leaving",
    )


async def content(reader: Person, room: str, event_id: str) -> dict[str, Any]:
    """What the reader's server shows of an event."""
    answered = await reader.call("GET", "/_matrix/client/v3/rooms/{}/event/{}", room, event_id)
    return dict(answered["content"])


@pytest.mark.parametrize("hosted", ["here", "there"])
async def test_leave_and_redaction_arrive_and_erasure_does_not(
    scene: MakeScene, strangers: People, hosted: str
) -> None:
    """The other server shows the account as gone from the room, and redacted messages as redacted; who joins later
    there still reads what was only erased here. The receipt says so."""
    stage = await scene()
    spammer, eraser = await stage.person("spammer"), await stage.person("eraser")
    neighbour, reader = await stage.person("neighbour"), await strangers("reader")
    said: dict[str, tuple[str, str]] = {}
    reader_server = reader.user_id.partition(":")[2]  # while this server still collects the room's state, it has to ask
    for victim in (spammer, eraser):
        room = await (shared_room(victim, reader) if hosted == "here" else shared_room(reader, victim))
        await neighbour.call("POST", "/_matrix/client/v3/join/{}", room, json={}, params={"via": reader_server})
        said[victim.user_id] = room, await victim.say(room, "buy my pills")
        await reader.event(said[victim.user_id][1])

    await (await begun(stage, f"!deactivate {spammer.user_id} --erase --redact")).done()
    erasing = await begun(stage, f"!deactivate {eraser.user_id} --erase")
    await erasing.done()
    receipt = await erasing.command("receipt")
    assert "Copies on other servers stay" in receipt and "other servers decide for themselves" in receipt

    for user_id, (room, _) in said.items():
        await left(reader, room, user_id)
    room, event_id = said[spammer.user_id]
    await reader.wait_for(lambda e: e.redacts == event_id, what="the redaction")
    assert await content(reader, room, event_id) == {}

    room, event_id = said[eraser.user_id]
    late_there, late_here = await strangers("newcomer"), await stage.person("newcomer")
    await late_there.join(room)
    assert (await content(late_there, room, event_id))["body"] == "buy my pills"
    await late_here.join(room)
    assert await content(late_here, room, event_id) == {}


async def test_the_last_one_here_whose_messages_were_redacted_stays_a_member_there(
    scene: MakeScene, strangers: People
) -> None:
    """What docs/design.md says of rooms where nobody else of this server is: Synapse's redactions hang on old events,
    the other server can't follow them any more, and refuses the leave. Where this fails, Synapse was mended: the page
    should say so."""
    stage = await scene()
    spammer, reader = await stage.person("spammer"), await strangers("reader")
    room = await shared_room(spammer, reader)
    event_id = await spammer.say(room, "buy my pills")
    await reader.event(event_id)
    await (await begun(stage, f"!deactivate {spammer.user_id} --redact")).done()
    await reader.wait_for(lambda e: e.redacts == event_id, what="the redaction")
    # Another removal from the same server, later: what arrives there after it would have arrived before it.
    second = await stage.person("spammer")
    other_room = await shared_room(second, reader)
    await (await begun(stage, f"!deactivate {second.user_id}")).done()
    await left(reader, other_room, second.user_id)
    member = await reader.state(room, "m.room.member", spammer.user_id)
    assert member is not None and member["membership"] == "join"
