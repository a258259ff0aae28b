"""`!status`, `!cancel`, `!handover` in a direct message. There, only one's own requests exist."""

from __future__ import annotations

from engine.unit_of_work import Entry
from handlers.context import Context, DirectCommand
from handlers.decide import decide_for
from homeserver.accounts.sole_admin import sole_admin_rooms
from removal.lifecycle import Cancelled, HandoverNamed
from removal.plan import Kind
from removal.request import OPEN, Request
from storage import requests

LOOK_SECONDS = 10.0


async def status(context: Context, asked: DirectCommand) -> None:
    """Shows where one's own request stands."""
    async with context.ledger.entry(asked.event) as entry:
        request = await _own(entry, asked)
        if request is not None:
            await entry.show_again(request, asked.event)


async def cancel(context: Context, asked: DirectCommand) -> None:
    """Ends one's own request."""
    async with context.ledger.entry(asked.event) as entry:
        request = await _own(entry, asked)
        if request is None:
            return
        await decide_for(entry, asked.event, request, Cancelled(asked.by))


async def _own(entry: Entry, asked: DirectCommand) -> Request | None:
    """The request that is meant; None where there is none of this person, which has been said."""
    found: Request | None = None
    if "reference" in asked.parsed.values:
        found = await requests.get(entry.tx, asked.parsed.reference("reference"))
    else:
        own = await requests.of_requester(entry.tx, asked.by, 0, Kind.OWN)
        found = next((request for request in own if request.state in OPEN), own[0] if own else None)
    if found is None or found.kind is not Kind.OWN or found.requester_id != asked.by:
        typed = asked.parsed.typed("reference")
        await entry.reply(asked.event, "own_no_request", typed=typed)
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
    async with context.ledger.entry(asked.event) as entry:
        own = [r for r in await requests.open_for(entry.tx, asked.by) if r.kind is Kind.OWN]
        if not own:
            problem = "no_request"
        if not problem and room_id is not None:
            named = HandoverNamed(room_id, successor)
            if (await entry.apply(own[0], named, actor=asked.by)).refusal:
                problem = "too_late"
        await entry.reply(asked.event, "handover", problem=problem, room=room, successor=successor)
