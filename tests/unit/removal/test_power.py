"""Power levels and room state, computed from events that anybody may have written."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.client.rooms import RoomState
from removal.power import Power, joined_members, memberships, sole_admin

FOUNDER, OTHER, MEMBER = "@founder:server", "@other:server", "@member:elsewhere"
VERSIONS = [str(number) for number in range(1, 13)]
BEFORE_10 = VERSIONS[:9]
FROM_10 = VERSIONS[9:]

Event = dict[str, Any]


def event(kind: str, content: Any, state_key: Any = "", sender: Any = FOUNDER) -> Event:
    """A state event."""
    return {"type": kind, "state_key": state_key, "sender": sender, "content": content}


def create(version: str | None, **content: Any) -> Event:
    """The create event of a room that FOUNDER made."""
    named = {} if version is None else {"room_version": version}
    creator = {"creator": FOUNDER} if version in [None, *VERSIONS[:10]] else {}
    return event("m.room.create", {**named, **creator, **content})


def levels(**content: Any) -> Event:
    """Power levels."""
    return event("m.room.power_levels", content)


def joined(*user_ids: str) -> list[Event]:
    """Their member events."""
    return [event("m.room.member", {"membership": "join"}, user_id, user_id) for user_id in user_ids]


@pytest.mark.parametrize("version", VERSIONS)
def test_named_users_have_their_level_and_others_the_default(version: str) -> None:
    """The plain case in every room version."""
    power = Power.from_state([create(version), levels(users={OTHER: 50}, users_default=7)])
    assert (power.of(OTHER), power.of(MEMBER), power.room_version) == (50, 7, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_only_version_12_puts_creators_above_all(version: str) -> None:
    """A creator outranks every level from version 12 on, additional creators too; before, only the levels count."""
    power = Power.from_state([create(version, additional_creators=[OTHER]), levels(users={MEMBER: 10**15})])
    expected = math.inf if version == "12" else 0
    assert power.of(FOUNDER) == expected
    assert power.of(OTHER) == expected
    assert power.creators == (frozenset({FOUNDER, OTHER}) if version == "12" else frozenset())
    assert power.explicit().get(FOUNDER) == (math.inf if version == "12" else None)


def test_hostile_additional_creators_are_passed_over() -> None:
    """What is no Matrix ID creates nothing, whatever its type."""
    several: list[Any] = [OTHER, None, 3, {OTHER: 1}, [None, 3, ["x"], {}, "", "other", OTHER[1:]]]
    for hostile in several:
        power = Power.from_state([create("12", additional_creators=hostile), levels(users={})])
        assert power.creators == {FOUNDER}


def test_versions_to_come_keep_creators_above_all() -> None:
    """13 follows 12; a version with a name nobody knows gives nobody power beyond the levels."""
    assert Power.from_state([create("13"), levels()]).of(FOUNDER) == math.inf
    assert Power.from_state([create("org.matrix.hydra.11"), levels()]).of(FOUNDER) == math.inf
    for strange in ("1e9", "²", "-12", "12 ", "org.example.12", "9" * 5000):
        assert Power.from_state([create(strange), levels()]).of(FOUNDER) == 0
    several: list[Any] = [12, None, ["12"], {}, True]
    for unreadable in several:
        power = Power.from_state([event("m.room.create", {"room_version": unreadable}), levels(users={OTHER: 5})])
        assert (power.of(FOUNDER), power.of(OTHER), power.room_version) == (0, 5, "")


@pytest.mark.parametrize("version", [None, *VERSIONS])
def test_without_power_levels_the_founder_has_100(version: str | None) -> None:
    """The state of a room's first moments: by the creator field up to version 10, by the sender from 11 on."""
    power = Power.from_state([create(version)])
    assert power.of(FOUNDER) == (math.inf if version == "12" else 100)
    assert (power.of(OTHER), power.room_version) == (0, version or "1")
    assert power.needed_for_state("m.room.power_levels") == 0


