"""Rooms as a real Synapse knows them: power, members, reactions, handing over, and the rooms of an only admin."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from homeserver.accounts.sole_admin import sole_admin_rooms
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, Forbidden, NotFound, Refused, Unreachable
from homeserver.client.rooms import Rooms, RoomState
from sandbox.homeserver import Homeserver
from tests.conftest import Account, People
from tests.synapse.conftest import settled

Clients = Callable[[Account], Api]
VERSIONS = ["10", "11", "12"]
STATE = "/_matrix/client/v3/rooms/{}/state/{}/"


async def make_room(own: Api, version: str, *members: Api, **options: Any) -> str:
    """Makes a public room of this version, and lets the members join."""
    body = {"room_version": version, "preset": "public_chat", **options}
    room = str((await own.call("POST", "/_matrix/client/v3/createRoom", json=body))["room_id"])
    for member in members:
        await member.call("POST", "/_matrix/client/v3/join/{}", room, json={})
    return room


async def set_power(own: Api, room: str, powers: dict[str, int]) -> None:
    """Names these users in the power levels, beside those already there."""
    content = await own.call("GET", STATE, room, "m.room.power_levels")
    content["users"] = {**content.get("users", {}), **powers}
    await own.call("PUT", STATE, room, "m.room.power_levels", json=content)


@pytest.mark.parametrize("version", [*(str(number) for number in range(1, 10)), *VERSIONS])
async def test_power_is_read_in_every_room_version(client: Clients, people: People, version: str) -> None:
    """The founder, a moderator, a member and a stranger, from the state that the homeserver serves."""
    founder, moderator, member = [await people.account(role) for role in ("founder", "moderator", "member")]
    room = await make_room(client(founder), version, client(moderator), client(member))
    await set_power(client(founder), room, {moderator.user_id: 50})
    state = await Rooms(client(member)).state(room)
    assert state.room_version == version
    assert state.power(founder.user_id) == (math.inf if version == "12" else 100)
    assert [state.power(each) for each in (moderator.user_id, member.user_id, "@stranger:elsewhere")] == [50, 0, 0]
    assert state.joined() == {founder.user_id, moderator.user_id, member.user_id}
    assert state.creators == ({founder.user_id} if version == "12" else set())
    assert (state.join_rule, state.encrypted, state.tombstoned) == ("public", False, False)


async def test_a_demoted_moderator_has_no_power_left(client: Clients, people: People) -> None:
    """State is read anew each time: what was true a moment ago gives nobody anything."""
    founder, moderator = await people.account("founder"), await people.account("moderator")
    room = await make_room(client(founder), "11", client(moderator))
    rooms = Rooms(client(founder))
    await set_power(client(founder), room, {moderator.user_id: 50})
    assert (await rooms.state(room)).power(moderator.user_id) == 50
    content = await client(founder).call("GET", STATE, room, "m.room.power_levels")
    del content["users"][moderator.user_id]
    await client(founder).call("PUT", STATE, room, "m.room.power_levels", json=content)
    assert (await rooms.state(room)).power(moderator.user_id) == 0


async def test_state_of_an_upgraded_room_names_both_ways(client: Clients, people: People) -> None:
    """The tombstone names the successor, the successor its predecessor."""
    founder = await people.account("founder")
    old = await make_room(client(founder), "10")
    upgrade = "/_matrix/client/v3/rooms/{}/upgrade"
    new = (await client(founder).call("POST", upgrade, old, json={"new_version": "12"}))["replacement_room"]
    rooms = Rooms(client(founder))
    before, after = await rooms.state(old), await rooms.state(new)
    assert (before.tombstoned, before.replacement) == (True, new)
    assert (after.predecessor, after.room_version) == (old, "12")


async def test_rooms_are_closed_to_outsiders_but_not_to_the_admin_api(
    client: Clients, synapse: Synapse, people: People
) -> None:
    """Before joining, only the admin API shows who is joined and who invited; an unknown room is not found."""
    founder, invited = await people.account("founder"), await people.account("bot")
    body = {"preset": "trusted_private_chat", "is_direct": True, "invite": [invited.user_id]}
    room = (await client(founder).call("POST", "/_matrix/client/v3/createRoom", json=body))["room_id"]
    with pytest.raises(Forbidden):
        await Rooms(client(invited)).state(room)

    state = RoomState.from_events(await synapse.room_state(room))
    members = RoomState.from_events(await synapse.room_state(room, "m.room.member"))
    assert state.joined() == members.joined() == {founder.user_id}
    assert state.invited() == members.invited() == {invited.user_id}
    assert (state.guest_access, state.join_rule) == ("can_join", "invite")
    assert await synapse.room_members(room) == [founder.user_id]
    for ask in (synapse.room_state, synapse.room_members, synapse.room_details):
        with pytest.raises(NotFound):
            await ask("!nowhere:lethe.test")


async def test_room_details_name_a_room(client: Clients, synapse: Synapse, people: People) -> None:
    """Name, alias, version and sizes, in version 12 too, whose ids have no server name."""
    founder, member = await people.account("founder"), await people.account()
    alias = founder.localpart
    room = await make_room(client(founder), "12", client(member), name="Gardening", room_alias_name=alias)

    async def counted() -> bool:
        return (await synapse.room_details(room)).joined_members == 2

    await settled(counted)
    details = await synapse.room_details(room)
    assert (details.room_id, details.name, details.version) == (room, "Gardening", "12")
    assert (details.canonical_alias, details.joined_local_members) == (f"#{alias}:lethe.test", 2)
    assert not details.tombstoned


async def test_aliases_lead_to_rooms(client: Clients, people: People) -> None:
    """A known alias gives its room, an unknown and a hostile one None, no alias at all is refused."""
    founder = await people.account("founder")
    room = await make_room(client(founder), "11", room_alias_name=founder.localpart)
    rooms = Rooms(client(founder))
    assert await rooms.resolve_alias(f"#{founder.localpart}:lethe.test") == room
    assert await rooms.resolve_alias("#nothing:lethe.test") is None
    assert await rooms.resolve_alias("#a/../b?c#d:lethe.test") is None
    with pytest.raises(Refused):
        await rooms.resolve_alias("nothing")


async def test_events_are_found_or_not(client: Clients, people: People) -> None:
    """An event that nobody sent is None; an outsider gets none either, and no outsider learns which exist."""
    founder, outsider = await people.account("founder"), await people.account()
    room = await make_room(client(founder), "11", preset="private_chat")
    path = "/_matrix/client/v3/rooms/{}/send/m.room.message/{}"
    sent = (await client(founder).call("PUT", path, room, "t", json={"msgtype": "m.text", "body": "x"}))["event_id"]
    event = await Rooms(client(founder)).event(room, sent)
    assert event is not None
    assert (event["sender"], event["content"]["body"]) == (founder.user_id, "x")
    assert await Rooms(client(founder)).event(room, "$nothing") is None
    for event_id in (sent, "$nothing"):
        with pytest.raises((NotFound, Forbidden)) as caught:
            if await Rooms(client(outsider)).event(room, event_id) is None:
                raise NotFound("as good as", 404)
        assert caught.value.status in (403, 404)


async def test_all_reactions_are_read_as_sent(client: Clients, people: People) -> None:
    """More than one page, keys exactly as sent, newest first; what was taken back is gone."""
    founder, member = await people.account("founder"), await people.account()
    own, others = client(founder), client(member)
    room = await make_room(own, "11", others)
    path = "/_matrix/client/v3/rooms/{}/send/{}/{}"
    sent = (await own.call("PUT", path, room, "m.room.message", "t", json={"msgtype": "m.text", "body": "?"}))[
        "event_id"
    ]

    async def react(who: Api, key: str, txn: str) -> str:
        content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": sent, "key": key}}
        return str((await who.call("PUT", path, room, "m.reaction", txn, json=content))["event_id"])

    keys = ["✅", "✅\ufe0f", "❌", "yes", *(f"r{number}" for number in range(120))]
    ids = [await react(others, key, f"r{number}") for number, key in enumerate(keys)]
    await others.call("PUT", "/_matrix/client/v3/rooms/{}/redact/{}/{}", room, ids[2], "x", json={})

    reactions = await Rooms(own).reactions(room, sent)
    assert [each.key for each in reversed(reactions)] == [key for key in keys if key != "❌"]
    assert {each.sender for each in reactions} == {member.user_id}
    assert ids[0] in {each.event_id for each in reactions}
    assert all(each.origin_server_ts > 1_600_000_000_000 for each in reactions)
    assert await Rooms(own).reactions(room, reactions[0].event_id) == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_room_is_handed_over(client: Clients, synapse: Synapse, people: People, version: str) -> None:
    """The successor's power is read back: the same as the admin's, 100 where a version 12 creator passes it on."""
    founder, successor = await people.account("founder"), await people.account("successor")
    room = await make_room(client(founder), version, client(successor))
    await synapse.make_room_admin(room, successor.user_id)
    state = RoomState.from_events(await synapse.room_state(room))
    assert state.power(successor.user_id) == 100
    assert state.levels.is_admin(successor.user_id)


async def test_handing_over_has_its_limits(client: Clients, synapse: Synapse, people: People) -> None:
    """It invites whoever isn't there, fails while the admin is suspended, and never works once the admin is gone."""
    founder, stranger = await people.account("founder"), await people.account()
    room = await make_room(client(founder), "11", preset="private_chat")
    await synapse.make_room_admin(room, stranger.user_id)
    assert RoomState.from_events(await synapse.room_state(room)).membership(stranger.user_id) == "invite"

    other = await make_room(client(founder), "11")
    await synapse.suspend(founder.user_id, True)
    with pytest.raises(Forbidden) as suspended:
        await synapse.make_room_admin(other, stranger.user_id)
    assert suspended.value.errcode == "M_USER_SUSPENDED"

    await client(stranger).call("POST", "/_matrix/client/v3/join/{}", other, json={})
    await synapse.deactivate(founder.user_id, erase=False)

    async def left() -> bool:
        return await synapse.joined_rooms(founder.user_id) == []

    await settled(left)
    with pytest.raises(Refused) as gone:
        await synapse.make_room_admin(other, stranger.user_id)
    assert (gone.value.status, gone.value.message) == (400, "No local admin user in room")


