"""`!status`, `!cancel`, `!handover` in a direct message. There, only one's own requests exist."""

from __future__ import annotations

from engine.unit_of_work import UnitOfWork
from handlers.context import Context, DirectCommand
from handlers.decide import decide_for
from handlers.direct.opening import last_request
from homeserver.accounts.sole_admin import sole_admin_rooms
from removal.lifecycle import Cancelled, HandoverNamed
from removal.plan import Kind
from removal.request import Request
from storage import requests
from texts import Template

LOOK_SECONDS = 10.0


async def status(context: Context, asked: DirectCommand) -> None:
    """Shows where one's own request stands."""
    async with context.units.begin(asked.event) as unit:
        request = await _own(unit, asked)
        if request is not None:
            await unit.messages.show_again(request, asked.event)


async def cancel(context: Context, asked: DirectCommand) -> None:
    """Ends one's own request."""
    async with context.units.begin(asked.event) as unit:
        request = await _own(unit, asked)
        if request is None:
            return
        await decide_for(unit, asked.event, request, Cancelled(asked.by))


async def _own(unit: UnitOfWork, asked: DirectCommand) -> Request | None:
    """The request that is meant; None where there is none of this person, which has been said."""
    found: Request | None = None
    if "reference" in asked.parsed.values:
        found = await requests.get(unit.tx, asked.parsed.reference("reference"))
    else:
        found = await last_request(unit.tx, asked.by)
    if found is None or found.kind is not Kind.OWN or found.requester_id != asked.by:
        typed = asked.parsed.typed("reference")
        await unit.messages.reply(asked.event, Template.OWN_NO_REQUEST, typed=typed)
        return None
    return found


async def hand_over(context: Context, asked: DirectCommand) -> None:
    """Names who becomes admin of a room where one is the only one."""
    room = asked.parsed.text("room") or ""
    successor = str(asked.parsed.user("user"))
    room_id = await context.authority.room_id_of(room)
    problem = ""
    if room_id is None:
        problem = "no_such_room"
    elif successor == asked.by:
        problem = "yourself"
    else:
        search = await sole_admin_rooms(context.accounts, asked.by, [room_id], LOOK_SECONDS)
        if search.problem is not None:
            raise search.problem
        if not search.found:
            problem = "not_only_admin"
        elif successor not in await context.accounts.room_members(room_id):
            problem = "not_joined"
    async with context.units.begin(asked.event) as unit:
        own = [r for r in await requests.open_for(unit.tx, asked.by) if r.kind is Kind.OWN]
        if not own:
            problem = "no_request"
        if not problem and room_id is not None:
            named = HandoverNamed(room_id, successor)
            if (await unit.apply(own[0], named, actor=asked.by)).refusal:
                problem = "too_late"
        await unit.messages.reply(asked.event, Template.HANDOVER, problem=problem, room=room, successor=successor)
