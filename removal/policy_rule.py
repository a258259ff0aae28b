"""Rules of policy lists: whom they name, as the room's state events say it. Nothing of it is believed, only shown.

Source: Matrix client-server API, "Moderation policy lists": `*` and `?` are wildcards, nothing else is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

TYPES = frozenset({"m.policy.rule.user", "m.room.rule.user", "org.matrix.mjolnir.rule.user"})
"""The stable type, and those that came before it and are still in use."""
AGAINST = frozenset({"m.ban", "org.matrix.mjolnir.ban", "m.takedown", "org.matrix.msc4204.takedown"})
"""Recommendations that speak against an account. A rule that allows one is none to look at."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule about accounts. All of it is a stranger's text."""

    entity: str
    """A Matrix ID, or a glob."""
    recommendation: str
    reason: str
    by: str
    """Who wrote it."""

    @property
    def is_glob(self) -> bool:
        return "*" in self.entity or "?" in self.entity

    def names(self, user_id: str) -> bool:
        """Whether it names this account."""
        return _pattern(self.entity).fullmatch(user_id) is not None

    def may_name_one_of(self, server_name: str) -> bool:
        """Whether it could name any account of this server at all."""
        return _meet(self.entity, f"@*:{server_name}")


def rules_of(state: Iterable[Mapping[str, Any]]) -> dict[str, PolicyRule]:
    """The rules about accounts in a room's state, by whom they name."""
    found: dict[str, PolicyRule] = {}
    for event in state:
        content = event.get("content")
        if event.get("type") not in TYPES or not isinstance(content, Mapping):
            continue
        entity, recommendation, reason = (content.get(key) for key in ("entity", "recommendation", "reason"))
        if not isinstance(entity, str) or not isinstance(recommendation, str) or recommendation not in AGAINST:
            continue
        if 0 < len(entity) <= 255:
            text = reason if isinstance(reason, str) else ""
            found[entity] = PolicyRule(entity, recommendation, text, str(event.get("sender", "")))
    return found


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    # Stars side by side mean one: else a hostile rule could take for ever.
    parts = re.split(r"(\*+|\?)", glob)
    return re.compile("".join(".*" if p[:1] == "*" else "." if p == "?" else re.escape(p) for p in parts), re.DOTALL)


def _meet(one: str, other: str) -> bool:
    """Whether some text matches both globs."""
    reached: set[tuple[int, int]] = set()
    todo = [(0, 0)]
    while todo:
        at, by = place = todo.pop()
        if place in reached:
            continue
        reached.add(place)
        if at == len(one) and by == len(other):
            return True
        a, b = one[at : at + 1], other[by : by + 1]
        if a == "*":
            todo.append((at + 1, by))
        if b == "*":
            todo.append((at, by + 1))
        if a and b:
            if a == "*":
                todo.append((at, by + 1))
            if b == "*":
                todo.append((at + 1, by))
            if a == b or "?" in (a, b):
                todo.append((at + 1, by + 1))
    return False
