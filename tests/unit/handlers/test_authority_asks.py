"""What authority reads from the homeserver: held against the model, which is held to the real one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.messages import CurrentAdminRoom
from handlers.authority import Authority, Policy
from handlers.roles import Roles
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, NotFound
from homeserver.client.rooms import Rooms, RoomState
from removal.facts import Facts
from removal.power import Power
from removal.protection import Refusal, Surroundings
from simulation.model.server import Server
from simulation.model.state import Event, Room
from simulation.network import Network

NAME = "model.test"
BOT, MOD, LISTED, PERSON, STRANGER = (f"@{name}:{NAME}" for name in ("lethe", "mod", "listed", "person", "stranger"))
POWER_LEVELS = "m.room.power_levels"


class Place:
    """A homeserver with an admin room, and the bot's authority on it."""

    def __init__(self, version: str = "11") -> None:
        self.now = 1_800_000_000_000
        self.server = Server(NAME, lambda: self.now, random.Random(1))  # noqa: S311
        for user_id in (BOT, MOD, LISTED, PERSON, STRANGER):
            self.server.register(user_id[1:].partition(":")[0], admin=user_id == BOT)
        self.room = self.server.create_room(BOT, version=version, invite=[MOD, LISTED, PERSON], name="Admins")
        self.policy = Policy(BOT, 50, (LISTED,), False, (f"@vip*:{NAME}",))
        self.asked: list[str] = []
        network = Network(self.server, random.Random(1), lambda _, path, *rest: self.asked.append(path))  # noqa: S311
        api = Api(network.session(f"token of {BOT}", lambda: None), "http://model", None)
        self.authority = Authority(Rooms(api), Synapse(api), self.policy, CurrentAdminRoom(self.room.room_id))

    def later(self, seconds: int) -> int:
        self.now += seconds * 1000
        return self.now

    def power(self, **levels: int) -> None:
        users = {BOT: 100, **{f"@{name}:{NAME}": level for name, level in levels.items()}}
        self.server.set_state(BOT, self.room.room_id, POWER_LEVELS, {"users": users, "users_default": 0})

    async def since(self, user_id: str, until_ts: int = 0) -> int | None:
        return await self.authority.moderator_since(await self.authority.admin_room(), user_id, until_ts)


@pytest.fixture
def place() -> Place:
    return Place()


async def test_the_admin_room_is_read_as_it_is_now(place: Place) -> None:
    """Who is in it, and what they may, each time anew."""
    for user_id in (MOD, LISTED):
        place.server.join(user_id, place.room.room_id)
    assert (await place.authority.admin_room()).moderators() == {LISTED}
    place.power(mod=50)
    now = await place.authority.admin_room()
    assert (
        (now.room_id, now.policy) == (place.room.room_id, place.policy) == (place.authority.admin_room_id, now.policy)
    )
    assert now.moderators() == {MOD, LISTED}


async def test_somebody_is_a_moderator_since_they_are_both_there_and_entitled(place: Place) -> None:
    """Whichever came later counts: being in the room, or having the power."""
    joined = place.later(10)
    place.server.join(MOD, place.room.room_id)
    assert await place.since(MOD) is None
    entitled = place.later(10)
    place.power(mod=50)
    assert await place.since(MOD) == entitled > joined
    place.later(10)
    place.server.leave(MOD, place.room.room_id)
    place.server.invite(BOT, place.room.room_id, MOD)
    back = place.later(10)
    place.server.join(MOD, place.room.room_id)
    assert await place.since(MOD) == back
    assert await place.since(BOT) is None


async def test_power_that_was_taken_and_given_back_counts_from_then_on(place: Place) -> None:
    """A change that leaves somebody their power doesn't; less than is needed is none."""
    place.server.join(MOD, place.room.room_id)
    place.power(mod=50)
    place.later(10)
    place.power(mod=49)
    given = place.later(10)
    place.power(mod=50)
    place.later(10)
    place.power(mod=90)
    assert await place.since(MOD) == given


async def test_power_that_everybody_has_is_power(place: Place) -> None:
    """By the default level; somebody who is named has their own level instead."""
    for user_id in (MOD, PERSON):
        place.server.join(user_id, place.room.room_id)
    given = place.later(10)
    content = {"users": {BOT: 100, PERSON: 0}, "users_default": 50}
    place.server.set_state(BOT, place.room.room_id, POWER_LEVELS, content)
    assert await place.since(MOD) == given
    assert await place.since(PERSON) is None


async def test_levels_that_name_nobody_leave_everybody_the_default(place: Place) -> None:
    """Also where somebody wrote no list of people at all."""
    place.server.join(MOD, place.room.room_id)
    given = place.later(10)
    place.server.set_state(BOT, place.room.room_id, POWER_LEVELS, {"users": "all", "users_default": 50})
    assert await place.since(MOD) == given