@pytest.mark.parametrize("version", VERSIONS)
async def test_rooms_of_an_only_admin_are_found(
    client: Clients, synapse: Synapse, people: People, version: str
) -> None:
    """Of these rooms only those count where three or more are joined and nobody else is an admin."""
    leaver, other, third = [await people.account(role) for role in ("leaver", "other", "third")]
    own, second = client(leaver), client(other)
    found = await make_room(own, version, second, client(third), name="Found")
    shared = await make_room(own, version, second, client(third))
    await set_power(own, shared, {other.user_id: 100})
    moderated = await make_room(own, version, second, client(third), name="Moderated")
    await set_power(own, moderated, {other.user_id: 50})
    alone, pair = await make_room(own, version), await make_room(own, version, second)
    member_only = await make_room(second, version, own, client(third))

    rooms = [alone, pair, member_only, shared, moderated, "!deleted:lethe.test", found]
    result = await sole_admin_rooms(synapse, leaver.user_id, rooms, 30)
    assert result.problem is None
    assert result.complete
    assert [each.room_id for each in result.found] == [moderated, found]
    assert [each.name for each in result.found] == ["Moderated", "Found"]
    assert result.counted == 7

    await synapse.make_room_admin(found, other.user_id)
    result = await sole_admin_rooms(synapse, leaver.user_id, [found], 30)
    assert (result.found, result.complete) == ((), True)


