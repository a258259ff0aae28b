"""Watched policy lists (`policy_rooms`): a new rule that names an account of this server becomes a card.

Never acted on by itself. The room's state is read anew each time; an event only says that it's worth a look.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Protocol

from handlers.admin_room import alerts
from handlers.admin_room.wave_search import literal
from handlers.context import Context
from homeserver.accounts.search import AccountSearch
from homeserver.client.api import BadToken, HomeserverError, NotFound, Refused
from removal.ids import InvalidUserID, UserID
from removal.policy_rule import TYPES, PolicyRule, rules_of
from storage import alerts as stored
from storage import meta
from texts import Template

log = logging.getLogger(__name__)

LOOK_EVERY = 600.0
"""Seconds after which the lists are read, whether anything was heard of them or not."""
CARDS_AT_ONCE = 10
SETTLE = 1.0
REST = 60.0
"""Seconds until the next look where more than `CARDS_AT_ONCE` cards were due."""
NAMED = 5
"""Of many accounts that one rule names, so many are told."""
KEY = "policy "
"""In `meta`, with the room's id: its rules were counted once. Also the source of what was seen."""


class Client(Protocol):
    """What is needed of the Matrix client."""

    async def join(self, room_id: str) -> None: ...

    async def join_by(self, room: str) -> None: ...


class PolicyWatch:
    """Watches the lists that the settings name."""

    def __init__(self, context: Context, client: Client, finder: AccountSearch) -> None:
        self._context = context
        self._client = client
        self._finder = finder
        self._ids: dict[str, str] = {}
        self._news = asyncio.Event()

    def heard(self, room_id: str, event_type: str, state_key: str) -> None:
        """Something happened in a room: where it's a watched one, and a rule, it is looked at soon."""
        if room_id in self._ids.values() and (event_type in TYPES or state_key == self._context.bot_id):
            self._news.set()

    async def invited(self, room_id: str) -> bool:
        """Joins a watched room that the bot was invited to; False where it isn't one. Raises: HomeserverError."""
        for room in self._context.settings.policy_rooms:
            if room_id == room or await self._id_of(room) == room_id:
                await self._client.join(room_id)
                self._news.set()
                return True
        return False

    async def run(self) -> None:
        """Runs until cancelled."""
        if not self._context.settings.policy_rooms:
            return
        while True:
            if self._news.is_set():
                await asyncio.sleep(SETTLE)  # whoever writes many rules writes them one after the other
            self._news.clear()
            more = False
            for room in self._context.settings.policy_rooms:
                try:
                    more = await self.look(room) or more
                except HomeserverError as error:
                    log.warning("the policy list %s couldn't be read: %s", room, error)
            if more:
                await asyncio.sleep(REST)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_EVERY)

    async def look(self, room: str) -> bool:
        """Shows what is new in a list. Returns whether there is more than is shown at once. Raises: HomeserverError."""
        room_id = await self._joined(room)
        if room_id is None:
            await self._say("unreachable", room, 0)
            return False
        rules = rules_of(await self._context.authority.state_before_joining(room_id))
        async with self._context.units.database.transaction(only_reading=True) as tx:
            known = await meta.get(tx, KEY + room_id) is not None
            seen = await stored.keys_of(tx, KEY + room_id)
        if not known:
            async with self._context.units.begin() as unit:
                await stored.seen(unit.tx, KEY + room_id, rules)
                await meta.put(unit.tx, KEY + room_id, room)
            await self._say("watching", room, len(rules))
            return False
        cards = 0
        for rule in (rule for entity, rule in rules.items() if entity not in seen):
            named = await self._accounts(rule)
            if named and cards == CARDS_AT_ONCE:
                return True
            await self._show(room_id, room, rule, named)
            cards += bool(named)
        return False

    async def _joined(self, room: str) -> str | None:
        """The room's id, once the bot is in it; None where it can't be. Raises: HomeserverError."""
        room_id = await self._id_of(room)
        if room_id is None:
            return None
        try:
            membership = (await self._context.authority.members_before_joining(room_id)).membership(
                self._context.bot_id
            )
        except NotFound:
            membership = ""
        if membership != "join":
            try:
                await self._client.join_by(room)
            except Refused as error:
                if isinstance(error, BadToken):
                    raise
                log.info("can't join the policy list %s: %s", room, error)
                return None
        return room_id

    async def _id_of(self, room: str) -> str | None:
        if room not in self._ids:
            room_id = await self._context.authority.room_id_of(room)
            if room_id is None:
                return None
            self._ids[room] = room_id
        return self._ids[room]

    async def _accounts(self, rule: PolicyRule) -> list[str]:
        """The accounts of this server that a rule names and that aren't deactivated."""
        if not rule.may_name_one_of(self._context.server_name):
            return []
        if not rule.is_glob:
            try:
                user = await self._context.accounts.user(str(UserID.parse(rule.entity)))
            except InvalidUserID:
                return []
            return [rule.entity] if user is not None and not user.deactivated else []
        found: list[str] = []
        start: str | None = "0"
        while start is not None:
            page = await self._finder.page(start, literal(rule.entity.replace("?", "*")))
            found += [user.name for user in page.users if rule.names(user.name)]
            start = page.next_token if page.users else None
        return list(dict.fromkeys(found))

    async def _show(self, room_id: str, room: str, rule: PolicyRule, named: list[str]) -> None:
        context = self._context
        room_state = (await context.authority.admin_room()).state
        by_reply = context.settings.confirmation.in_writing(encrypted=room_state.encrypted)
        async with context.units.begin() as unit:
            await stored.seen(unit.tx, KEY + room_id, [rule.entity])
            if not named:
                return
            one = named[0] if len(named) == 1 else None
            await alerts.show(
                context,
                unit,
                "rule",
                one,
                by_reply=by_reply,
                user=one or "",
                number=len(named),
                told=[],
                rule={
                    "room": room,
                    "entity": rule.entity,
                    "by": rule.by,
                    "recommendation": rule.recommendation,
                    "reason": rule.reason,
                },
                named=named[:NAMED] if one is None else [],
            )

    async def _say(self, what: str, room: str, number: int) -> None:
        async with self._context.units.begin() as unit:
            room_id = self._context.authority.admin_room_id
            key = f"policy {what} {room}"
            if await meta.get(unit.tx, key) is None:
                await meta.put(unit.tx, key, str(unit.now))
                await unit.messages.post(room_id, Template.ALERT_SAID, key, what=what, user=room, number=number)
