"""`!deactivate` in a direct message: a person asks for the removal of their own account."""

from __future__ import annotations

from handlers.command import Parsed
from handlers.context import Context, DirectCommand
from handlers.direct import opening
from removal.audit_action import AuditAction
from removal.protection import Refusal
from removal.request import Question
from texts import Template


async def deactivate(context: Context, asked: DirectCommand) -> None:
    """Asks what wasn't said, or shows at once what would happen."""
    async with context.units.database.transaction() as tx:
        own = await opening.open_request(tx, asked.by)
    if own is not None:
        async with context.units.begin(asked.event) as unit:
            await unit.messages.show_again(await unit.request(own.id), asked.event)
        return
    questions = _left_open(asked.parsed)
    chosen = opening.options(
        context,
        erase=asked.parsed.flag("--erase"),
        redact=asked.parsed.flag("--redact"),
        delete_media=asked.parsed.flag("--media"),
    )
    facts = await context.authority.facts(asked.by)
    refusal = await opening.refusal_to_open(context, asked.by, facts, erase=chosen.erase)
    if refusal is not None or facts is None:
        async with context.units.begin(asked.event) as unit:
            await unit.messages.reply(
                asked.event, Template.REFUSAL, refusal=refusal or Refusal.UNKNOWN, user=asked.by,
                server=context.server_name, similar=[], limit=context.settings.self_service.requests_per_day,
            )  # fmt: skip
            await unit.audit(AuditAction.REFUSED, actor=asked.by, target=asked.by, because=str(refusal))
        return
    if not facts.media:
        questions = tuple(q for q in questions if q is not Question.MEDIA)
    request = opening.new_request(
        context,
        asked.by,
        chosen,
        facts,
        room_id=asked.event.room_id,
        command_event_id=asked.event.event_id,
        thread_root=asked.event.thread_root,
        questions=questions,
        by_reply=context.settings.confirmation.in_writing(encrypted=asked.encrypted),
    )
    async with context.units.begin(asked.event) as unit:
        await unit.open(request, trust=asked.event.trust.value)


def _left_open(parsed: Parsed) -> tuple[Question, ...]:
    """What the command doesn't say, and has to be asked."""
    questions = []
    if not parsed.flag("--erase") and not parsed.flag("--no-erase"):
        questions.append(Question.ERASE)
    if not parsed.flag("--media") and not parsed.flag("--keep-media"):
        questions.append(Question.MEDIA)
    return tuple(questions)
