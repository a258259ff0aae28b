"""`!deactivate` in a direct message: a person asks for the removal of their own account."""

from __future__ import annotations

from handlers.command import Parsed
from handlers.context import Context, DirectCommand
from handlers.recheck import refusal_of_own
from removal.audit_action import AuditAction
from removal.facts import Facts
from removal.plan import Kind, Media, Options
from removal.protection import Refusal
from removal.request import Question, Request, Rules, State
from storage import requests
from texts import Template

DAY_MS = 86_400_000
ANSWER_WITHIN_MS = 3_600_000
"""How long a person may take for each answer. Nobody is in a hurry here."""


async def deactivate(context: Context, asked: DirectCommand) -> None:
    """Asks what wasn't said, or shows at once what would happen."""
    async with context.units.database.transaction() as tx:
        own = [r for r in await requests.open_for(tx, asked.by) if r.kind is Kind.OWN]
        today = await requests.of_requester(tx, asked.by, context.units.clock() - DAY_MS, Kind.OWN)
    if own:
        async with context.units.begin(asked.event) as unit:
            await unit.messages.show_again(await unit.request(own[0].id), asked.event)
        return
    options, questions = _wanted(context, asked.parsed)
    facts = await context.authority.facts(asked.by)
    refusal = await refusal_of_own(context, asked.by, facts, erase=options.erase)
    if refusal is None and len(today) >= context.settings.self_service.requests_per_day:
        refusal = Refusal.TOO_MANY
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
    async with context.units.begin(asked.event) as unit:
        await unit.open(_request(context, asked, options, questions, facts), trust=asked.event.trust.value)


def _wanted(context: Context, parsed: Parsed) -> tuple[Options, tuple[Question, ...]]:
    """What the command says, and what it leaves open."""
    questions = []
    if not parsed.flag("--erase") and not parsed.flag("--no-erase"):
        questions.append(Question.ERASE)
    if not parsed.flag("--media") and not parsed.flag("--keep-media"):
        questions.append(Question.MEDIA)
    options = Options(
        erase=parsed.flag("--erase"),
        redact=parsed.flag("--redact"),
        media=Media.DELETE if parsed.flag("--media") else Media.KEEP,
        forget_sso=context.settings.self_service.remove_sso_links,
        clear_marks=context.settings.removal.clear_lock_and_shadow_ban,
    )
    return options, tuple(questions)


def _request(
    context: Context, asked: DirectCommand, options: Options, questions: tuple[Question, ...], facts: Facts
) -> Request:
    now, settings = context.units.clock(), context.settings.self_service
    return Request(
        id=0,
        kind=Kind.OWN,
        requester_id=asked.by,
        target_id=asked.by,
        room_id=asked.event.room_id,
        command_event_id=asked.event.event_id,
        thread_root=asked.event.thread_root,
        created_ts=now,
        expires_ts=now + ANSWER_WITHIN_MS,
        state=State.ASKING if questions else State.AWAITING_CONFIRMATION,
        questions=questions,
        options=options,
        rules=Rules(
            expires_after_ms=ANSWER_WITHIN_MS,
            by_reply=context.settings.confirmation.method == "reply" and asked.encrypted,
            needs_matrix_id=settings.confirm_by_matrix_id,
            needs_approval=settings.approval == "moderator",
            wait_for_reminder=settings.wait_for_reminder,
            grace_ms=int(settings.grace_period.total_seconds() * 1000),
        ),
        facts=facts,
    )
