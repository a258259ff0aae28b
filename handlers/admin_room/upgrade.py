"""The admin room was upgraded: the bot follows, but only where both ends say that it is the same room.

A tombstone alone proves nothing, and neither does an invitation: the old room must point to the new one, the new one
must name the old one as its predecessor, and whoever invited the bot must be moderator in the old room. Nothing of
this is remembered: each look reads it all from the homeserver, so it doesn't matter what comes first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitOfWork
from handlers.admin_room.watch import Watch
from handlers.admin_room.wave_move import move_waves
from handlers.authority import AdminRoom
from handlers.context import Context
from homeserver.client.api import BadToken, Forbidden, Refused
from homeserver.client.rooms import RoomState
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from removal.lifecycle import Cancelled, Notice
from removal.plan import Kind
from removal.request import UNCONFIRMED, State
from storage import conversations, meta, requests
from texts import Template

log = logging.getLogger(__name__)

JOINING = "upgrade.joining"
"""In `meta`: the room whose invitation is being accepted, and whose invitation that is, so that a crash between joining
and pinning is made good."""
SAID = "upgrade.said"
"""In `meta`: what was said last of an upgrade that wasn't followed."""


class Client(Protocol):
    """What is needed of the Matrix client."""

    async def join(self, room_id: str) -> None: ...


class Upgrade:
    """Follows the admin room to its successor."""

    def __init__(self, context: Context, client: Client, watch: Watch) -> None:
        self._context = context
        self._client = client
        self._watch = watch
        self._lock = asyncio.Lock()

    async def invited(self, event: Incoming) -> bool:
        """Whether an invitation was that to the admin room's successor, and was accepted. Raises: HomeserverError."""
        try:
            room = await self._context.authority.admin_room()
        except Forbidden:
            return False  # not in the admin room: nothing leads on from there
        return room.state.replacement == event.room_id and await self.look()

    async def look(self) -> bool:
        """Follows where it may; where it may not, says why in the old room, once.

        Returns:
            Whether the bot obeys another room now.

        Raises:
            HomeserverError: it can't be told, or joining failed; looking again is safe.
        """
        async with self._lock:
            try:
                room = await self._context.authority.admin_room()
            except Forbidden:
                return False
            successor = room.state.replacement
            if successor is None or successor == room.room_id:
                return False
            inviter, problem = await self._may_follow(room, successor)
            if problem:
                await self._stay(room, successor, problem, inviter)
                return False
            await self._follow(room, successor, inviter)
        await self._watch.look()
        return True

    async def _may_follow(self, room: AdminRoom, successor: str) -> tuple[str, str]:
        """Who invited the bot to the successor, and what stands in the way, where something does."""
        try:
            events = await self._context.authority.state_before_joining(successor)
        except Refused as error:
            if isinstance(error, Forbidden | BadToken):
                raise
            return "", "unknown"  # a tombstone may name any room id
        if RoomState.from_events(events).predecessor != room.room_id:
            return "", "not_successor"
        membership, inviter = _membership(events, self._context.bot_id)
        if membership == "join":
            inviter = await self._who_brought_us(successor)
        if membership not in ("join", "invite") or not inviter:
            return "", "not_invited"
        return inviter, "" if room.unlimited(inviter) else "not_by_moderator"

    async def _who_brought_us(self, successor: str) -> str:
        """Who invited the bot to a room that it is in; empty where that isn't known."""
        async with self._context.units.database.transaction() as tx:
            joining = (await meta.get(tx, JOINING) or "").rpartition(" ")
            if joining[0] == successor:
                return joining[2]
            # An invitation that came before the old room was closed looked like one to a direct message.
            return await conversations.with_whom(tx, successor) or ""

    async def _stay(self, room: AdminRoom, successor: str, problem: str, inviter: str) -> None:
        async with self._context.units.begin() as unit:
            said = f"{successor} {problem} {inviter}"
            if await meta.get(unit.tx, SAID) == said:
                return
            await meta.put(unit.tx, SAID, said)
            log.warning("not following the admin room %s to %s: %s", room.room_id, successor, problem)
            values: dict[str, Any] = {"what": problem, "old": room.room_id, "new": successor, "inviter": inviter}
            await unit.messages.post(room.room_id, Template.UPGRADE, f"upgrade {said} {unit.now}", **values)
            await unit.audit(AuditAction.UPGRADE_NOT_FOLLOWED, actor=inviter or None, room=successor, because=problem)

    async def _follow(self, room: AdminRoom, successor: str, inviter: str) -> None:
        async with self._context.units.begin() as unit:
            await meta.put(unit.tx, JOINING, f"{successor} {inviter}")
        await self._client.join(successor)
        async with self._context.units.begin() as unit:
            await meta.put(unit.tx, meta.ADMIN_ROOM, successor)
            await meta.delete(unit.tx, JOINING)
            await conversations.close(unit.tx, successor)
            for room_id, what in ((room.room_id, "left_behind"), (successor, "followed")):
                values: dict[str, Any] = {"what": what, "old": room.room_id, "new": successor, "inviter": inviter}
                await unit.messages.post(room_id, Template.UPGRADE, f"upgrade {what} {successor}", **values)
            await unit.audit(AuditAction.ADMIN_ROOM_FOLLOWED, actor=inviter, room=successor, old=room.room_id)
            await self._settle_prompts(unit, successor)
        self._context.authority.admin_room_now.room_id = successor
        log.warning("the admin room was upgraded: it is now %s, and was %s", successor, room.room_id)

    async def _settle_prompts(self, unit: UnitOfWork, successor: str) -> None:
        """Nobody is heard any more who answers a prompt in the old room. What nobody has confirmed ends, which is said
        in the new room; whether a person's own removal is approved is asked there again.
        """
        unit.messages.admin_room = CurrentAdminRoom(successor)
        because = unit.messages.sentence(Template.PROMPT_LEFT_BEHIND)
        for state in sorted(UNCONFIRMED):
            for request in await requests.in_state(unit.tx, state):
                if request.kind is Kind.MODERATION:
                    await unit.apply(request, Cancelled(self._context.bot_id, because))
        await move_waves(unit, successor, self._context.bot_id, because)
        for request in await requests.in_state(unit.tx, State.AWAITING_APPROVAL):
            # Saved anew, so that this is another message than a reminder that was sent before.
            await unit.messages.announce(await requests.save(unit.tx, request), Notice.APPROVAL_REMINDER)


def _membership(events: Iterable[Mapping[str, Any]], user_id: str) -> tuple[str, str]:
    """A user's membership in a room's state, and who set it."""
    for event in events:
        if event.get("type") == "m.room.member" and event.get("state_key") == user_id:
            content = event.get("content")
            membership = content.get("membership") if isinstance(content, Mapping) else None
            return str(membership), str(event.get("sender"))
    return "leave", ""
