"""A person's own removal that fails, or takes long: nobody is left with half an account, or without a word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox.homeserver import Homeserver
from tests.support.direct_room import BEGINS, MakeScene, Talk, requests, states
from tests.support.removals import call_as, email, furnished

FreshHomeserver = Callable[..., Awaitable[Homeserver]]


async def test_a_removal_that_is_forbidden_frees_the_account(
    scene: MakeScene, fresh_homeserver: FreshHomeserver, tmp_path: Path
) -> None:
    """The homeserver forbids the deactivation: the account is set free and works, the person is told so and what may be
    gone; the moderators hear cause and remedy. Asking again later works."""
    veto = tmp_path / "veto"
    veto.touch()
    module = {"module": "tests.synapse.modules.veto.Veto", "config": {"file": str(veto)}}
    stage = await scene(on=await fresh_homeserver(config={"modules": [module]}), self_service={"grace_period": "0s"})
    person = await stage.person("leaver")
    await furnished(stage, person.user_id, threepids=[email(person.user_id)])
    talk = await Talk.begin(stage, person)
    await talk.confirmed(then=BEGINS)
    told = await talk.hears("could not be removed")
    assert told.content["m.mentions"] == {"user_ids": [person.user_id]} and told.content["msgtype"] == "m.text"
    assert "You keep it" in told.body and "add them again" in told.body and "M_FORBIDDEN" not in told.body
    heard = await stage.moderator.wait_for(lambda e: "could not be removed" in e.body, what="the cause")
    assert "Forbidden" in heard.body or "403" in heard.body
    assert "Does a module protect this account?" in heard.body
    account = await stage.user(person.user_id)
    assert (account["deactivated"], account["suspended"]) == (False, False)
    assert states(stage) == ["failed"]
    await talk.ask("!help", "!deactivate")  # a suspended account couldn't even say this
    veto.unlink()
    await talk.confirmed(then=BEGINS)
    await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "Read back" in e.body, what="the receipt")
    assert states(stage) == ["failed", "done"]


@pytest.mark.slow
async def test_a_person_in_two_hundred_rooms(scene: MakeScene) -> None:
    """However long leaving takes: the receipt comes once all of them are left."""
    stage = await scene(self_service={"grace_period": "0s"})
    person, owner = await stage.person("leaver"), await stage.account("owner")
    for _ in range(200):
        create = {"preset": "public_chat", "initial_state": []}
        room = (await call_as(stage, owner, "POST", "/_matrix/client/v3/createRoom", json=create))["room_id"]
        await person.join(room)
    talk = await Talk.begin(stage, person)
    await talk.confirmed(then=BEGINS)
    done = await stage.moderator.wait_for(
        lambda e: e.room_id == stage.room and "Read back" in e.body, timeout=120, what="the receipt"
    )
    assert "✗" not in done.body
    assert (await stage.admin("GET", f"v1/users/{person.user_id}/joined_rooms"))["total"] == 0
    (request,) = requests(stage)
    assert request["steps"][0]["answer"]["room_count"] == 201
