"""`!audit` in the admin room: what was asked, decided and done, by whom."""

from __future__ import annotations

from handlers.context import Context, ModeratorCommand
from handlers.upload import upload, uri_of
from removal.audit_action import AuditAction
from storage import audit, uploads
from storage.audit_export import FORMATS, export
from texts import Template

SHOWN = 30
EXPORTED = 100_000
"""Rows in one exported file at most; `bot.py audit export` gives all of them."""


async def search(context: Context, asked: ModeratorCommand) -> None:
    """Shows the newest rows that fit, or sends them as a file."""
    wanted = (asked.parsed.text("--export") or "").lower()
    if wanted and wanted not in FORMATS:
        async with context.units.begin(asked.event) as unit:
            await unit.messages.reply(asked.event, Template.BAD_OPTION, problem="format", successor=wanted, at_ts=None)
        return
    async with context.units.database.transaction() as tx:
        since = asked.parsed.duration("--since")
        user = asked.parsed.optional_user("user")
        limit = EXPORTED if wanted else SHOWN + 1
        rows = await audit.find(
            tx,
            user_id=str(user) if user else None,
            request_id=asked.parsed.reference("--request") if "--request" in asked.parsed.values else None,
            since_ts=None if since is None else context.units.clock() - int(since.total_seconds() * 1000),
            limit=limit,
        )
    if not wanted:
        async with context.units.begin(asked.event) as unit:
            await unit.messages.reply(asked.event, Template.AUDIT, rows=rows[:SHOWN], more=len(rows) > SHOWN)
            await unit.audit(AuditAction.LOOKED, actor=asked.by, target=str(user) if user else None, command="audit")
        return
    data = export(reversed(rows), wanted).encode()
    name = f"audit.{wanted}"
    kind = "text/csv" if wanted == "csv" else "application/x-ndjson"
    content = await upload(context, context.bot_id, data, name, kind, encrypted=asked.room.state.encrypted)
    async with context.units.begin(asked.event) as unit:
        await uploads.sent(unit.tx, uri_of(content), unit.now, None)
        await unit.messages.reply_file(asked.event, content)
        await unit.audit(AuditAction.AUDIT_EXPORTED, actor=asked.by, rows=len(rows))
