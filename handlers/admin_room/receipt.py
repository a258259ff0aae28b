"""`!receipt` in the admin room: everything that can be shown of one removal, as an answer and as a file."""

from __future__ import annotations

from typing import Any

from handlers.admin_room import wave_commands
from handlers.admin_room.requests import named
from handlers.context import Context, ModeratorCommand
from handlers.upload import upload, uri_of
from removal.audit_action import AuditAction
from storage import audit, uploads
from texts import Template

ROWS = 200
"""Rows of the audit in one receipt at most: far more than one removal has."""


async def receipt(context: Context, asked: ModeratorCommand) -> None:
    """Answers with the receipt, and sends it as a file that has the removal's rows of the audit, too.

    Raises:
        HomeserverError: the file couldn't be uploaded; nothing was sent.
    """
    if asked.parsed.wave("reference") is not None:
        await wave_commands.receipt(context, asked)
        return
    async with context.units.begin() as unit:
        request = await named(unit, asked)
        if request is None:
            await unit.done(asked.event)
            return
        rows = await audit.find(unit.tx, request_id=request.id, limit=ROWS)
        shown: dict[str, Any] = {
            "r": request,
            "now": unit.now,
            "server": context.server_name,
            "bot": context.bot_id,
            "head": await audit.head(unit.tx),
        }
    file = context.units.texts.render(Template.RECEIPT, rows=rows[::-1], **shown).body + "\n"
    name, encrypted = f"receipt-{request.reference}.txt", asked.room.state.encrypted
    content = await upload(context, context.bot_id, file.encode(), name, "text/plain", encrypted=encrypted)
    async with context.units.begin(asked.event) as unit:
        await uploads.sent(unit.tx, uri_of(content), unit.now, None)
        await unit.messages.reply(asked.event, Template.RECEIPT, rows=[], **shown)
        await unit.messages.reply_file(asked.event, content)
        await unit.audit(AuditAction.LOOKED, request, actor=asked.by, command="receipt")
