"""Cards of what moderators should look at, with the choices as reactions. By itself, nothing is ever done.

A choice is the typed command: it is read by the same parser, and passes the same gates.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from engine.messages import edit_content, message_content
from engine.unit_of_work import UnitOfWork
from handlers.admin_room.allowed import allowed
from handlers.admin_room.moderators import ModeratorIdentities
from handlers.authority import AdminRoom
from handlers.context import Context
from handlers.links import Link, LinkKind
from handlers.message import Message, Word
from handlers.yes_no import NO
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from storage import alerts
from storage.alerts import Alert
from texts import Template

PURPOSE = "alert."
INFO, SUSPEND, DISMISS = "ℹ️", "🔇", "❌"
COMMANDS = {"ℹ": "info", SUSPEND: "suspend"}
"""By a reaction's normalised key, the command that it stands for."""
KEYS = frozenset(COMMANDS)

Run = Callable[[Incoming, AdminRoom, Message], Awaitable[None]]
"""Carries out a command as if it had been typed."""


def alert_of(purpose: str) -> int | None:
    """The alert whose card a sent message with this purpose is; None for every other."""
    parts = purpose.split(".")
    return int(parts[1]) if len(parts) == 3 and f"{parts[0]}." == PURPOSE and parts[2] == "card" else None


async def show(
    context: Context, unit: UnitOfWork, kind: str, target_id: str | None, *, by_reply: bool, **values: Any
) -> Alert:
    """Shows a card in the admin room.

    Args:
        target_id: the account of this server that the choices are about, where there is one.
        by_reply: reactions change nothing in this room (`confirmation.method`): the choices are named as commands.
        values: as the template has them.
    """
    alert = await alerts.add(unit.tx, kind, target_id, unit.now)
    text = unit.messages.render(Template.ALERT, kind=kind, target=target_id, by_reply=by_reply, **values)
    room_id, key = context.authority.admin_room_id, f"alert.{alert.id}"
    await unit.messages.put(room_id, f"{PURPOSE}{alert.id}.card", message_content(text), key=key)
    for reaction in (INFO, SUSPEND, DISMISS) if target_id is not None and not by_reply else (DISMISS,):
        await unit.messages.put(
            room_id,
            f"{PURPOSE}{alert.id}.reaction.{reaction}",
            {"m.relates_to": {"rel_type": "m.annotation", "key": reaction}},
            key=f"{key}.reaction.{reaction}",
            relates_to=key,
            event_type="m.reaction",
        )
    await unit.audit(AuditAction.ALERT_SHOWN, target=target_id, kind=kind, alert=alert.id)
    return alert


async def reacted(
    context: Context, event: Incoming, alert_id: int, key: str, identities: ModeratorIdentities, run: Run
) -> bool:
    """A reaction under a card. Raises: HomeserverError."""
    async with context.units.database.transaction(only_reading=True) as tx:
        alert = await alerts.get(tx, alert_id)
    room = await context.authority.admin_room()
    command = COMMANDS.get(key, "" if key in NO else None)
    if alert is None or command is None or not room.is_moderator(event.sender):
        return await context.done(event)
    if command != "info" and not alert.open:
        return await context.done(event)
    if not await allowed(context, event, room, *((command,) if command else ("suspend", "info"))):
        return True
    if not await identities.lets_count(event):
        return True
    if not command:
        async with context.units.begin(event) as unit:
            await _close(unit, alert, room.room_id, "dismissed", event.sender)
        return True
    if alert.target_id is None:
        return await context.done(event)
    if context.settings.confirmation.in_writing(encrypted=room.state.encrypted):
        # Reactions aren't encrypted: whoever chose that answers are written wants it for these as well.
        async with context.units.begin(event) as unit:
            once_per = f"{alert.id} {event.sender}"
            await unit.messages.reply(
                event, Template.ALERT_SAID, once_per=once_per, what="in_writing", user=alert.target_id, number=0
            )
        return True
    user = await context.accounts.user(alert.target_id)
    before = user is not None and user.suspended
    await run(event, room, Message(command, (Word(alert.target_id, Link(LinkKind.USER, alert.target_id)),)))
    if command == "suspend" and not before:  # what was so before says nothing of whether this was refused
        user = await context.accounts.user(alert.target_id)
        if user is not None and user.suspended:
            async with context.units.begin() as unit:
                await _close(unit, alert, room.room_id, "suspended", event.sender)
    return True


async def _close(unit: UnitOfWork, alert: Alert, room_id: str, how: str, by: str) -> None:
    """The card says how it ended."""
    if not await alerts.close(unit.tx, alert.id):
        return
    text = unit.messages.render(Template.ALERT_CLOSED, kind=alert.kind, target=alert.target_id, how=how, by=by)
    edit = edit_content(text)
    key = f"alert.{alert.id}"
    await unit.messages.put(room_id, f"{PURPOSE}{alert.id}.edit.{how}", edit, key=f"{key}.edit.{how}", relates_to=key)
    await unit.audit(
        AuditAction.ALERT_CLOSED, actor=by, target=alert.target_id, kind=alert.kind, how=how, alert=alert.id
    )
