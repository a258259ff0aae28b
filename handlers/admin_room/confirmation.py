"""Answers to a moderator's prompt, ✅ and ❌ or `yes R7`: who may give them, and what must still be true then."""

from __future__ import annotations

from dataclasses import replace

from engine.unit_of_work import UnitOfWork
from engine.wave_unit import card_of
from handlers import second_factor
from handlers.admin_room import alerts, approval, wave_answers
from handlers.admin_room.allowed import allowed
from handlers.admin_room.deactivate import HOUR_MS
from handlers.admin_room.moderators import ModeratorIdentities
from handlers.authority import AdminRoom
from handlers.context import Context
from handlers.recheck import settle_if_changed
from handlers.roles import command_of
from handlers.yes_no import LOOKS_LIKE_YES, NO, YES, annotation
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from removal.lifecycle import Approved, Confirmed, Declined, Event, decide
from removal.plan import Kind
from removal.request import UNCONFIRMED, WAITING, Request, State
from storage import outbox, requests
from texts import Template


async def reacted(context: Context, event: Incoming, identities: ModeratorIdentities, run: alerts.Run) -> bool:
    """A reaction in the admin room. False where it can't be told yet what it stands under. Raises: HomeserverError."""
    found = annotation(event)
    if found is None or found[1] not in YES | NO | LOOKS_LIKE_YES | wave_answers.CONTROLS | alerts.KEYS:
        return await context.done(event)
    target_event_id, key = found
    async with context.units.begin() as unit:
        sent = await outbox.sent_as(unit.tx, target_event_id)
        early = sent is None and await outbox.request_waiting_in(unit.tx, event.room_id)
        request = await requests.get(unit.tx, sent[0]) if sent and sent[0] is not None else None
    card = card_of(sent[1]) if sent and sent[2] == event.room_id else None
    if card is not None:
        return await wave_answers.reacted(context, event, card, key, identities)
    alert = alerts.alert_of(sent[1]) if sent and sent[2] == event.room_id else None
    if alert is not None:
        return await alerts.reacted(context, event, alert, key, identities, run)
    if not early and (request is None or sent is None or sent[2] != event.room_id):
        return await context.done(event)
    room = await context.authority.admin_room()
    if not room.is_moderator(event.sender):
        return await context.done(event)
    if request is None or sent is None:
        return False  # it may belong to a message of ours whose event_id we don't know yet
    asks_approval = request.kind is Kind.OWN and sent[1].startswith(approval.ASKED)
    if key in wave_answers.CONTROLS | alerts.KEYS:
        return await context.done(event)
    if not asks_approval and (request.kind is not Kind.MODERATION or sent[1] != "card"):
        return await context.done(event)
    if not await allowed(context, event, room, *_commands_for(request, yes=key not in NO, approving=asks_approval)):
        return True
    if not await _counts(context, event, request, room, identities):
        return True
    if key in LOOKS_LIKE_YES:
        meant: Event = Approved(event.sender) if asks_approval else _confirmed(event)
        await _only_mark(context, event, request, meant)
    elif asks_approval:
        await approval.reacted(context, event, request, yes=key in YES)
    else:
        await _decide(context, event, request, room, yes=key in YES)
    return True


def _commands_for(request: Request, *, yes: bool, approving: bool = False) -> tuple[str, ...]:
    """The commands that an answer to a prompt stands for; one of them is enough."""
    if approving:
        return ("approve",) if yes else ("refuse",)
    return (command_of(request),) if yes else (command_of(request), "cancel")


async def _only_mark(context: Context, event: Incoming, request: Request, meant: Event) -> None:
    """Somebody reacted with what looks like ✅: they are told once, where ✅ would do something."""
    async with context.units.begin(event) as unit:
        request = await unit.request(request.id)
        if not decide(request, meant, unit.now).refusal:
            once_per = f"{request.id} {request.state} {event.sender}"
            await unit.messages.reply(event, Template.ONLY_MARK, once_per=once_per, r=request)


def _confirmed(event: Incoming) -> Confirmed:
    return Confirmed(event.sender, event.origin_server_ts, event.event_id, event.trust.value)


async def _counts(
    context: Context, event: Incoming, request: Request, room: AdminRoom, identities: ModeratorIdentities
) -> bool:
    """Whether a moderator's reaction counts here at all; where it doesn't, that has been said."""
    approving = request.kind is Kind.OWN
    by_reply = request.rules.by_reply
    if approving:
        by_reply = context.settings.confirmation.in_writing(encrypted=room.state.encrypted)
    if by_reply:
        async with context.units.begin(event) as unit:
            if request.state in UNCONFIRMED | WAITING:
                once_per = f"{request.id} {request.state} {event.sender}"
                await unit.messages.reply(
                    event, Template.ANSWER_IN_WRITING, once_per=once_per, r=request, approval=approving
                )
                await unit.audit(AuditAction.REACTION_REFUSED, request, actor=event.sender, because="by_reply")
        return False
    return await identities.lets_count(event, request)


async def answered(context: Context, event: Incoming, room: AdminRoom, request: Request, yes: bool) -> None:
    """`yes R7` or `no R7` by a moderator, encrypted, where the prompt asks for that. Raises: HomeserverError."""
    if await allowed(context, event, room, *_commands_for(request, yes=yes)):
        await _decide(context, event, request, room, yes=yes)


async def _decide(context: Context, event: Incoming, request: Request, room: AdminRoom, *, yes: bool) -> None:
    decided: Event = Declined(event.sender)
    if yes:
        decided = _confirmed(event)
        counts = not decide(request, decided, context.units.clock()).refusal
        if counts and await settle_if_changed(context, request, event, room=room):
            return
        if counts and await second_factor.ask(context, event, f"request {request.reference}", request.target_id):
            return
    await decide_and_answer(context, event, request, decided)


async def decide_and_answer(
    context: Context, event: Incoming, request: Request, decided: Event, *, coded: bool = False
) -> None:
    """Applies a person's decision; where it changes nothing, says so in one clear word, or not at all.

    Args:
        coded: the code of a second factor was given.
    """
    async with context.units.begin(event, coded=coded) as unit:
        request = await unit.request(request.id)
        if isinstance(decided, Confirmed):
            request = await _hold_to_cap(context, unit, request, event.sender)
        decision = await unit.apply(request, decided, actor=event.sender)
        # A second ✅ does nothing; it needs no comment either. Whoever writes is answered.
        late = isinstance(decided, Confirmed) and request.state not in UNCONFIRMED | {State.EXPIRED}
        if decision.refusal and not (late and event.type == "m.reaction"):
            await unit.messages.not_changed(event, request, decision.refusal)


async def _hold_to_cap(context: Context, unit: UnitOfWork, request: Request, by: str) -> Request:
    """Looks at the cap per hour once more: who opens many prompts first and answers them later reaches it too."""
    if request.state is not State.AWAITING_CONFIRMATION or request.kind is not Kind.MODERATION:
        return request
    if by != request.requester_id or request.rules.needs_other:
        return request
    lately = await requests.confirmed_since(unit.tx, by, unit.now - HOUR_MS)
    if lately < context.settings.moderators.max_removals_per_hour:
        return request
    request = await requests.save(unit.tx, replace(request, rules=replace(request.rules, needs_other=True)))
    await unit.messages.show_card(request)
    return request
