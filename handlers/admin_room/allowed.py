"""Whether a moderator may give this answer, by their roles; where not, that is said."""

from __future__ import annotations

from handlers.authority import AdminRoom
from handlers.context import Context
from handlers.yes_no import annotation
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from texts import Template


async def allowed(context: Context, event: Incoming, room: AdminRoom, *commands: str) -> bool:
    """Whether the sender may use one of these commands.

    Args:
        event: what they said or reacted; it is handled by the answer, where they may not.
        commands: the one that the answer stands for, and others that would do as well.
    """
    if room.may(event.sender, *commands):
        return True
    relation = annotation(event)
    once_per = None if relation is None else f"{relation[0]} {event.sender}"
    async with context.units.begin(event) as unit:
        await unit.messages.reply(event, Template.NOT_YOURS, once_per=once_per, what=commands[0])
        await unit.audit(AuditAction.REACTION_REFUSED, actor=event.sender, because="role", command=commands[0])
    return False