def test_the_creator_field_means_nothing_from_version_11_on() -> None:
    """Anybody could name anybody there."""
    assert Power.from_state([create("11", creator=OTHER)]).of(OTHER) == 0
    assert Power.from_state([create("10", creator=OTHER)]).of(OTHER) == 100


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("100", 100), (" 50\n", 50), (99.9, 99), (True, 1), ("-5", -5), (10**30, 10**30), ("1" * 40, int("1" * 40))],
)
def test_old_versions_take_what_synapse_takes(raw: object, expected: int) -> None:
    """Below version 10 the homeserver honours levels written as text or fractions; from 10 on none gives power."""
    for version in BEFORE_10:
        assert Power.from_state([create(version), levels(users={OTHER: raw})]).of(OTHER) == expected
    if type(raw) is not int:
        for version in FROM_10:
            assert Power.from_state([create(version), levels(users={OTHER: raw})]).of(OTHER) == 0


@pytest.mark.parametrize("raw", ["", "high", "1e3", [], {}, [100], math.inf, math.nan, "9" * 10_000])
@pytest.mark.parametrize("version", ["1", "9", "10", "12"])
def test_unreadable_levels_never_give_power(version: str, raw: object) -> None:
    """An unreadable level is no power for a user, and out of everybody's reach as a requirement."""
    power = Power.from_state(
        [create(version), levels(users={OTHER: raw}, events={"m.room.power_levels": raw}, state_default=raw)]
    )
    assert power.of(OTHER) == 0
    assert power.needed_for_state("m.room.power_levels") == math.inf
    assert power.needed_for_state("m.room.name") == math.inf
    assert not power.is_admin(OTHER)


def test_null_means_not_set() -> None:
    """As Synapse reads it: a null level falls back to the default for that place."""
    power = Power.from_state(
        [create("9"), levels(users={OTHER: None}, users_default=3, events={"m.x": None}, state_default=None)]
    )
    assert (power.of(OTHER), power.needed_for_state("m.x"), power.needed_for_message("m.x")) == (3, 50, 0)


@pytest.mark.parametrize("hostile", [None, 3, "x", [], [["@a:b", 100]], True])
def test_contents_that_are_no_objects_read_as_empty(hostile: object) -> None:
    """A `users`, `events` or whole content of another type names nobody."""
    power = Power.from_state([create("11"), levels(users=hostile, events=hostile)])
    assert (power.of(OTHER), power.needed_for_state("m.room.power_levels")) == (0, 50)
    power = Power.from_state([create("11"), event("m.room.power_levels", hostile)])
    assert (power.of(FOUNDER), power.needed_for_state("m.room.power_levels")) == (0, 50)


def test_only_the_state_with_the_empty_key_counts() -> None:
    """Power levels under any other state key, and messages of such a type, are nothing to a room."""
    keys: list[Any] = ["x", OTHER, None, 0, []]
    forged = [event("m.room.power_levels", {"users": {OTHER: 100}}, key) for key in keys]
    message = {"type": "m.room.power_levels", "sender": OTHER, "content": {"users": {OTHER: 100}}}
    power = Power.from_state([*forged, message, create("11"), levels(users={FOUNDER: 100})])
    assert (power.of(OTHER), power.of(FOUNDER)) == (0, 100)


def test_state_without_a_create_event_gives_nobody_anything() -> None:
    """Such state is no room's: levels in it are not believed."""
    for state in ([], [levels(users={OTHER: 100})], joined(OTHER)):
        power = Power.from_state(state)
        assert (power.of(OTHER), power.is_admin(OTHER), power.room_version) == (0, False, "")
        assert power.needed_for_message("m.room.message") == power.needed_for_state("m.room.name") == math.inf


@pytest.mark.parametrize("version", ["10", "11", "12"])
def test_an_admin_is_who_may_change_power_levels(version: str) -> None:
    """Rooms set this level as they like; a fixed 100 would miss or invent admins."""
    for needed, level, admin in ((100, 100, True), (100, 99, False), (50, 50, True), (150, 100, False), (0, 0, True)):
        power = Power.from_state(
            [create(version), levels(users={OTHER: level}, events={"m.room.power_levels": needed})]
        )
        assert power.is_admin(OTHER) is admin
        assert power.is_admin(FOUNDER) is (version == "12" or needed == 0)


