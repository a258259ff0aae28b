"""Answers to a prompt (✅ and ❌, or `yes R7`): what must still be true when they count, and before the first step."""

from __future__ import annotations

from dataclasses import replace

from engine.failures import Problem
from engine.unit_of_work import Entry
from handlers.admin_room import approval
from handlers.admin_room.deactivate import HOUR_MS, ask_again
from handlers.admin_room.moderators import ModeratorIdentities
from handlers.authority import AdminRoom
from handlers.context import Context
from handlers.direct import rules as own_rules
from handlers.yes_no import NO, YES, annotation, normalise
from removal.facts import changed_meanwhile
from removal.incoming import Incoming
from removal.lifecycle import Cancelled, ConfirmationWithdrawn, Confirmed, Declined, Event, TargetChanged, decide
from removal.plan import Kind
from removal.protection import refuse_account, refuse_name
from removal.request import ACTING, UNCONFIRMED, WAITING, Failure, Request, State
from storage import outbox, requests

DEPARTURE_MS = 30_000
"""How long a person's own removal waits at its beginning until the notice of it is sent."""


async def reacted(context: Context, event: Incoming, identities: ModeratorIdentities) -> bool:
    """A reaction in the admin room. False where it can't be told yet what it stands under. Raises: HomeserverError."""
    found = annotation(event)
    if found is None or found[1] not in YES | NO:
        return await context.done(event)
    target_event_id, key = found
    async with context.ledger.entry() as entry:
        sent = await outbox.sent_as(entry.tx, target_event_id)
        early = sent is None and await outbox.request_waiting_in(entry.tx, event.room_id)
        request = await requests.get(entry.tx, sent[0]) if sent and sent[0] is not None else None
    if not early and (request is None or sent is None or sent[2] != event.room_id):
        return await context.done(event)
    room = await context.authority.admin_room()
    if not room.is_moderator(event.sender):
        return await context.done(event)
    if request is None or sent is None:
        return False  # perhaps it stands under a message whose event_id we haven't heard yet
    asks_approval = request.kind is Kind.OWN and sent[1].startswith(approval.ASKED)
    if not asks_approval and (request.kind is not Kind.MODERATION or sent[1] != "card"):
        return await context.done(event)
    if not await _counts(context, event, request, room, identities):
        return True
    if asks_approval:
        await approval.reacted(context, event, request, yes=key in YES)
    else:
        await _decide(context, event, request, room, yes=key in YES)
    return True


async def _counts(
    context: Context, event: Incoming, request: Request, room: AdminRoom, identities: ModeratorIdentities
) -> bool:
    """Whether a moderator's reaction counts here at all; where it doesn't, that has been said."""
    approving = request.kind is Kind.OWN
    by_reply = request.rules.by_reply
    if approving:
        by_reply = context.settings.confirmation.method == "reply" and room.state.encrypted
    if by_reply:
        async with context.ledger.entry(event) as entry:
            if request.state in UNCONFIRMED | WAITING:
                once_per = f"{request.id} {request.state} {event.sender}"
                await entry.reply(event, "answer_in_writing", once_per=once_per, r=request, approval=approving)
                await entry.audit("ReactionRefused", request, actor=event.sender, because="by_reply")
        return False
    what = await identities.refusal(event)
    if what is not None:
        async with context.ledger.entry(event) as entry:
            await entry.reply(event, "identity", what=what, user=event.sender, key="", required=True)
            await entry.audit("ReactionRefused", request, actor=event.sender, because="identity", detail=what)
    return what is None


async def answered(context: Context, event: Incoming, room: AdminRoom, request: Request, yes: bool) -> None:
    """`yes R7` or `no R7` by a moderator, encrypted, where the prompt asks for that. Raises: HomeserverError."""
    await _decide(context, event, request, room, yes=yes)


async def _decide(context: Context, event: Incoming, request: Request, room: AdminRoom, *, yes: bool) -> None:
    decided: Event = Declined(event.sender)
    if yes:
        decided = Confirmed(event.sender, event.origin_server_ts, event.event_id, event.trust.value)
        counts = not decide(request, decided, context.ledger.clock()).refusal
        if counts and await settle_if_changed(context, request, room, event):
            return
    await decide_and_answer(context, event, request, decided)