async def test_before_there_was_a_default_level_nobody_had_one(place: Place) -> None:
    """However little power the settings ask for."""
    place.authority.policy = replace(place.policy, power_level=1)
    place.server.join(MOD, place.room.room_id)
    place.server.set_state(BOT, place.room.room_id, POWER_LEVELS, {"users": {BOT: 100}})
    given = place.later(10)
    place.power(mod=1)
    assert await place.since(MOD) == given


async def test_since_when_a_level_gives_power_that_is_no_number_cannot_be_told() -> None:
    """Rooms before version 10 know such levels: somebody has the power, but nothing is built on since when."""
    place = Place("9")
    place.server.join(MOD, place.room.room_id)
    place.server.set_state(BOT, place.room.room_id, POWER_LEVELS, {"users": {BOT: 100, MOD: "50"}})
    assert MOD in (await place.authority.admin_room()).moderators()
    assert await place.since(MOD) is None


async def test_whoever_the_settings_name_needs_no_power(place: Place) -> None:
    """So it counts since they are there."""
    joined = place.later(10)
    place.server.join(LISTED, place.room.room_id)
    place.later(10)
    place.power(listed=50)
    assert await place.since(LISTED) == joined


async def test_a_creator_above_all_levels_is_entitled_from_the_beginning() -> None:
    """In room version 12 no level names them."""
    place = Place()
    room = place.server.create_room(MOD, version="12", invite=[BOT])
    place.server.join(BOT, room.room_id)
    place.authority.admin_room_now.room_id = room.room_id
    assert await place.since(MOD) == place.now


async def test_nobody_looks_further_back_than_it_matters(place: Place) -> None:
    """Where it was so already then, that is enough."""
    place.server.join(MOD, place.room.room_id)
    place.power(mod=50)
    until = place.later(10)
    latest = place.later(10)
    place.power(mod=60)
    assert await place.since(MOD, until) == until - 10_000 < latest
    assert await place.since(MOD, latest) == latest


def change(place: Place, **fields: Any) -> None:
    account = place.server.accounts[PERSON]
    for name, value in fields.items():
        setattr(account, name, value)


NOTHING = Facts(displayname="person", created_ts=1_800_000_000_000, devices=1, only_admin_in=())


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ({}, {}),
        ({"displayname": None}, {"displayname": None}),
        ({"devices": ["A", "B"]}, {"devices": 2}),
        ({"threepids": [{"medium": "email", "address": "a@b"}]}, {"threepids": ("email",)}),
        ({"external_ids": [{"auth_provider": "sso", "external_id": "1"}]}, {"sso_providers": ("sso",)}),
        ({"admin": True}, {"admin": True}),
        ({"deactivated": True}, {"deactivated": True}),
        ({"erased": True}, {"erased": True}),
        ({"suspended": True}, {"suspended": True}),
        ({"locked": True}, {"locked": True}),
    ],
)
async def test_an_account_is_looked_at(place: Place, fields: dict[str, Any], facts: dict[str, Any]) -> None:
    """Each thing that is true of it, and nothing else."""
    change(place, **fields)
    assert await place.authority.facts(PERSON) == replace(NOTHING, **facts)


async def test_rooms_and_files_are_counted_and_rooms_without_another_admin_named(place: Place) -> None:
    """By their names, or else their ids; at most 255 characters of each."""
    for number in range(3):
        place.server.upload(PERSON)
        room = place.server.create_room(PERSON, public=True, name="x" * 300 if number else "")
        for other in (MOD, STRANGER)[: number + 1]:
            place.server.join(other, room.room_id)
    facts = await place.authority.facts(PERSON)
    assert facts is not None
    assert (facts.rooms, facts.media) == (3, 3)
    assert facts.only_admin_in == ("x" * 255, "x" * 255)
    assert await place.authority.facts(PERSON, count_for=0) == replace(facts, only_admin_in=None)
    assert await place.authority.only_admin_in(PERSON, seconds=9) == facts.only_admin_in
    assert await place.authority.only_admin_in(PERSON, [room.room_id], seconds=9) == ("x" * 255,)
    assert await place.authority.facts(f"@nobody:{NAME}") is None


async def test_a_room_without_a_name_is_named_by_its_id(place: Place) -> None:
    """And a count that takes too long is none at all."""
    room = place.server.create_room(PERSON, public=True)
    for other in (MOD, STRANGER):
        place.server.join(other, room.room_id)
    assert await place.authority.only_admin_in(PERSON, seconds=9) == (room.room_id,)
    assert await place.authority.only_admin_in(PERSON, seconds=-1) is None


async def test_counting_takes_as_long_as_is_said_and_asks_for_the_rooms_once(place: Place) -> None:
    """No time at all is no count, though there is nothing to be counted."""
    assert await place.authority.facts(PERSON, count_for=1) == NOTHING
    assert await place.authority.facts(PERSON, count_for=0) == replace(NOTHING, only_admin_in=None)
    place.server.create_room(PERSON, public=True)
    place.asked.clear()
    assert await place.authority.facts(PERSON, count_for=1e-6) == replace(NOTHING, rooms=1, only_admin_in=None)
    assert sum(path.endswith("/joined_rooms") for path in place.asked) == 1