def room(version: str, members: list[str], **content: Any) -> list[Event]:
    """A room where FOUNDER is admin."""
    users = {} if version == "12" else {FOUNDER: 100}
    content["users"] = {**users, **content.get("users", {})}
    return [create(version), levels(events={"m.room.power_levels": 100}, **content), *joined(*members)]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_only_admin_is_found_in_every_version(version: str) -> None:
    """One admin among three members; nobody else is the only admin there."""
    state = room(version, [FOUNDER, OTHER, MEMBER], users={OTHER: 50})
    assert sole_admin(state, FOUNDER)
    assert not sole_admin(state, OTHER)
    assert not sole_admin(state, "@stranger:server")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_second_admin_counts_only_while_joined(version: str) -> None:
    """A remote admin is an admin; one who left, was invited or banned looks after nothing."""
    state = room(version, [FOUNDER, OTHER, MEMBER], users={MEMBER: 100})
    assert not sole_admin(state, FOUNDER)
    for membership in ("leave", "invite", "ban", "knock"):
        gone = [each for each in state if each["state_key"] != MEMBER]
        gone += [event("m.room.member", {"membership": membership}, MEMBER), *joined("@third:server")]
        assert sole_admin(gone, FOUNDER)


@pytest.mark.parametrize(
    "odd",
    [
        event("org.example.member", {"membership": "join"}, OTHER),
        event("m.room.member", {"membership": "join"}, "other"),
        event("m.room.member", {"membership": "join"}, None),
        event("m.room.member", {"membership": ["join"]}, OTHER),
        event("m.room.member", {}, OTHER),
    ],
)
def test_only_a_member_event_about_a_matrix_id_makes_a_member(odd: Event) -> None:
    """An event of another type, about nobody, or without a membership that can be read, joins nobody."""
    assert memberships([odd, *joined(FOUNDER)]) == {FOUNDER: "join"}


@pytest.mark.parametrize("version", ["10", "11", "12"])
def test_rooms_of_one_or_two_are_never_reported(version: str) -> None:
    """Direct messages need no admin; in version 12 each would count for whoever opened it."""
    assert not sole_admin(room(version, [FOUNDER]), FOUNDER)
    assert not sole_admin(room(version, [FOUNDER, OTHER]), FOUNDER)
    assert not sole_admin(room(version, [OTHER, MEMBER, "@third:server"]), FOUNDER)


def test_where_everybody_may_change_levels_nobody_is_the_only_admin() -> None:
    """A generous default makes everybody an admin, and the room goes on without this one."""
    state = room("11", [FOUNDER, OTHER, MEMBER], users_default=100)
    assert not sole_admin(state, FOUNDER)


def test_an_additional_creator_is_a_second_admin() -> None:
    """In version 12 the levels don't name creators; both are admins all the same."""
    state = [create("12", additional_creators=[OTHER]), levels(users={}), *joined(FOUNDER, OTHER, MEMBER)]
    assert not sole_admin(state, FOUNDER)


def test_room_state_reads_what_authorisation_needs() -> None:
    """Each field from its event."""
    state = RoomState.from_events(
        [
            create("11", predecessor={"room_id": "!old:server", "event_id": "$x"}),
            levels(users={FOUNDER: 100, OTHER: 50}, users_default=1),
            event("m.room.name", {"name": "Moderators"}),
            event("m.room.encryption", {}),
            event("m.room.join_rules", {"join_rule": "public"}),
            event("m.room.guest_access", {"guest_access": "can_join"}),
            event("m.room.history_visibility", {"history_visibility": "world_readable"}),
            event("m.room.tombstone", {"replacement_room": "!new:server"}),
            *joined(FOUNDER, OTHER),
            event("m.room.member", {"membership": "invite"}, MEMBER),
        ]
    )
    assert (state.room_version, state.creators, state.users_default) == ("11", frozenset(), 1)
    assert state.explicit_powers == {FOUNDER: 100, OTHER: 50}
    assert (state.power(FOUNDER), state.power(OTHER), state.power(MEMBER)) == (100, 50, 1)
    assert (state.name, state.encrypted, state.join_rule) == ("Moderators", True, "public")
    assert (state.guest_access, state.history_visibility) == ("can_join", "world_readable")
    assert (state.tombstoned, state.replacement, state.predecessor) == (True, "!new:server", "!old:server")
    assert state.joined() == {FOUNDER, OTHER}
    assert state.invited() == {MEMBER}
    assert (state.membership(MEMBER), state.membership("@stranger:server")) == ("invite", "leave")


