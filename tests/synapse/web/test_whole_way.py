"""The page from the first click to the end, in a real browser, with a password log-in on a real Synapse."""

from __future__ import annotations

import pytest

from sandbox.client import Person
from sandbox.homeserver import CallFailed
from sandbox.scene import Scene
from tests.support.admin_room import read_only
from tests.support.browser import Visit, page_settings
from tests.support.direct_room import MakeScene, requests, states
from tests.support.removals import upload
from tests.synapse.conftest import settled


async def devices(stage: Scene, user_id: str) -> list[str]:
    """The ids of an account's devices."""
    return [each["device_id"] for each in (await stage.admin("GET", f"v2/users/{user_id}/devices"))["devices"]]


async def test_from_the_page_to_a_gone_account(scene: MakeScene, visit: Visit) -> None:
    """Log in, choose, read, confirm; the account is gone and its token dead. The page says what was read back, the
    moderators have the receipt, and the device of the log-in was gone before anything was confirmed."""
    stage = await scene(self_service=page_settings(grace_period="0s"))
    person = await stage.person("leaver")
    await upload(stage, stage.tokens[person.user_id], 2)
    before = await devices(stage, person.user_id)
    visitor = await visit(stage)

    await visitor.arrive(person.user_id)
    await visitor.reads("You are logged in as")
    assert sorted(await devices(stage, person.user_id)) == sorted(before)
    assert read_only(stage.bot.database, "SELECT * FROM log_ins") == []
    assert requests(stage) == []
    await visitor.choose(erase=True, media=True)
    shown = await visitor.text()
    assert "Erasing hides your messages" in shown and "Your files are deleted" in shown and person.user_id in shown
    assert states(stage) == ["awaiting_confirmation"]
    assert not (await stage.user(person.user_id))["deactivated"]
    await visitor.press("Yes, delete my account")

    async def gone() -> bool:
        return bool((await stage.user(person.user_id))["deactivated"]) and states(stage) == ["done"]

    await settled(gone)
    await visitor.open("/account")
    assert "erased" in await visitor.reads("Your account is deleted")
    receipt = await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "Read back" in e.body)
    assert "✗" not in receipt.body
    with pytest.raises(CallFailed) as dead:
        await person.call("GET", "/_matrix/client/v3/account/whoami")
    assert dead.value.status == 401
    with pytest.raises(CallFailed):
        await Person(stage.homeserver.base_url, person.user_id).login(stage.passwords[person.user_id])


async def test_the_person_hears_of_it_and_can_stop_it_on_the_page(scene: MakeScene, visit: Visit) -> None:
    """A confirmed request is told to every session in a direct message that the bot opens, with its date; logging in
    again shows where it stands, and stops it. The account works as before."""
    stage = await scene(self_service=page_settings())
    person = await stage.person("leaver")
    visitor = await visit(stage)
    await visitor.arrive(person.user_id)
    await visitor.choose()
    await visitor.press("Yes, delete my account")
    await visitor.reads("Your account will be removed on")

    room = await person.invited_to(by=stage.bot_id)
    await person.join(room)
    told = await person.wait_for(lambda e: e.room_id == room and "will be removed on" in e.body)
    assert told.content["m.mentions"] == {"user_ids": [person.user_id]}
    await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "removing their own account" in e.body)

    again = await visit(stage)
    await again.arrive(person.user_id)
    await again.reads("Your account will be removed on")
    await again.press("Stop it, and keep my account")
    await again.reads("It was stopped")
    assert states(stage) == ["cancelled"]
    await person.wait_for(lambda e: e.room_id == room and "Your account stays" in e.body)
    await visitor.open("/account")
    await visitor.reads("It was stopped")
    assert not (await stage.user(person.user_id))["deactivated"]