async def test_a_search_can_be_continued(
    client: Clients, synapse: Synapse, people: People, homeserver: Homeserver, session: aiohttp.ClientSession
) -> None:
    """Out of time, or with the homeserver away, the rooms not seen are given back, never counted as seen."""
    leaver, other, third = [await people.account(role) for role in ("leaver", "other", "third")]
    rooms = [await make_room(client(leaver), "11", client(other), client(third)) for _ in range(3)]
    rest: tuple[str, ...] = tuple(rooms)

    stopped = await sole_admin_rooms(synapse, leaver.user_id, rest, 0)
    assert (stopped.found, stopped.counted, stopped.rest, stopped.complete) == ((), 0, rest, False)

    nowhere = Synapse(Api(session, "http://127.0.0.1:9", "token"))
    broken = await sole_admin_rooms(nowhere, leaver.user_id, rest, 30)
    assert (broken.found, broken.counted, broken.rest, broken.complete) == ((), 0, rest, False)
    assert isinstance(broken.problem, Unreachable)

    stranger = Synapse(client(other))
    refused = await sole_admin_rooms(stranger, leaver.user_id, rest, 30)
    assert isinstance(refused.problem, Forbidden)
    assert refused.rest == rest

    found: list[str] = []
    async with asyncio.timeout(60):
        while rest:
            result = await sole_admin_rooms(synapse, leaver.user_id, rest, 30)
            found += [each.room_id for each in result.found]
            rest = result.rest
    assert found == rooms
