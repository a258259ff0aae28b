"""The model of the homeserver is held to the real one: the same calls to both, and the bot's doors read the same."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.accounts.models import REDACTION
from homeserver.accounts.search import AccountSearch
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, HomeserverError
from homeserver.client.rooms import Rooms
from sandbox.homeserver import Homeserver
from simulation.model.server import Server
from simulation.network import Network
from tests.conftest import Account, People

V3 = "/_matrix/client/v3"
ADMIN = "/_synapse/admin"


@dataclass
class Side:
    """One of the two homeservers, with the same three accounts on it."""

    admin: Api
    person: Api
    other: Api
    admin_id: str
    person_id: str
    other_id: str

    async def room(self, api: Api, **more: Any) -> str:
        body = {"room_version": "11", "preset": "private_chat", **more}
        return str((await api.call("POST", f"{V3}/createRoom", json=body))["room_id"])

    async def say(
        self, api: Api, room_id: str, content: dict[str, Any], txn_id: str, kind: str = "m.room.message"
    ) -> Any:
        return await told(api.call("PUT", f"{V3}/rooms/{{}}/send/{{}}/{{}}", room_id, kind, txn_id, json=content))

    def under(self, event_id: str, key: str) -> dict[str, Any]:
        return {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": key}}


async def told(work: Awaitable[Any]) -> Any:
    """What came, or the error by kind, status and code."""
    try:
        return await work
    except HomeserverError as error:
        return type(error).__name__, getattr(error, "status", None), getattr(error, "errcode", None)


async def settled(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await look():  # noqa: ASYNC110 - another process' state
            await asyncio.sleep(0.1)


def named(value: Any) -> Any:
    """Without what each homeserver makes up: ids of rooms, events, tasks, devices and files, and times."""
    text = json.dumps(value, sort_keys=True, default=str)
    text = re.sub(r'"(![^"]+|\$[^"]+)"', '"ID"', text)
    return json.loads(re.sub(r"\b1[0-9]{12}\b", "0", text))


# --- the scripts: each is played on both ---------------------------------------------------------------------------


async def messages_and_reactions(side: Side) -> list[Any]:
    room_id = await side.room(side.person, invite=[side.other_id, side.admin_id])
    rooms, found = Rooms(side.admin), list[Any]()
    found.append(await told(rooms.state(room_id)))  # invited only
    found.append(await side.say(side.other, room_id, {"body": "early"}, "early"))
    for api in (side.admin, side.other):
        await api.call("POST", f"{V3}/rooms/{{}}/join", room_id, json={})
    found.append(await told(side.other.call("POST", f"{V3}/rooms/{{}}/join", room_id, json={})))
    first = (await side.say(side.person, room_id, {"msgtype": "m.text", "body": "one"}, "t1"))["event_id"]
    again = (await side.say(side.person, room_id, {"msgtype": "m.text", "body": "one"}, "t1"))["event_id"]
    found.append(first == again)
    reaction = await side.say(side.other, room_id, side.under(first, "✅"), "t2", "m.reaction")
    found.append(await side.say(side.other, room_id, side.under(first, "✅"), "t3", "m.reaction"))
    found.append(await side.say(side.person, room_id, side.under(first, "❌"), "t4", "m.reaction"))
    found.append([(r.sender, r.key) for r in await rooms.reactions(room_id, first)])
    found.append(await told(rooms.reactions(room_id, "$nothing")))
    found.append(
        await told(
            side.other.call("PUT", f"{V3}/rooms/{{}}/redact/{{}}/{{}}", room_id, reaction["event_id"], "r1", json={})
        )
    )
    found.append([(r.sender, r.key) for r in await rooms.reactions(room_id, first)])
    found.append((await rooms.event(room_id, first) or {})["content"])
    found.append(await told(rooms.event(room_id, "$nothing")))
    state = await rooms.state(room_id)
    found.append((state.members, state.room_version, state.power(side.person_id), state.power(side.other_id)))
    found.append((state.encrypted, state.join_rule))
    found.append(await told(side.admin.call("GET", f"{V3}/rooms/{{}}/state/m.room.encryption/", room_id)))
    found.append(sorted(await rooms.readers(room_id, side.admin_id)))
    return found


async def coming_and_going(side: Side) -> list[Any]:
    room_id = await side.room(side.person, invite=[side.admin_id, side.other_id], is_direct=True)
    rooms, found = Rooms(side.admin), list[Any]()
    leave, forget = f"{V3}/rooms/{{}}/leave", f"{V3}/rooms/{{}}/forget"
    found.append(await told(side.admin.call("POST", forget, room_id, json={})))
    found.append(await told(side.admin.call("POST", f"{V3}/rooms/{{}}/join", room_id, json={})))
    found.append(await told(side.other.call("POST", leave, room_id, json={})))
    found.append(await told(side.other.call("POST", leave, room_id, json={})))
    found.append(await told(side.other.call("POST", f"{V3}/rooms/{{}}/join", room_id, json={})))
    found.append((await rooms.state(room_id)).members)
    found.append(await told(side.admin.call("POST", forget, room_id, json={})))
    await side.admin.call("POST", leave, room_id, json={})
    found.append((await rooms.state(room_id)).members)  # as it was when they left
    found.append(await side.say(side.admin, room_id, {"body": "late"}, "late"))
    found.append(await told(side.admin.call("POST", forget, room_id, json={})))
    found.append(await told(rooms.state(room_id)))
    found.append(await told(rooms.state("!nowhere:lethe.test")))
    found.append(await told(rooms.resolve_alias("#nothing:lethe.test")))
    return found


async def what_sync_brings(side: Side) -> list[Any]:
    found = list[Any]()

    async def sync(since: str | None, timeout: int = 0) -> dict[str, Any]:
        params: dict[str, str | int | bool] = {"timeout": timeout}
        room_filter = {
            "state": {"not_types": ["*"]},
            "ephemeral": {"not_types": ["*"]},
            "account_data": {"not_types": ["*"]},
            "timeline": {"limit": 50},
        }
        params["filter"] = json.dumps(
            {"presence": {"not_types": ["*"]}, "account_data": {"not_types": ["*"]}, "room": room_filter}
        )
        return await side.admin.call("GET", f"{V3}/sync", params={**params, **({"since": since} if since else {})})

    def shown(answer: dict[str, Any], room_id: str) -> Any:
        rooms = answer.get("rooms", {})
        timeline = rooms.get("join", {}).get(room_id, {}).get("timeline", {})
        events = [(e["type"], e.get("state_key"), e["sender"]) for e in timeline.get("events", [])]
        return [room_id in rooms.get(kind, {}) for kind in ("join", "invite", "leave")], events, timeline.get("limited")

    since = (await sync(None))["next_batch"]
    room_id = await side.room(side.person, invite=[side.admin_id])
    answer = await sync(since, 5_000)
    found.append(shown(answer, room_id))
    invited = answer["rooms"]["invite"][room_id]["invite_state"]["events"]
    found.append([(e["sender"], e["content"]["membership"]) for e in invited if e.get("state_key") == side.admin_id])
    await side.admin.call("POST", f"{V3}/rooms/{{}}/join", room_id, json={})
    answer = await sync(answer["next_batch"], 5_000)
    found.append([event for event in shown(answer, room_id)[1] if event[0] == "m.room.member"])
    for number in range(60):
        await side.say(side.person, room_id, {"msgtype": "m.text", "body": str(number)}, f"many{number}")
    before, answer = answer["next_batch"], await sync(answer["next_batch"], 5_000)
    found.append(shown(answer, room_id))
    position = answer["rooms"]["join"][room_id]["timeline"]["prev_batch"]
    params = {"dir": "b", "from": position, "to": before, "limit": 100}
    page = await side.admin.call("GET", f"{V3}/rooms/{{}}/messages", room_id, params=params)
    found.append([event["content"].get("body") for event in page["chunk"]])
    await side.admin.call("POST", f"{V3}/rooms/{{}}/leave", room_id, json={})
    found.append(shown(await sync(answer["next_batch"], 5_000), room_id)[0])
    return found


async def a_removal(side: Side) -> list[Any]:
    accounts, found, who = Synapse(side.admin), list[Any](), side.person_id
    room_id = await side.room(side.person, preset="public_chat")
    old = await side.room(side.person, preset="public_chat", room_version="10")
    for each in (room_id, old):
        await side.other.call("POST", f"{V3}/rooms/{{}}/join", each, json={})
        await side.say(side.person, each, {"msgtype": "m.text", "body": "spam"}, f"spam {each[:3]}")
    body = {"threepids": [{"medium": "email", "address": f"{who[1:8]}@example.org"}]}
    await side.admin.call("PUT", f"{ADMIN}/v2/users/{{}}", who, json=body)
    await accounts.lock(who, True)
    await side.admin.call("POST", f"{ADMIN}/v1/users/{{}}/shadow_ban", who, json={})
    user = await accounts.user(who)
    assert user is not None
    found.append(user.model_dump(exclude={"creation_ts", "last_seen_ts", "displayname"}))
    await accounts.lock(who, False)
    await accounts.lift_shadow_ban(who)
    await settled(lambda: accounts.in_directory(who))
    found.append((len(await accounts.devices(who)), len(await accounts.joined_rooms(who)), await accounts.pushers(who)))
    found.append(
        (await accounts.media_total(who), await accounts.delete_media(who), await accounts.quarantine_media(who))
    )
    await accounts.suspend(who, True)
    found.append(await side.say(side.person, room_id, {"body": "mute"}, "mute"))
    found.append(await accounts.remove_threepids(who))
    redact_id = await accounts.redact(who, [room_id, old], limit=100)
    await settled(lambda: _redacted(accounts, redact_id))
    status = await accounts.redact_status(redact_id)
    assert status is not None
    found.append((status.status, len(status.failed_redactions or {}), list((status.failed_redactions or {}).values())))
    found.append([(t.action, t.status) for t in await accounts.scheduled_tasks(who, REDACTION)])
    found.append(await accounts.redact_status("nothing"))
    found.append(await accounts.deactivate(who, erase=True))
    await settled(lambda: _in_no_room(accounts, who))
    user = await accounts.user(who)
    assert user is not None
    found.append(user.model_dump(exclude={"creation_ts", "last_seen_ts"}))
    found.append((await accounts.devices(who), await accounts.pushers(who), (await accounts.account_data(who)).count))
    found.append(await accounts.profile(who))
    found.append(sorted((await accounts.memberships(who)).values()))
    found.append(await accounts.in_directory(who))
    await accounts.lock(who, True)  # of a deactivated account too
    found.append((await accounts.user(who)).locked)  # type: ignore[union-attr] # it is there
    await accounts.lock(who, False)
    found.append(await told(accounts.deactivate(who, erase=False)))
    found.append((await accounts.user(who)).erased)  # type: ignore[union-attr] # it is there
    found.append(await side.say(side.person, room_id, {"body": "gone"}, "gone"))
    await accounts.suspend(who, False)
    found.append((await accounts.user(who)).suspended)  # type: ignore[union-attr] # it is there
    return found


async def _redacted(accounts: Synapse, redact_id: str) -> bool:
    status = await accounts.redact_status(redact_id)
    return status is not None and status.status.over


async def _in_no_room(accounts: Synapse, user_id: str) -> bool:
    return not await accounts.joined_rooms(user_id)


async def rights_and_strangers(side: Side) -> list[Any]:
    accounts, found = Synapse(side.admin), list[Any]()
    nobody, alien = "@nobody-at-all:lethe.test", "@person:elsewhere.test"
    found.append((await accounts.is_admin(), await Synapse(side.person).is_admin()))
    for user_id in (nobody, alien):
        for ask in (accounts.user, accounts.devices, accounts.pushers, accounts.media_total, accounts.joined_rooms):
            found.append(await told(ask(user_id)))
        found.append(await told(accounts.suspend(user_id, True)))
        found.append(await told(accounts.lock(user_id, True)))
        found.append(await told(accounts.lift_shadow_ban(user_id)))
        found.append(await told(accounts.in_directory(user_id)))
        found.append(await told(accounts.deactivate(user_id, erase=True)))
    found.append(await accounts.profile(nobody))
    room_id = await side.room(side.person, preset="public_chat", name="Cats")
    await side.other.call("POST", f"{V3}/rooms/{{}}/join", room_id, json={})
    details = await accounts.room_details(room_id)
    found.append((details.name, details.version, details.tombstoned))
    found.append(sorted(await accounts.room_members(room_id)))
    for ask_room in (accounts.room_details, accounts.room_members, accounts.room_state):
        found.append(await told(ask_room("!nowhere:lethe.test")))
    members = await accounts.room_state(room_id, "m.room.member")
    found.append(sorted((event["state_key"], event["content"]["membership"]) for event in members))
    await accounts.make_room_admin(room_id, side.other_id)
    (levels,) = await accounts.room_state(room_id, "m.room.power_levels")
    found.append(levels["content"]["users"])
    return found


async def lists_and_times(side: Side) -> list[Any]:
    """What a wave asks for: the list of accounts, and since when somebody is what they are in a room."""
    finder, rooms, found = AccountSearch(side.admin), Rooms(side.admin), list[Any]()
    page = await finder.page("0", side.person_id[1:].partition(":")[0])
    found.append(([(user.name, user.admin) for user in page.users], page.total, page.next_token))
    found.append((await finder.page("0", "nobody-is-called-this")).users)
    found.append(await finder.total() >= 3)
    found.append(side.admin_id in await finder.admins() and side.person_id not in await finder.admins())
    room_id = await side.room(side.person, invite=[side.admin_id, side.other_id])
    for api in (side.admin, side.other):
        await api.call("POST", f"{V3}/rooms/{{}}/join", room_id, json={})
    path = f"{V3}/rooms/{{}}/state/m.room.power_levels/"
    levels = await side.person.call("GET", path, room_id)
    levels = {**levels, "users": {side.person_id: 100, side.other_id: 50}}
    await told(side.person.call("PUT", path, room_id, json=levels))

    def joined(content: Mapping[str, Any]) -> bool:
        return content.get("membership") == "join"

    def powerful(content: Mapping[str, Any]) -> bool:
        return bool(content.get("users", {}).get(side.other_id, 0) >= 50)

    for kind, key, holds in (("m.room.member", side.other_id, joined), ("m.room.power_levels", "", powerful)):
        since = await rooms.true_since(room_id, kind, key, holds, 0)
        found.append(since is not None and abs(since - time.time_ns() // 1_000_000) < 60_000)
    found.append(await rooms.true_since(room_id, "m.room.power_levels", "", lambda content: False, 0))
    event = await side.admin.call("GET", path, room_id, params={"format": "event"})
    found.append((event["type"], event["state_key"], event["content"]["users"][side.other_id]))
    found.append(isinstance(event["unsigned"]["replaces_state"], str))
    found.append(await told(side.admin.call("GET", f"{V3}/rooms/{{}}/state/m.room.topic/", room_id)))
    return found


@pytest.mark.parametrize(
    "script",
    [messages_and_reactions, coming_and_going, what_sync_brings, a_removal, rights_and_strangers, lists_and_times],
    ids=lambda script: script.__name__,
)  # fmt: skip
async def test_the_model_answers_as_the_homeserver(
    script: Callable[[Side], Awaitable[list[Any]]], homeserver: Homeserver, people: People,
    client: Callable[[Account], Api], admin: Account,
) -> None:  # fmt: skip
    """Played on both, the script finds the same, call for call."""
    person, other = await people.account(), await people.account()
    ids = (admin.user_id, person.user_id, other.user_id)
    real = Side(client(admin), client(person), client(other), *ids)
    chance = random.Random(1)  # noqa: S311 - how long things take
    server = Server(homeserver.server_name, lambda: time.time_ns() // 1_000_000, chance)
    for account in (admin, person, other):
        server.register(account.localpart, admin=account is admin)
    network = Network(server, chance, lambda *handled: None)
    one, two, three = (Api(network.session(f"token of {each}", lambda: None), "http://model", None) for each in ids)
    expected, found = await script(real), await script(Side(one, two, three, *ids))
    for number, (right, ours) in enumerate(zip(named(expected), named(found), strict=True)):
        assert ours == right, f"answer {number}"
