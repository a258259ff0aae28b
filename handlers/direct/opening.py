"""How a person's own request begins, in a direct message or on the page: who may, with which promises."""

from __future__ import annotations

from handlers.context import Context
from handlers.recheck import refusal_of_own
from removal.facts import Facts
from removal.plan import Kind, Media, Options
from removal.protection import Refusal
from removal.request import OPEN, ProvedBy, Question, Request, Rules, State
from storage import requests
from storage.database import Transaction

DAY_MS = 86_400_000
ANSWER_WITHIN_MS = 3_600_000
"""How long a person may take for each answer. Nobody is in a hurry here."""


async def open_request(tx: Transaction, user_id: str) -> Request | None:
    """A person's own request that hasn't ended."""
    return next((r for r in await requests.open_for(tx, user_id) if r.kind is Kind.OWN), None)


async def last_request(tx: Transaction, user_id: str) -> Request | None:
    """The open one, else the newest that ended."""
    own = await requests.of_requester(tx, user_id, 0, Kind.OWN)
    return next((request for request in own if request.state in OPEN), own[0] if own else None)


async def refusal_to_open(context: Context, user_id: str, facts: Facts | None, *, erase: bool) -> Refusal | None:
    """Why a person can't begin a request now, or None where they can.

    Raises:
        HomeserverError: the admin room's state can't be read.
    """
    refusal = await refusal_of_own(context, user_id, facts, erase=erase)
    if refusal is not None:
        return refusal
    async with context.units.database.transaction() as tx:
        today = await requests.of_requester(tx, user_id, context.units.clock() - DAY_MS, Kind.OWN)
    return Refusal.TOO_MANY if len(today) >= context.settings.self_service.requests_per_day else None


def options(context: Context, *, erase: bool, redact: bool, delete_media: bool) -> Options:
    """What a person chose, with what the settings choose for all."""
    return Options(
        erase=erase,
        redact=redact,
        media=Media.DELETE if delete_media else Media.KEEP,
        forget_sso=context.settings.self_service.remove_sso_links,
        clear_marks=context.settings.removal.clear_lock_and_shadow_ban,
    )


def new_request(
    context: Context,
    user_id: str,
    chosen: Options,
    facts: Facts,
    *,
    room_id: str,
    command_event_id: str = "",
    thread_root: str = "",
    from_page: bool = False,
    questions: tuple[Question, ...] = (),
    by_reply: bool = False,
) -> Request:
    """A request as it begins, with the promises of the settings as they are now.

    Args:
        questions: what is still to be asked.
        by_reply: it is confirmed by an answer instead of a reaction.
    """
    now, settings = context.units.clock(), context.settings.self_service
    return Request(
        id=0,
        kind=Kind.OWN,
        requester_id=user_id,
        target_id=user_id,
        room_id=room_id,
        command_event_id=command_event_id,
        thread_root=thread_root,
        from_page=from_page,
        created_ts=now,
        expires_ts=now + ANSWER_WITHIN_MS,
        state=State.ASKING if questions else State.AWAITING_CONFIRMATION,
        questions=questions,
        options=chosen,
        rules=Rules(
            expires_after_ms=ANSWER_WITHIN_MS,
            by_reply=by_reply,
            needs_matrix_id=settings.confirm_by_matrix_id,
            proved_by=ProvedBy(settings.proof),
            needs_approval=settings.approval == "moderator",
            wait_for_reminder=settings.wait_for_reminder,
            grace_ms=int(settings.grace_period.total_seconds() * 1000),
        ),
        facts=facts,
    )
