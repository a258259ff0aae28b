"""Removals on a homeserver whose accounts live in MAS: done is what MAS and Synapse both say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sandbox.mas import StandInMas
from sandbox.mas_scene import MasScene
from tests.support.admin_room import answer
from tests.support.direct_room import Talk
from tests.support.removals import RECEIPT, asked, begun
from tests.synapse.conftest import settled
from tests.synapse.mas.conftest import Service

MakeScene = Callable[..., Awaitable[MasScene]]

NOTHING = {"compat-sessions": 0, "oauth2-sessions": 0, "user-sessions": 0, "personal-sessions": 0}


@pytest.mark.parametrize("erase", [True, False], ids=["erased", "not erased"])
async def test_all_that_mas_knows_is_gone(scene: MakeScene, erase: bool) -> None:
    """Sessions of all four kinds are over, the address and the link are off, and both have the account deactivated;
    erased is what was asked to be erased, although MAS would erase by default."""
    stage = await scene()
    spammer = await stage.account("spammer")
    await stage.furnish(spammer)
    before = await stage.in_mas(spammer)
    assert all(before["sessions"].values()) and before["emails"] == before["links"] == 1
    removal = await begun(stage, f"!deactivate {spammer} --forget-sso{' --erase' if erase else ''}")
    receipt = await removal.done()
    assert "✗" not in receipt
    after = await stage.in_mas(spammer)
    assert (after["sessions"], after["emails"], after["links"]) == (NOTHING, 0, 0)
    assert after["deactivated_at"] is not None
    user = await stage.user(spammer)
    assert (user["deactivated"], user["erased"]) == (True, erase)


async def test_links_stay_where_nobody_asked(scene: MakeScene) -> None:
    """Without `--forget-sso` the link to single sign-on stays, and the prompt showed it."""
    stage = await scene()
    spammer = await stage.account("spammer")
    await stage.furnish(spammer)
    removal = await begun(stage, f"!deactivate {spammer}")
    await removal.done()
    assert (await stage.in_mas(spammer))["links"] == 1


async def test_queued_is_not_done(scene: MakeScene, stand_in: StandInMas) -> None:
    """MAS answers 200 at once and acts later: until Synapse shows the account as deactivated nobody says "done"."""
    stage = await scene()
    spammer = await stage.account("spammer")
    stand_in.hold()
    removal = await begun(stage, f"!deactivate {spammer} --erase")

    async def waits() -> bool:
        return {step["step"]: step["state"] for step in removal.stored["steps"]}.get("wait") == "started"

    await settled(waits)
    await asyncio.sleep(3)
    assert (await waits(), removal.state) == (True, "running")
    assert not (await stage.user(spammer))["deactivated"]
    assert not [e for e in stage.moderator.timeline.events if e.room_id == stage.room and RECEIPT in e.body]
    stand_in.release()
    await removal.done()
    assert (await stage.user(spammer))["deactivated"]


@pytest.mark.parametrize(
    "fault",
    [
        ("POST .*/deactivate$", 500),
        ("POST .*/deactivate$", 401),
        ("GET .*/by-username/", 502),
        ("GET .*/user-emails", 500),
        ("DELETE .*/user-emails/", 503),
        ("DELETE .*/user-emails/", 404),
        ("POST .*/compat-sessions/.*/finish$", 409),
        ("POST .*/personal-sessions/.*/revoke$", 404),
        ("POST /oauth2/token", 503),
    ],
    ids=lambda fault: f"{fault[1]} to {fault[0]}",
)
async def test_a_fault_of_mas_passes(scene: MakeScene, stand_in: StandInMas, fault: tuple[str, int]) -> None:
    """5xx is tried again, 401 with a new token, and what is gone or over already is no error; then it is done."""
    stage = await scene()
    spammer = await stage.account("spammer")
    await stage.furnish(spammer)
    removal = await asked(stage, f"!deactivate {spammer} --erase --forget-sso")
    stand_in.service.faults.append(fault)
    if "token" in fault[0]:
        stand_in.expire_tokens()
    await removal.confirm()
    assert "✗" not in await removal.done()
    assert stand_in.service.faults == []


async def test_tokens_are_kept_as_long_as_they_live(scene: MakeScene, stand_in: StandInMas) -> None:
    """One token serves a whole removal; one that ends early is replaced, and so is one that MAS forgot."""
    stage = await scene()

    def fetched() -> int:
        return stand_in.service.asked.count("POST /oauth2/token")

    before = fetched()
    await (await begun(stage, f"!deactivate {await stage.account('first')}")).done()
    assert fetched() == before
    stand_in.expire_tokens()
    await (await begun(stage, f"!deactivate {await stage.account('second')}")).done()
    assert fetched() == before + 1
    stand_in.expire_tokens()
    stand_in.service.lifetime = 2
    await (await begun(stage, f"!deactivate {await stage.account('third')}")).done()
    assert fetched() > before + 2


async def test_accounts_that_mas_does_not_know_are_synapses(scene: MakeScene, service: Service) -> None:
    """An old account or a bridge's, of which MAS knows nothing, is deactivated in Synapse."""
    stage = await scene()
    old = "old-" + stage.room[1:7].lower().replace("_", "x").replace("-", "x")
    headers = service.mas.secret
    await stage.homeserver.call("POST", "/_synapse/mas/provision_user", token=headers, json={"localpart": old})
    removal = await begun(stage, f"!deactivate {stage.homeserver.user_id(old)} --erase")
    assert "✗" not in await removal.done()
    user = await stage.user(stage.homeserver.user_id(old))
    assert (user["deactivated"], user["erased"]) == (True, True)


async def test_who_may_ask_for_admin_rights_is_protected(scene: MakeScene) -> None:
    """MAS's own flag (`can_request_admin`) protects, locked or not, although Synapse knows of no right."""
    stage = await scene()
    boss = f"boss-{stage.bot_id[-17:-12]}"
    await stage.mas.user(boss, admin=True)
    user_id = stage.homeserver.user_id(boss)
    assert (await stage.user(user_id))["admin"] is False
    assert "is a server admin" in (await answer(stage, f"!deactivate {user_id}")).body
    await stage.mas.lock(boss)
    assert "is a server admin" in (await answer(stage, f"!deactivate {user_id}")).body
    assert (await stage.in_mas(user_id))["deactivated_at"] is None


async def test_a_locked_account_can_be_removed(scene: MakeScene) -> None:
    """Locking ended none of its sessions; the removal does."""
    stage = await scene()
    spammer = await stage.account("spammer")
    await stage.furnish(spammer)
    await stage.mas.lock(spammer[1:].partition(":")[0])
    removal = await begun(stage, f"!deactivate {spammer}")
    assert "✗" not in await removal.done()
    assert (await stage.in_mas(spammer))["sessions"] == NOTHING


async def test_a_person_removes_their_own_account(scene: MakeScene) -> None:
    """✅, the Matrix ID, the departure notice; then MAS and Synapse both have the account deactivated, and no session
    of any kind is left."""
    stage = await scene(self_service={"grace_period": "0s"})
    person = await stage.person("leaver")
    await stage.furnish(person.user_id)
    talk = await Talk.begin(stage, person)
    await talk.confirmed(then="begins now")
    proofs = await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "Read back" in e.body, what="receipt")
    assert "✗" not in proofs.body
    after = await stage.in_mas(person.user_id)
    assert (after["sessions"], after["emails"], after["links"]) == (NOTHING, 0, 0)
    assert after["deactivated_at"] is not None
    assert (await stage.user(person.user_id))["erased"] is True
