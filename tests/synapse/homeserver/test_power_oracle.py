"""Our arithmetic of power levels is the homeserver's: the same state, read by us and by Synapse's own event rules."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from synapse.api.constants import CREATOR_POWER_LEVEL
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.event_auth import get_send_level, get_user_power_level
from synapse.events import EventBase, make_event_from_dict

from removal.power import Power

FOUNDER, OTHER, MEMBER = "@founder:server", "@other:server", "@member:server"
VERSIONS = [str(number) for number in range(1, 13)]
KINDS = ["m.room.power_levels", "m.room.name", "m.x"]

_integers = st.integers(-(2**53) + 1, 2**53 - 1)
_texts = _integers.map(str) | st.sampled_from([" 50", "+7", "0100", "1_000", "٣", "100\n"])
_old_levels = _integers | _texts | st.booleans() | st.floats(-1e9, 1e9)


def _contents(levels: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Power levels that the homeserver would let into a room."""
    return st.fixed_dictionaries(
        {},
        optional={
            "users": st.dictionaries(st.sampled_from([OTHER, MEMBER]), levels, max_size=2),
            "users_default": levels,
            "events": st.dictionaries(st.sampled_from(KINDS), levels, max_size=3),
            "state_default": levels,
            "events_default": levels,
        },
    )


def _event(version: str, kind: str, content: dict[str, Any]) -> EventBase:
    """An event in the format of this room version."""
    event: dict[str, Any] = {
        "type": kind,
        "state_key": "",
        "sender": FOUNDER,
        "content": content,
        "auth_events": [],
        "prev_events": [],
        "hashes": {"sha256": ""},
        "signatures": {},
        "depth": 1,
        "origin_server_ts": 1,
    }
    if int(version) < 3:
        event["event_id"] = "$event:server"
    if int(version) < 12 or kind != "m.room.create":
        event["room_id"] = "!room:server"
    return make_event_from_dict(event, room_version=KNOWN_ROOM_VERSIONS[version])


@st.composite
def _rooms(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    version = draw(st.sampled_from(VERSIONS))
    create: dict[str, Any] = {"room_version": version}
    if int(version) < 11:
        create["creator"] = draw(st.sampled_from([FOUNDER, OTHER]))
    if draw(st.booleans()):
        create["additional_creators"] = draw(st.lists(st.sampled_from([OTHER, MEMBER]), max_size=2))
    levels = _contents(_old_levels if int(version) < 10 else _integers)
    return version, create, draw(st.none() | levels) if version != "12" else draw(levels)


@given(_rooms())
def test_power_is_what_synapse_computes(room: tuple[str, dict[str, Any], dict[str, Any] | None]) -> None:
    """In every room version, with levels written in every way that version allows: the same power, the same needs."""
    version, create, levels = room
    state = [{"type": "m.room.create", "state_key": "", "sender": FOUNDER, "content": create}]
    theirs = {("m.room.create", ""): _event(version, "m.room.create", create)}
    level_event = None
    if levels is not None:
        state.append({"type": "m.room.power_levels", "state_key": "", "sender": FOUNDER, "content": levels})
        level_event = theirs["m.room.power_levels", ""] = _event(version, "m.room.power_levels", levels)
    power = Power.from_state(state)

    for user_id in (FOUNDER, OTHER, MEMBER, "@stranger:server"):
        expected = get_user_power_level(user_id, theirs)
        assert power.of(user_id) == (math.inf if expected == CREATOR_POWER_LEVEL else expected)
    if level_event is not None:
        for kind in KINDS:
            assert power.needed_for_state(kind) == get_send_level(kind, "", level_event)
            assert power.needed_for_message(kind) == get_send_level(kind, None, level_event)
