"""People of another server who want something of the bot: they are declined, with the reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox.client import Person
from sandbox.scene import Scene
from tests.conftest import People
from tests.support.admin_room import answer, audited
from tests.support.direct_room import SHOWN, Talk, requests
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]
DECLINED = "I can't remove accounts on other servers"


async def declined(stage: Scene, person: Person, room: str) -> str:
    """Waits until the bot has declined an invitation; returns the reason that the person's client shows."""
    content: dict[str, Any] = {}

    async def left() -> bool:
        content.update(await person.state(room, "m.room.member", stage.bot_id) or {})
        return content.get("membership") == "leave"

    await settled(left)
    return str(content.get("reason", ""))


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_a_direct_message_from_another_server_is_declined(
    scene: MakeScene, strangers: People, encrypted: bool
) -> None:
    """The reason arrives there, nothing is asked or stored, and the audit has it."""
    stage = await scene()
    stranger = await strangers("stranger")
    room = await stranger.dm(stage.bot_id, encrypted=encrypted)
    assert DECLINED in await declined(stage, stranger, room)
    assert requests(stage) == []

    async def noted() -> bool:
        return ("InviteDeclined", stranger.user_id) in [
            ("InviteDeclined", actor) for actor, _, public in audited(stage, "InviteDeclined")
        ]

    await settled(noted)
    rooms = (await stage.admin("GET", f"v1/users/{stage.bot_id}/joined_rooms"))["joined_rooms"]
    assert rooms == [stage.room]


async def test_an_invitation_to_another_servers_room_is_declined(scene: MakeScene, strangers: People) -> None:
    """A room with more people, hosted elsewhere."""
    stage = await scene()
    stranger, second = await strangers("stranger"), await strangers("second")
    room = await stranger.create_room(name="Come in", preset="public_chat", invite=[second.user_id])
    await second.join(room)
    await stranger.invite(room, stage.bot_id)
    assert DECLINED in await declined(stage, stranger, room)


async def test_a_stranger_invited_to_a_persons_direct_message_stops_it(scene: MakeScene, strangers: People) -> None:
    """Somebody of another server is let in before the person confirms: the bot leaves, and nothing happens."""
    stage = await scene(self_service={"grace_period": "0s"})
    person, stranger = await stage.person("leaver"), await strangers("stranger")
    talk = await Talk.begin(stage, person)
    await talk.shown()
    await person.invite(talk.room, stranger.user_id)
    await person.wait_for(
        lambda e: (
            e.room_id == talk.room
            and e.type == "m.room.member"
            and e.state_key == stage.bot_id
            and e.content.get("membership") == "leave"
        ),
        what="the bot leaving",
    )
    assert [request["state"] for request in requests(stage)] == ["cancelled"]
    assert not (await stage.user(person.user_id))["deactivated"]
    assert SHOWN not in [event.body for event in stranger.timeline.events]


async def test_an_account_of_another_server_is_no_target(scene: MakeScene, strangers: People) -> None:
    """`!deactivate` of a stranger is refused with their whole Matrix ID and the server that could do it."""
    stage = await scene()
    stranger = await strangers.account("stranger")
    refused = await answer(stage, f"!deactivate {stranger.user_id}")
    assert stranger.user_id in refused.body and stage.homeserver.server_name in refused.body
    assert requests(stage) == []
