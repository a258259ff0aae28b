"""Watches the admin room: whatever lets others in, shows it to others or gives power is announced, once.

What was said is kept, so that a restart says nothing anew, and what changed while the bot was away is said when it
comes back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from handlers.authority import AdminRoom
from handlers.context import Context
from homeserver.client.api import Forbidden
from removal.audit_action import AuditAction
from storage import meta
from texts import Template

log = logging.getLogger(__name__)

KEY = "watch"
"""In `meta`: how the room was when it was looked at last."""
WATCHED = frozenset(
    {
        "m.room.encryption",
        "m.room.guest_access",
        "m.room.history_visibility",
        "m.room.join_rules",
        "m.room.power_levels",
    }
)
"""State events after which the room is looked at."""


class Alarm(StrEnum):
    """What moderators should know about the admin room. texts/ has the words, under `alarm`."""

    NOT_ENCRYPTED = "not_encrypted"
    JOIN_RULE = "join_rule"
    GUESTS = "guests"
    WORLD_READABLE = "world_readable"
    EVERYBODY_MODERATES = "everybody_moderates"
    NOBODY_MODERATES = "nobody_moderates"
    NEW_MODERATOR = "new_moderator"


@dataclass(frozen=True, slots=True)
class Look:
    """The room as far as it is watched."""

    alarms: dict[str, str]
    """What is wrong, each with the value that makes it so."""
    powerful: frozenset[str]
    """Who is named with a moderator's power, joined or not."""

    @classmethod
    def at(cls, room: AdminRoom) -> Look:
        state, policy, alarms = room.state, room.policy, {}
        if not state.encrypted:
            alarms[Alarm.NOT_ENCRYPTED.value] = ""
        if state.join_rule != "invite":
            alarms[Alarm.JOIN_RULE.value] = state.join_rule
            # By itself `can_join` is every client's default: without an invitation it lets nobody in.
            if state.guest_access == "can_join":
                alarms[Alarm.GUESTS.value] = ""
        if state.history_visibility == "world_readable":
            alarms[Alarm.WORLD_READABLE.value] = ""
        if state.users_default >= policy.power_level:
            alarms[Alarm.EVERYBODY_MODERATES.value] = str(state.users_default)
        powerful = {
            user_id
            for user_id, power in state.explicit_powers.items()
            if power >= policy.power_level and user_id not in (policy.bot_id, *policy.other_bots)
            if policy.allow_remote or policy.is_local(user_id)
        }
        if not powerful and not policy.users and not policy.roles.users and state.users_default < policy.power_level:
            alarms[Alarm.NOBODY_MODERATES.value] = ""
        return cls(alarms, frozenset(powerful))

    def news(self, before: Look | None) -> list[tuple[Alarm, str]]:
        """The new findings compared with the last look. At the first look, existing power counts as intended."""
        known = before.alarms if before else {}
        said = [(Alarm(name), value) for name, value in self.alarms.items() if known.get(name) != value]
        risen = self.powerful - before.powerful if before else frozenset()
        return said + [(Alarm.NEW_MODERATOR, user_id) for user_id in sorted(risen)]

    def dump(self) -> str:
        return json.dumps({"alarms": self.alarms, "powerful": sorted(self.powerful)}, sort_keys=True)

    @classmethod
    def load(cls, stored: str) -> Look:
        data: dict[str, Any] = json.loads(stored)
        return cls(dict(data["alarms"]), frozenset(data["powerful"]))


class Watch:
    """Looks at the admin room at the start, and whenever something in it changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = asyncio.Lock()

    async def look(self) -> None:
        """Says what is new. Nothing where the bot isn't in the room (yet). Raises: HomeserverError."""
        async with self._lock:
            try:
                room = await self._context.authority.admin_room()
            except Forbidden:
                return
            if room.state.membership(self._context.bot_id) != "join":
                return
            await self._compare(room)

    async def _compare(self, room: AdminRoom) -> None:
        now = Look.at(room)
        async with self._context.units.database.transaction() as tx:
            stored = await meta.get(tx, KEY)
        before = Look.load(stored) if stored else None
        if before == now:
            return
        news = now.news(before)
        async with self._context.units.begin() as unit:
            await meta.put(unit.tx, KEY, now.dump())
            if not news:
                return
            level = room.policy.power_level
            for alarm, value in news:
                words = unit.messages.words("alarm", alarm, value=value, level=level)
                log.warning("admin room %s: %s", room.room_id, words)
                await unit.audit(
                    AuditAction.ADMIN_ROOM_ALARM, target=value or None, alarm=alarm.value, room=room.room_id
                )
            told = [(alarm.value, {"value": value, "level": level}) for alarm, value in news]
            await unit.messages.post(room.room_id, Template.WATCH, f"watch {room.room_id} {unit.now}", alarms=told)