async def test_who_may_act_is_who_may_remove_accounts(place: Place) -> None:
    """A moderator whose role has no removals is none of them, though protected as the others are."""
    for user_id in (MOD, LISTED):
        place.server.join(user_id, place.room.room_id)
    roles = Roles({MOD: frozenset({"info"}), LISTED: frozenset({"deactivate"})})
    place.authority.policy = replace(place.policy, roles=roles)
    around = place.authority.surroundings(await place.authority.admin_room())
    assert around.acting == {LISTED}
    assert {MOD, LISTED} <= set(around.moderators)


async def test_who_is_protected_is_refused_before_the_account_is_looked_at(place: Place) -> None:
    """By name, then by what the account is."""
    place.server.join(MOD, place.room.room_id)
    place.power(mod=50, stranger=50)
    room = await place.authority.admin_room()
    ask: Callable[..., Any] = place.authority.refuse
    fine, admin, gone = NOTHING, replace(NOTHING, admin=True), replace(NOTHING, deactivated=True)
    assert await ask(PERSON, MOD, fine, room, erase=False) is None
    assert await ask(MOD, MOD, None, room, erase=False) is Refusal.YOURSELF
    assert await ask(STRANGER, MOD, fine, room, erase=False) is Refusal.MODERATOR
    assert await ask(f"@vip1:{NAME}", MOD, fine, room, erase=False) is Refusal.PROTECTED
    assert await ask(BOT, MOD, fine, room, erase=False) is Refusal.THE_BOT
    assert await ask(PERSON, MOD, admin, room, erase=False) is Refusal.SERVER_ADMIN
    assert await ask(PERSON, MOD, gone, room, erase=False) is Refusal.ALREADY_DEACTIVATED
    assert await ask(PERSON, MOD, gone, room, erase=True) is None
    assert await ask(PERSON, MOD, None, room, erase=True) is Refusal.UNKNOWN
    assert place.authority.surroundings(room) == Surroundings(
        BOT, NAME, place.policy.protected, frozenset({BOT, MOD, STRANGER, LISTED}), frozenset({MOD})
    )


async def test_rooms_are_read_from_within_and_from_outside(place: Place) -> None:
    """The admin API knows rooms that the bot isn't in."""
    room = place.server.create_room(PERSON, public=True, invite=[STRANGER])
    outside = await place.authority.members_before_joining(room.room_id)
    assert outside == RoomState(
        levels=Power.from_state([]), members={PERSON: "join", STRANGER: "invite"}
    )  # the members, and nothing else is asked for
    kinds = {event["type"] for event in await place.authority.state_before_joining(room.room_id)}
    assert {"m.room.create", "m.room.member", "m.room.join_rules"} <= kinds
    with pytest.raises(NotFound):
        await place.authority.members_before_joining("!nowhere:model.test")
    assert (await place.authority.room(place.room.room_id)).joined() == {BOT}


async def test_the_bots_display_name_is_the_one_that_it_has_in_the_room(place: Place) -> None:
    """Another member's is none of its own; where it has none, or isn't there, there is none."""
    room_id = place.room.room_id
    assert await place.authority.display_name(room_id) is None
    for user_id, name in ((BOT, "Lethe of old"), (MOD, "Mod")):
        content = {"membership": "join", "displayname": name}
        place.server.add(place.room, user_id, "m.room.member", content, state_key=user_id)
    assert await place.authority.display_name(room_id) == "Lethe of old"
    assert await place.authority.display_name("!nowhere:model.test") is None


async def test_an_address_is_resolved_and_an_id_is_one(place: Place) -> None:
    """Also where nothing has it."""
    place.server.aliases[f"#admins:{NAME}"] = place.room.room_id
    assert await place.authority.room_id_of(f"#admins:{NAME}") == place.room.room_id
    assert await place.authority.room_id_of(f"#nowhere:{NAME}") is None
    assert await place.authority.room_id_of("!any:room") == "!any:room"


def _react(place: Place, room: Room, key: str, who: str) -> str:
    (first, *_) = room.timeline
    content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": first.event_id, "key": key}}
    return place.server.send(who, room.room_id, "m.reaction", content, f"{who} {key}")


async def test_reactions_are_those_that_stand_there_now(place: Place) -> None:
    """Who, what, and which event: one that was taken back is gone."""
    for user_id in (MOD, PERSON):
        place.server.join(user_id, place.room.room_id)
    first: Event = place.room.timeline[0]
    yes, no = _react(place, place.room, "✅", MOD), _react(place, place.room, "❌", PERSON)
    found = await place.authority.reactions(place.room.room_id, first.event_id)
    assert sorted(found) == sorted([(MOD, "✅", yes), (PERSON, "❌", no)])
    place.server.redact(PERSON, place.room.room_id, no)
    assert await place.authority.reactions(place.room.room_id, first.event_id) == [(MOD, "✅", yes)]
