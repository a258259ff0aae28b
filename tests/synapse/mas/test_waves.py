"""Waves on a server with MAS: each account goes by the door that its own keeper has."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from sandbox.mas_scene import MasScene
from tests.support.waves import ask, gone, spammers
from tests.synapse.admin_room.test_waves import test_several_accounts_are_removed_by_one_decision
from tests.synapse.mas.conftest import Service

__all__ = ["test_several_accounts_are_removed_by_one_decision"]

MakeScene = Callable[..., Awaitable[MasScene]]


async def test_each_account_goes_by_its_own_door(scene: MakeScene, service: Service) -> None:
    """Found by name in the server's own list: those that MAS knows are deactivated there, an old one that it doesn't
    know in Synapse; all are read back."""
    stage = await scene()
    known = await spammers(stage, 3)
    old = f"spam-old-{secrets.token_hex(3)}"
    await stage.homeserver.call(
        "POST", "/_synapse/mas/provision_user", token=service.mas.secret, json={"localpart": old}
    )
    targets = [*known, stage.homeserver.user_id(old)]
    wave = await ask(stage, f"!deactivate {' '.join(targets)} --erase")
    await wave.press()
    assert "4 of 4 accounts deactivated and erased" in await wave.ended()
    assert all((await gone(stage, targets)).values())
    for user_id in known:
        assert (await stage.in_mas(user_id))["deactivated_at"] is not None


async def test_who_became_an_admin_in_mas_is_taken_off(scene: MakeScene) -> None:
    """The list was frozen and shown; before ✅ one account was given the right to ask MAS for admin rights. It isn't
    even suspended, and the others are removed."""
    stage = await scene()
    targets = await spammers(stage, 3)
    wave = await ask(stage, f"!deactivate {' '.join(targets)} --erase")
    await stage.mas.make_admin(targets[0][1:].partition(":")[0])
    await wave.press()
    assert "2 of 3 accounts deactivated and erased" in await wave.ended()
    assert wave.members()[targets[0]] == "cancelled"
    user = await stage.user(targets[0])
    assert (user["suspended"], user["deactivated"]) == (False, False)
    assert all((await gone(stage, targets[1:])).values())


async def test_the_servers_own_list_is_searched(scene: MakeScene) -> None:
    """Synapse refuses a search that includes guests on such a server; the list is found all the same."""
    stage = await scene(bulk={"type_number_above": 1000, "other_moderator_above": 1000})
    targets = sorted([await stage.account("spamlist") for _ in range(2)])
    for _ in range(3):
        await stage.account("good")
    wave = await ask(stage, "!deactivate --match 'spamlist-*'")
    assert sorted(user for user, state in wave.members().items() if state == "waiting") == targets
