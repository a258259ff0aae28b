"""A moderator's decision about a person's own removal, where the settings ask for one."""

from __future__ import annotations

from engine.unit_of_work import UnitOfWork
from handlers import second_factor
from handlers.context import Context, ModeratorCommand
from handlers.decide import decide_for
from handlers.recheck import settle_if_changed
from removal.incoming import Incoming
from removal.lifecycle import ApprovalRefused, Approved, decide
from removal.plan import Kind
from removal.request import Request, State
from storage import requests
from texts import Template

ASKED = "approval."
"""What the purpose of a message begins with that asks for a moderator's approval."""


async def reacted(context: Context, event: Incoming, request: Request, *, yes: bool) -> None:
    """Handles ✅ or ❌ by a moderator under such a message. A ❌ alone isn't enough: a reason must be given."""
    if yes and await _over(context, request, event):
        return
    if yes and await _needs_code(context, event, request):
        return
    async with context.units.begin(event) as unit:
        request = await unit.request(request.id)
        if yes:
            await approve_now(unit, event, request)
        else:
            await unit.messages.reply(event, Template.REFUSE_HOW, r=request)


async def approve(context: Context, asked: ModeratorCommand) -> None:
    """`!approve R7`."""
    async with context.units.database.transaction() as tx:
        named = await requests.get(tx, asked.parsed.reference("reference"))
    if named is not None and named.kind is Kind.OWN and await _over(context, named, asked.event):
        return
    if named is not None and named.kind is Kind.OWN and await _needs_code(context, asked.event, named):
        return
    async with context.units.begin(asked.event) as unit:
        request = await _named(unit, asked)
        if request is not None:
            await approve_now(unit, asked.event, request)


async def refuse(context: Context, asked: ModeratorCommand) -> None:
    """`!refuse R7 --reason …`."""
    reason = asked.parsed.text("--reason")
    async with context.units.begin(asked.event) as unit:
        request = await _named(unit, asked)
        if request is None:
            return
        if not reason:
            await unit.messages.reply(asked.event, Template.REFUSE_HOW, r=request)
            return
        if await decide_for(unit, asked.event, request, ApprovalRefused(asked.by, reason)):
            await unit.messages.reply(asked.event, Template.APPROVAL_GIVEN, r=request, done="refused")


async def _over(context: Context, request: Request, event: Incoming) -> bool:
    """Whether the account can't be removed any more, such as one that was suspended meanwhile. Both sides were told
    then. Raises: HomeserverError."""
    waits = request.state is State.AWAITING_APPROVAL
    return waits and await settle_if_changed(context, request, event)


async def _needs_code(context: Context, event: Incoming, request: Request) -> bool:
    """Whether a code is asked for first, where the approval would count."""
    if decide(request, Approved(event.sender), context.units.clock()).refusal:
        return False
    return await second_factor.ask(context, event, f"approve {request.reference}", request.target_id)


async def approve_now(unit: UnitOfWork, event: Incoming, request: Request) -> None:
    if await decide_for(unit, event, request, Approved(event.sender)):
        await unit.messages.reply(event, Template.APPROVAL_GIVEN, r=request, done="approved")


async def _named(unit: UnitOfWork, asked: ModeratorCommand) -> Request | None:
    request = await requests.get(unit.tx, asked.parsed.reference("reference"))
    if request is None or request.kind is not Kind.OWN:
        await unit.messages.reply(asked.event, Template.UNKNOWN_REFERENCE, typed=asked.parsed.typed("reference"))
        return None
    return request
