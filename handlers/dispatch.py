"""Takes events from the inbox to the handlers of their room, and is the error boundary around all of them.

Events of one room are handled one after the other, rooms concurrently and in turn, so that a busy room doesn't delay
the others. An event is done once a handler's unit of work is committed; where the homeserver can't be asked, it stays
and is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets

from engine.about import about
from engine.receiver import INVITE
from handlers.admin_room.gate import AdminRoomGate
from handlers.admin_room.policy_watch import PolicyWatch
from handlers.context import Context
from handlers.direct.gate import DirectGate
from handlers.invites import Invites
from homeserver.accounts.errors import OnlyInMas, SeveralOwners
from homeserver.accounts.mas_tokens import CredentialsRefused
from homeserver.client.api import BadAnswer, BadToken, Forbidden, HomeserverError, Refused
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from storage import conversations, inbox
from texts import Template

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 8
"""So many events are handled at the same time."""
INVITES_SIDE_BY_SIDE = 2
"""So many invitations, beside them: a thousand of them keep nobody waiting who is in a room already."""
SHORTEST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds between attempts to handle an event while the homeserver can't be asked."""
ODD_ANSWERS_FOR = 300.0
"""Seconds after which answers of the homeserver that can't be read are no passing trouble: others wait behind it."""
ITS_OWN_AFTER = 60.0
"""Seconds after which a fault or silence is no passing trouble, where the homeserver answers another question."""
BEING_MADE_FOR = 10.0
"""Seconds that MAS is given to tell the homeserver of a new account."""


class Dispatcher:
    """Takes events from the inbox, in order, and sees each one handled."""

    def __init__(
        self,
        context: Context,
        admin_room: AdminRoomGate,
        direct: DirectGate,
        invites: Invites,
        policies: PolicyWatch | None = None,
    ) -> None:
        self._context = context
        self._admin_room = admin_room
        self._direct = direct
        self._invites = invites
        self._policies = policies
        self._busy: set[str] = set()
        # Whoever waits for a slot gets it in turn, and each event needs one anew.
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)
        self._invite_slots = asyncio.Semaphore(INVITES_SIDE_BY_SIDE)

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        async with asyncio.TaskGroup() as tasks:
            while True:
                async with self._context.units.database.transaction() as tx:
                    waiting = await inbox.rooms_waiting(tx)
                for room_id in waiting:
                    if room_id not in self._busy:
                        self._busy.add(room_id)
                        tasks.create_task(self._handle_room(room_id))
                # Every event handled is a change: where very many wait, not each is a reason to look for more.
                await asyncio.sleep(min(0.2, len(waiting) / 2_000))
                seen = await self._context.units.wait_for_change(seen, None, "inbox")

    async def _handle_room(self, room_id: str) -> None:
        """Handles what waits in a room; an event that can't be handled yet is tried again until it can."""
        clock = asyncio.get_running_loop().time
        wait, since = SHORTEST_WAIT, clock()
        try:
            while (event := await self._next_in(room_id)) is not None:
                slots = self._invite_slots if event.type == INVITE else self._slots
                async with slots, self._context.units.unbroken.piece():
                    handled = await self._attempt(event, waited=clock() - since)
                if handled:
                    wait, since = SHORTEST_WAIT, clock()
                    continue
                await asyncio.sleep(wait * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
                wait = min(wait * 2, LONGEST_WAIT)
        finally:
            self._busy.discard(room_id)
            self._context.units.notify("inbox")

    async def _next_in(self, room_id: str) -> Incoming | None:
        async with self._context.units.database.transaction() as tx:
            waiting = await inbox.pending(tx, 1, room_id=room_id)
        return waiting[0][1] if waiting else None

    async def _attempt(self, event: Incoming, *, waited: float) -> bool:
        """Whether the event needs no further attempt.

        Args:
            waited: seconds since the first attempt.
        """
        about("")  # the event before it may have been about another request
        try:
            return await self._handle(event)
        except HomeserverError as error:
            if not await self._passes(event, error, waited):
                return await self._incident(event, error)
            log.warning("event %s has to wait: %s", event.event_id, error)
            return False
        except Exception as error:
            return await self._incident(event, error)

    async def _passes(self, event: Incoming, error: HomeserverError, waited: float) -> bool:
        """Whether an error is worth another attempt: all that is said in the room later waits behind it."""
        if isinstance(error, Refused):
            # Without a token that works nothing works. MAS's own is needed for accounts only, and a person mends it.
            return isinstance(error, BadToken) and not isinstance(error, CredentialsRefused)
        if isinstance(error, OnlyInMas):
            return waited < BEING_MADE_FOR
        if isinstance(error, BadAnswer) and waited >= ODD_ANSWERS_FOR:
            return False
        # An invitation has nobody waiting behind it.
        if waited < ITS_OWN_AFTER or event.type == INVITE or isinstance(error, BadAnswer):
            return True
        try:
            await self._context.authority.admin_room()
        except Exception:
            return True  # it is away as a whole, or answers nothing of use
        return False

    async def _incident(self, event: Incoming, error: Exception) -> bool:
        """Says what is wrong where that is known, else a reference; logs it, and marks the event as handled: it would
        fail again."""
        incident, why = f"E-{secrets.token_hex(3).upper()}", _known(error)
        if why:
            log.error("%s: event %s in %s: %s", incident, event.event_id, event.room_id, error)
        else:
            log.error("%s: event %s in %s", incident, event.event_id, event.room_id, exc_info=error)
        told = {"incident": incident, "why": why, "user": getattr(error, "user_id", "")}
        async with self._context.units.begin(event) as unit:
            if event.type == "m.room.message" and not isinstance(error, Forbidden):
                await unit.messages.reply(event, Template.ERROR, **told)
            elif event.type == "m.reaction" and not isinstance(error, Forbidden):
                await unit.messages.post(event.room_id, Template.ERROR, event.event_id, about=event, **told)
            await unit.audit(AuditAction.INCIDENT, actor=event.sender, incident=incident, because=why)
        return True

    async def _handle(self, event: Incoming) -> bool:
        """Hands the event to the handlers of its room; events of other rooms are dropped."""
        if event.type == INVITE:
            return await self._invites.answer(event)
        if event.sender != self._context.bot_id or event.state_key is not None:
            if event.room_id == self._context.authority.admin_room_id:
                return await self._admin_room.heard(event)
            async with self._context.units.database.transaction() as tx:
                user_id = await conversations.with_whom(tx, event.room_id)
            if user_id is not None:
                return await self._direct.heard(event, user_id)
        if self._policies is not None and event.state_key is not None:
            self._policies.heard(event.room_id, event.type, event.state_key)
        async with self._context.units.begin(event):
            return True


def _known(error: Exception) -> str:
    """The words in `texts/` (group `trouble`) for an error that people should understand; empty for all others."""
    if isinstance(error, CredentialsRefused):
        return "mas_refuses"
    if isinstance(error, OnlyInMas):
        return "only_in_mas"
    if isinstance(error, SeveralOwners):
        return "several_owners"
    return "" if isinstance(error, Refused | BadAnswer) or not isinstance(error, HomeserverError) else "lasting"
