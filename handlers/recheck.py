"""Whether an account still is what somebody decided on: when they confirm, and again before the first step."""

from __future__ import annotations

from engine.failures import Problem
from engine.unit_of_work import UnitOfWork
from handlers.authority import AdminRoom
from handlers.context import Context
from handlers.roles import command_of
from handlers.yes_no import NO, normalise
from removal.facts import Facts, changed_meanwhile
from removal.incoming import Incoming
from removal.lifecycle import Cancelled, ConfirmationWithdrawn, Declined, Event, TargetChanged
from removal.plan import Kind, Options
from removal.protection import Refusal, refuse_account, refuse_name, refuse_own
from removal.request import ACTING, Failure, Request, State
from storage import outbox, requests
from texts import Template, own_reason

DEPARTURE_MS = 30_000
"""How long a person's own removal waits at its beginning until the notice of it is sent."""


def offered_to(context: Context) -> tuple[str, ...]:
    """Who may use self-service, as globs; nobody where it's switched off."""
    settings = context.settings.self_service
    return settings.allowed_users if settings.enabled else ()


async def refusal_of_own(context: Context, user_id: str, facts: Facts | None, *, erase: bool) -> Refusal | None:
    """Why a person can't have their own account removed, or None where they can.

    Raises:
        HomeserverError: the admin room's state can't be read.
    """
    around = context.authority.surroundings(await context.authority.admin_room())
    return refuse_own(user_id, around, offered_to(context)) or refuse_account(facts, Options(erase=erase), own=True)


async def settle_if_changed(
    context: Context, request: Request, event: Incoming | None = None, *, room: AdminRoom | None = None
) -> bool:
    """Whether something stands in the way by now, or the account isn't what was shown.

    Then the request has been ended, and people told; moderators are asked anew where that makes sense.

    Args:
        event: what is handled by this, where it settles the matter.
        room: the admin room, where it was read already.

    Raises:
        HomeserverError: it can't be told.
    """
    facts = await context.authority.facts(request.target_id, count_for=0)
    changed = changed_meanwhile(request.facts, facts) if facts else ()
    refusal: Refusal | None
    if request.kind is Kind.OWN:
        refusal = await refusal_of_own(context, request.target_id, facts, erase=request.options.erase)
    else:
        around = context.authority.surroundings(room or await context.authority.admin_room())
        refusal = refuse_name(request.target_id, request.requester_id, around)
        refusal = refusal or refuse_account(facts, request.options)
    if refusal is None and not changed:
        return False
    async with context.units.begin(event) as unit:
        request = await unit.request(request.id)
        if refusal is not None:
            await unit.apply(request, Cancelled(context.bot_id, own_reason(refusal)))
            return True
        decision = await unit.apply(request, TargetChanged(changed))
        if request.kind is Kind.MODERATION and facts is not None and not decision.refusal:
            await ask_again(unit, request, facts)
    return True


async def ask_again(unit: UnitOfWork, request: Request, facts: Facts) -> Request:
    """A new prompt with what is true now, in place of one whose account changed."""
    return await unit.open(
        Request(
            id=0,
            kind=request.kind,
            requester_id=request.requester_id,
            target_id=request.target_id,
            room_id=request.room_id,
            command_event_id=request.command_event_id,
            thread_root=request.thread_root,
            created_ts=unit.now,
            expires_ts=unit.now + request.rules.expires_after_ms,
            state=State.AWAITING_CONFIRMATION,
            options=request.options,
            rules=request.rules,
            facts=facts,
            reason=request.reason,
            questions=request.questions,
            at_ts=request.at_ts,
        )
    )


class Recheck:
    """The last look before anything is changed: is the ✅ still there, does nobody object, is the account the same?"""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __call__(self, request: Request) -> bool:
        """Whether the removal may begin. Where it may not, the request has been brought to where it belongs.

        Raises:
            HomeserverError: it can't be told; then nothing may be done.
            Problem: not yet.
        """
        if request.kind is Kind.OWN:
            await self._departure_sent(request)
            settled = await settle_if_changed(self._context, request)
        else:
            room = await self._context.authority.admin_room()
            settled = await self._settle_if_withdrawn(request, room)
            settled = settled or await settle_if_changed(self._context, request, room=room)
        if not settled:
            await self._alone_at_work(request)
        return not settled

    async def _settle_if_withdrawn(self, request: Request, room: AdminRoom) -> bool:
        """Whether the confirmation doesn't stand any more; the request has been brought to where it belongs then."""
        withdrawn: Event | None = await self._withdrawn(request, room)
        gone = request.confirmer_id is not None and not room.may(request.confirmer_id, command_of(request))
        if withdrawn is None and not gone:
            return False
        async with self._context.units.begin() as unit:
            # Weeks may pass between the confirmation and the date: a person who lost the right meanwhile doesn't count.
            decided = withdrawn or Cancelled(self._context.bot_id, own_reason(Template.CONFIRMER_GONE))
            await unit.apply(await unit.request(request.id), decided)
        return True

    async def _alone_at_work(self, request: Request) -> None:
        """Makes sure that no other request is half way through with this account: this one would take a suspension by
        that one for somebody else's, and leave it; or that one would lift the suspension that this one needs.

        Raises:
            Problem: there is one.
        """
        async with self._context.units.database.transaction() as tx:
            others = await requests.open_for(tx, request.target_id)
        for other in others:
            if other.id != request.id and other.state in ACTING and other.touched and request.state is State.RUNNING:
                raise Problem(Failure.PASSING, f"{other.reference} for the same account is under way")

    async def _departure_sent(self, request: Request) -> None:
        """Waits until the person was told that it begins: afterwards they couldn't read it any more.

        Raises:
            Problem: it isn't sent yet.
        """
        seen = -1
        deadline = self._context.units.clock() + DEPARTURE_MS
        while True:
            async with self._context.units.database.transaction() as tx:
                if not await outbox.is_waiting(tx, request.id, "departure."):
                    return
            if self._context.units.clock() > deadline:
                raise Problem(Failure.PASSING, "the notice to the person isn't sent yet")
            seen = await self._context.units.wait_for_change(seen, 1.0, "outbox")

    async def _withdrawn(self, request: Request, room: AdminRoom) -> ConfirmationWithdrawn | Declined | None:
        if request.rules.by_reply or request.confirmation_event_id is None:
            return None
        async with self._context.units.begin() as unit:
            card = await unit.messages.card_event_id(request)
        standing = await self._context.authority.reactions(request.room_id, card) if card else []
        for sender, key, _ in standing:
            if normalise(key) in NO and room.may(sender, command_of(request), "cancel"):
                return Declined(sender)
        if request.confirmation_event_id in {event_id for _, _, event_id in standing}:
            return None
        return ConfirmationWithdrawn(request.confirmer_id or "")