async def decide_and_answer(context: Context, event: Incoming, request: Request, decided: Event) -> None:
    """Applies a person's decision; where it changes nothing, says so in one clear word, or not at all."""
    async with context.ledger.entry(event) as entry:
        request = await entry.request(request.id)
        if isinstance(decided, Confirmed):
            request = await _hold_to_cap(context, entry, request, event.sender)
        decision = await entry.apply(request, decided, actor=event.sender)
        # A second ✅ does nothing; it needs no comment either. Whoever writes is answered.
        late = isinstance(decided, Confirmed) and request.state not in UNCONFIRMED | {State.EXPIRED}
        if decision.refusal and not (late and event.type == "m.reaction"):
            await entry.not_changed(event, request, decision.refusal)


async def _hold_to_cap(context: Context, entry: Entry, request: Request, by: str) -> Request:
    """Looks at the cap per hour once more: who opens many prompts first and answers them later reaches it too."""
    if request.state is not State.AWAITING_CONFIRMATION or request.kind is not Kind.MODERATION:
        return request
    if by != request.requester_id or request.rules.needs_other:
        return request
    lately = await requests.confirmed_since(entry.tx, by, entry.now - HOUR_MS)
    if lately < context.settings.moderators.max_removals_per_hour:
        return request
    request = await requests.save(entry.tx, replace(request, rules=replace(request.rules, needs_other=True)))
    await entry.show_card(request)
    return request


async def settle_if_changed(context: Context, request: Request, room: AdminRoom, event: Incoming | None = None) -> bool:
    """Whether the account isn't any more what the prompt showed. Then people are told, and asked anew where it makes
    sense.

    Raises:
        HomeserverError: it can't be told.
    """
    facts = await context.authority.facts(request.target_id, count_for=0)
    changed = changed_meanwhile(request.facts, facts) if facts else ()
    around = context.authority.surroundings(room)
    refusal = refuse_name(request.target_id, request.requester_id, around) or refuse_account(
        facts, erase=request.options.erase
    )
    if not changed and refusal is None:
        return False
    async with context.ledger.entry(event) as entry:
        request = await entry.request(request.id)
        if refusal is not None:
            why = entry.words("refusal", refusal, user=request.target_id, server=context.server_name, similar=[])
            await entry.apply(request, Cancelled(context.bot_id, why))
        elif facts is not None and not (await entry.apply(request, TargetChanged(changed))).refusal:
            await ask_again(context, entry, request, facts)
    return True


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
            settled = await own_rules.settle_if_changed(self._context, request)
        else:
            room = await self._context.authority.admin_room()
            settled = await self._settle_if_withdrawn(request, room) or await settle_if_changed(
                self._context, request, room
            )
        if not settled:
            await self._alone_at_work(request)
        return not settled

    async def _settle_if_withdrawn(self, request: Request, room: AdminRoom) -> bool:
        """Whether the confirmation doesn't stand any more; the request has been brought to where it belongs then."""
        withdrawn: Event | None = await self._withdrawn(request, room)
        gone = request.confirmer_id is not None and not room.is_moderator(request.confirmer_id)
        if withdrawn is None and not gone:
            return False
        async with self._context.ledger.entry() as entry:
            # Between a date's confirmation and the date lie weeks: whoever lost the right meanwhile decides nothing.
            decided = withdrawn or Cancelled(self._context.bot_id, entry.sentence("confirmer_gone"))
            await entry.apply(await entry.request(request.id), decided)
        return True

    async def _alone_at_work(self, request: Request) -> None:
        """Makes sure that no other request is half way through with this account: this one would take a suspension by
        that one for somebody else's, and leave it; or that one would lift the suspension that this one needs.

        Raises:
            Problem: there is one.
        """
        async with self._context.ledger.database.transaction() as tx:
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
        deadline = self._context.ledger.clock() + DEPARTURE_MS
        while True:
            async with self._context.ledger.database.transaction() as tx:
                if not await outbox.is_waiting(tx, request.id, "departure."):
                    return
            if self._context.ledger.clock() > deadline:
                raise Problem(Failure.PASSING, "the notice to the person isn't sent yet")
            seen = await self._context.ledger.wait_for_change(seen, 1.0)

    async def _withdrawn(self, request: Request, room: AdminRoom) -> ConfirmationWithdrawn | Declined | None:
        if request.rules.by_reply or request.confirmation_event_id is None:
            return None
        async with self._context.ledger.entry() as entry:
            card = await entry.card_event_id(request)
        standing = await self._context.authority.reactions(request.room_id, card) if card else []
        for sender, key, _ in standing:
            if normalise(key) in NO and room.is_moderator(sender):
                return Declined(sender)
        if request.confirmation_event_id in {event_id for _, _, event_id in standing}:
            return None
        return ConfirmationWithdrawn(request.confirmer_id or "")
