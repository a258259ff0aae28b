"""Handing rooms over before their only admin goes: to whom, where, and when, against a real Synapse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from removal.power import Power
from sandbox.homeserver import CallFailed
from sandbox.scene import Scene
from tests.support.admin_room import answer
from tests.support.removals import asked, begun, call_as, talk

MakeScene = Callable[..., Awaitable[Scene]]


async def is_admin(stage: Scene, room: str, user_id: str) -> bool:
    """Whether somebody may change the power levels of a room, by its state."""
    return Power.from_state((await stage.admin("GET", f"v1/rooms/{room}/state"))["state"]).is_admin(user_id)


async def members(stage: Scene, room: str, membership: str) -> set[str]:
    """Who is in a room with this membership."""
    state = (await stage.admin("GET", f"v1/rooms/{room}/state"))["state"]
    return {e["state_key"] for e in state if e["type"] == "m.room.member" and e["content"]["membership"] == membership}


async def test_the_successor_becomes_admin_where_joined_and_nobody_is_invited(scene: MakeScene) -> None:
    """In rooms of versions 10, 11 and 12 the successor, where joined, is admin at the end; elsewhere the room is listed
    as left without an admin, and nobody was invited."""
    stage = await scene()
    leaver, successor, member = [await stage.account(role) for role in ("leaver", "successor", "member")]
    shared = [await talk(stage, leaver, version, members=(successor, member)) for version in ("10", "11", "12")]
    strange = await talk(stage, leaver, "11", members=(member, await stage.account("member")))

    removal = await asked(stage, f"!deactivate {leaver} --handover {successor}")
    assert "Makes another user admin" in removal.card.body
    assert not await is_admin(stage, shared[0], successor)
    await removal.confirm()
    receipt = await removal.done()

    assert [await is_admin(stage, room, successor) for room in shared] == [True] * 3
    assert not await is_admin(stage, strange, successor)
    assert await members(stage, strange, "invite") == set()
    assert "3 rooms handed over, 1 left without an admin" in receipt and strange in receipt
    handover, suspend = removal.step("handover"), removal.step("suspend")
    assert handover["ended_ts"] <= suspend["started_ts"]


async def test_direct_messages_and_rooms_of_two_are_never_handed_over(scene: MakeScene) -> None:
    """A direct message stays between its two people, even where the successor is one of them."""
    stage = await scene()
    leaver, successor = await stage.account("leaver"), await stage.account("successor")
    rooms = [await talk(stage, leaver, version, members=(successor,)) for version in ("10", "12")]
    body = {"is_direct": True, "preset": "private_chat", "invite": [successor]}
    direct = await call_as(stage, leaver, "POST", "/_matrix/client/v3/createRoom", json=body)
    await call_as(stage, successor, "POST", "/_matrix/client/v3/join/{}", str(direct["room_id"]), json={})
    rooms.append(str(direct["room_id"]))
    removal = await begun(stage, f"!deactivate {leaver} --handover {successor}")
    assert "0 rooms handed over" in (receipt := await removal.done()) and "left without" not in receipt
    assert [await is_admin(stage, room, successor) for room in rooms] == [False] * 3


async def test_a_cancelled_removal_leaves_no_new_admin_behind(scene: MakeScene) -> None:
    """Rooms are handed over when the removal is done, not when it is planned."""
    stage = await scene()
    leaver, successor, member = [await stage.account(role) for role in ("leaver", "successor", "member")]
    room = await talk(stage, leaver, "11", members=(successor, member))
    removal = await begun(stage, f"!deactivate {leaver} --handover {successor} --in 3d")
    await removal.says("stops it")
    await removal.cancel()
    await removal.says("cancelled")
    assert not await is_admin(stage, room, successor)


async def test_without_the_option_the_rooms_are_listed_and_nothing_else(scene: MakeScene) -> None:
    """The prompt names the rooms where the account is the only admin; without `--handover` they are left so."""
    stage = await scene()
    leaver, member = await stage.account("leaver"), await stage.account("member")
    room = await talk(stage, leaver, "11", members=(member, await stage.account("member")))
    await call_as(
        stage, leaver, "PUT", "/_matrix/client/v3/rooms/{}/state/m.room.name/", room, json={"name": "Reading circle"}
    )
    removal = await begun(stage, f"!deactivate {leaver}")
    assert "Only admin in: “Reading circle”" in removal.card.body
    await removal.done()
    assert "handover" not in [step["step"] for step in removal.stored["steps"]]
    assert not await is_admin(stage, room, member)
    with pytest.raises(CallFailed):  # it can't be repaired afterwards, which is why the prompt names them
        await stage.admin("POST", f"v1/rooms/{room}/make_room_admin", json={"user_id": member})


async def test_a_successor_who_cannot_take_over_is_refused_at_once(scene: MakeScene) -> None:
    """The account itself, or one that doesn't exist, can't be the successor: no prompt is shown."""
    stage = await scene()
    leaver = await stage.account("leaver")
    for successor, word in ((leaver, "its rooms to itself"), ("@nobody-here:lethe.test", "can't take over")):
        assert word in (await answer(stage, f"!deactivate {leaver} --handover {successor}")).body