def test_a_room_that_says_nothing_reads_safely() -> None:
    """Absent and unreadable events give the specification's defaults; a tombstone without a target leads nowhere."""
    kinds = ("name", "join_rules", "guest_access", "history_visibility", "tombstone", "create", "member")
    contents: list[Any] = [None, [], 3]
    hostile = [event(f"m.room.{kind}", content) for kind in kinds for content in contents]
    for state in (RoomState.from_events([]), RoomState.from_events(hostile)):
        assert (state.join_rule, state.guest_access, state.history_visibility) == ("invite", "forbidden", "shared")
        assert (state.name, state.replacement, state.predecessor, state.encrypted) == (None, None, None, False)
        assert state.joined() == frozenset()


def test_each_kind_of_message_has_its_own_level() -> None:
    """And the others the default one."""
    power = Power.from_state([create("11"), levels(events={"m.room.message": 25}, events_default=5)])
    assert (power.needed_for_message("m.room.message"), power.needed_for_message("m.reaction")) == (25, 5)


def test_a_room_that_names_no_version_is_of_the_first() -> None:
    """So the specification has it. One that names something else than a text is of none."""
    assert Power.from_state([create(None), levels()]).room_version == "1"
    assert Power.from_state([create(None, room_version=12), levels()]).room_version == ""


def test_a_version_of_four_digits_is_unknown() -> None:
    """Nobody stands above all there: power that can't be told is not given."""
    assert Power.from_state([create("120"), levels()]).creators == {FOUNDER}
    assert Power.from_state([create("1200"), levels()]).creators == frozenset()


def test_in_a_room_without_levels_only_a_person_is_its_founder() -> None:
    """What is no Matrix ID has no power."""
    for version in ("1", "11"):
        nobody = event("m.room.create", {"room_version": version, "creator": "founder"}, sender="founder")
        assert Power.from_state([nobody]).users == {}
        assert Power.from_state([create(version)]).users == {FOUNDER: 100}


def test_old_rooms_have_levels_written_as_text() -> None:
    """Those that an event needs, and the defaults, too; of up to 300 digits."""
    for version, needed in (("9", 25), ("10", math.inf)):
        power = Power.from_state([create(version), levels(events_default="25", events={"m.room.name": "25"})])
        assert power.needed_for_message("m.room.message") == power.needed_for_state("m.room.name") == needed
    for version, default, needed in (("9", 7, 60), ("10", 0, math.inf)):
        power = Power.from_state([create(version), levels(users_default="7", state_default="60")])
        assert (power.of(OTHER), power.needed_for_state("m.room.name")) == (default, needed)
    for digits, level in ((300, 10**300 - 1), (301, 0)):
        power = Power.from_state([create("9"), levels(users={OTHER: "9" * digits})])
        assert power.of(OTHER) == level


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([FOUNDER, OTHER]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "users", "events", "users_default", "state_default", "room_version", "additional_creators", "creator",
        "membership", "predecessor", "room_id", FOUNDER, OTHER, "m.room.power_levels"]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
_events = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["m.room.create", "m.room.power_levels", "m.room.member", "m.room.tombstone"]) | _json,
        "state_key": st.sampled_from(["", FOUNDER, OTHER]) | _json,
        "sender": st.sampled_from([FOUNDER, OTHER]) | _json,
        "content": _json,
    },
)


@given(st.lists(_events, max_size=6))
def test_no_state_can_break_the_reading(events: list[Event]) -> None:
    """Any JSON in any place is read without an error, and gives levels that can be compared."""
    state = RoomState.from_events(events)
    for user_id in (FOUNDER, OTHER, MEMBER):
        assert not math.isnan(state.power(user_id))
        assert isinstance(state.power(user_id) >= 50, bool)
        sole_admin(events, user_id)
    assert state.joined() == joined_members(events)
