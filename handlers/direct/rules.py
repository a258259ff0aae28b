"""What must hold for a person's own removal: when it's asked for, when it's confirmed, and before anything is done."""

from __future__ import annotations

from handlers.context import Context
from homeserver.client.rooms import RoomState
from removal.facts import Facts, changed_meanwhile
from removal.incoming import Incoming
from removal.lifecycle import Cancelled, TargetChanged
from removal.protection import Refusal, refuse_account, refuse_own
from removal.request import Request


def alone_together(state: RoomState, bot_id: str, user_id: str) -> bool:
    """Whether a room holds exactly the bot and this person, invitations counted."""
    return state.joined() | state.invited() == {bot_id, user_id}


async def refusal_of(context: Context, user_id: str, facts: Facts | None, *, erase: bool) -> Refusal | None:
    """Why a person can't have their own account removed, or None where they can.

    Raises:
        HomeserverError: the admin room's state can't be read.
    """
    room = await context.authority.admin_room()
    around = context.authority.surroundings(room)
    return refuse_own(user_id, around, offered_to(context)) or refuse_account(facts, erase=erase, own=True)


def offered_to(context: Context) -> tuple[str, ...]:
    """Who may use self-service, as globs; nobody where it's switched off."""
    settings = context.settings.self_service
    return settings.allowed_users if settings.enabled else ()


async def settle_if_changed(context: Context, request: Request, event: Incoming | None = None) -> bool:
    """Whether something stands in the way by now, or the account isn't what the person was shown. Then the request has
    been ended, and the person told.

    Raises:
        HomeserverError: it can't be told.
    """
    facts = await context.authority.facts(request.target_id, count_for=0)
    refusal = await refusal_of(context, request.target_id, facts, erase=request.options.erase)
    changed = changed_meanwhile(request.facts, facts) if facts else ()
    if refusal is None and not changed:
        return False
    async with context.ledger.entry(event) as entry:
        request = await entry.request(request.id)
        if refusal is None:
            await entry.apply(request, TargetChanged(changed))
        else:
            values = {"user": request.target_id, "server": context.server_name, "similar": [], "limit": 0}
            await entry.apply(request, Cancelled(context.bot_id, entry.words("refusal", refusal, **values)))
    return True
