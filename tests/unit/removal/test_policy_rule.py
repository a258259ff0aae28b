"""Rules of policy lists: whom they name, by the specification's wildcards and no others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from removal.policy_rule import PolicyRule, rules_of


def rule(entity: str) -> PolicyRule:
    """A ban."""
    return PolicyRule(entity, "m.ban", "", "@list:far")


def event(entity: object, recommendation: object = "m.ban", kind: str = "m.policy.rule.user") -> dict[str, Any]:
    """A rule as a state event."""
    content = {"entity": entity, "recommendation": recommendation, "reason": "spam"}
    return {"type": kind, "state_key": f"rule:{entity}", "sender": "@list:far", "content": content}


def test_rules_are_found_in_every_spelling_of_their_type() -> None:
    """The stable type and the two before it; what allows, what is empty and what is of another shape is none."""
    state = [
        event("@a:here"),
        event("@b:here", "org.matrix.mjolnir.ban", "m.room.rule.user"),
        event("@c:here", "m.ban", "org.matrix.mjolnir.rule.user"),
        event("@d:here", "org.matrix.mjolnir.allow"),
        event("@e:here", kind="m.policy.rule.server"),
        event(""), event(None), event(7), event("x" * 256), event("@f:here", ["m.ban"].__str__()), event("@g:here", {}),
        {"type": "m.policy.rule.user", "content": None}, {"type": "m.policy.rule.user", "content": {}}, {},
    ]  # fmt: skip
    found = rules_of(state)
    assert set(found) == {"@a:here", "@b:here", "@c:here"}
    assert found["@a:here"] == PolicyRule("@a:here", "m.ban", "spam", "@list:far")


@pytest.mark.parametrize("nothing", [{}, event("@e:here", kind="m.policy.rule.server"), event(None), event("")])
def test_what_is_no_rule_hides_none(nothing: dict[str, Any]) -> None:
    """The rules after it in the room's state are found all the same."""
    assert set(rules_of([nothing, event("@a:here")])) == {"@a:here"}


@pytest.mark.parametrize("entity", ["*", "@" + "a" * 249 + ":here"])
def test_a_rule_may_be_as_short_as_a_star_and_as_long_as_a_matrix_id(entity: str) -> None:
    """One character, or 255."""
    assert set(rules_of([event(entity)])) == {entity}


@pytest.mark.parametrize("reason", [None, 7, ["spam"], {"text": "spam"}])
def test_a_reason_that_is_no_text_is_none(reason: object) -> None:
    """Nor is there an author where the event names no sender."""
    content = {"entity": "@a:here", "recommendation": "m.ban", "reason": reason}
    found = rules_of([{"type": "m.policy.rule.user", "content": content}])
    assert found["@a:here"] == PolicyRule("@a:here", "m.ban", "", "")


@pytest.mark.parametrize(
    ("entity", "named", "not_named"),
    [
        ("@a:here", "@a:here", "@ab:here"),
        ("@spam*:here", "@spam-7:here", "@nospam:here"),
        ("@spam?:here", "@spam7:here", "@spam77:here"),
        ("@[ab]:here", "@[ab]:here", "@a:here"),  # no wildcard in a policy list
        ("@a.c:here", "@a.c:here", "@abc:here"),
        ("*", "@anybody:here", ""),
    ],
)
def test_whom_a_rule_names(entity: str, named: str, not_named: str) -> None:
    """Only `*` and `?` are wildcards, and a rule holds for the whole Matrix ID."""
    assert rule(entity).names(named)
    assert not not_named or not rule(entity).names(not_named)


@pytest.mark.parametrize(
    "entity", ["@a:here", "@a*", "*", "@*:here", "@?:h*e", "@a:her?", "@a:*", "*here", "@a:*:here"]
)
def test_a_rule_that_may_name_somebody_here(entity: str) -> None:
    """Only these cost a look at the server's list."""
    assert rule(entity).may_name_one_of("here")


@pytest.mark.parametrize("entity", ["@a:there", "@*:there", "@a:here2", "#a:here", "*:there", "a:here", "@a:HERE"])
def test_a_rule_that_names_nobody_here(entity: str) -> None:
    """Another server's accounts are another server's business."""
    assert not rule(entity).may_name_one_of("here")


@given(st.text(alphabet="@ab:here*?", max_size=14), st.text(alphabet="ab*", max_size=5))
def test_a_rule_that_names_somebody_may_name_one(entity: str, localpart: str) -> None:
    """The quick look never says no where the slow one would say yes."""
    if rule(entity).names(f"@{localpart}:here"):
        assert rule(entity).may_name_one_of("here")


def test_a_hostile_rule_takes_no_time() -> None:
    """Hundreds of stars side by side, or between letters, are read in no time."""
    assert not rule("@" + "*" * 200 + "x:here").names("@" + "a" * 200 + ":here")
    assert rule("@" + "*?" * 100 + ":here").may_name_one_of("here")
    assert not rule("@" + "*a" * 100 + ":there").may_name_one_of("here")
