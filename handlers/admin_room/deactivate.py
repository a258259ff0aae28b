"""`!deactivate` in the admin room."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from engine.unit_of_work import UnitOfWork
from handlers.account_list import BadList, ListProblem
from handlers.admin_room import wave_open
from handlers.command import Problem, UsageError, usage
from handlers.context import Context, ModeratorCommand
from removal.audit_action import AuditAction
from removal.facts import Facts
from removal.ids import UserID
from removal.incoming import DeviceTrust
from removal.lifecycle import Replaced
from removal.plan import ALL_ROOMS, Kind, Media, Options
from removal.protection import Refusal, refuse_account, refuse_name
from removal.request import UNCONFIRMED, ConfirmedBy, Request, Rules, State
from storage import requests
from texts import Template

HOUR_MS = 3_600_000
SIMILAR, SIMILAR_SEARCHED = 3, 50
"""How many similar accounts are shown for one that doesn't exist, and among how many they are sought."""
LONGEST_DELAY_MS = 366 * 24 * HOUR_MS
"""How far ahead a removal can be scheduled: longer is a typing error."""


async def deactivate(context: Context, asked: ModeratorCommand) -> None:
    """Shows what would happen to an account, or to many, and asks."""
    options = options_of(asked, clear_marks=context.settings.removal.clear_lock_and_shadow_ban)
    filters = wave_open.filters_of(context, asked)
    try:
        accounts = await wave_open.named(context, asked)
        if accounts is not None and filters is not None:
            raise BadList(ListProblem.TWO_WAYS)
    except BadList as error:
        await wave_open.refuse_list(context, asked, error)
        return
    targets = accounts.user_ids if accounts else ()
    if await _bad_options(context, asked, targets):
        return
    single = asked.parsed.users("user")
    if filters is not None or len(targets) != 1 or len(single) != 1:
        if filters is None and accounts is None:
            await _whom(context, asked)
            return
        await wave_open.open_wave(context, asked, accounts, filters, options, when(context, asked))
        return
    target = single[0]
    facts = await look_or_refuse(context, asked, target, options)
    if facts is None:
        return
    request = await request_of(context, asked, target, options, facts)
    if asked.parsed.flag("--dry-run"):
        async with context.units.begin(asked.event) as unit:
            await unit.messages.reply(asked.event, Template.DRY_RUN, r=request)
            await unit.audit(AuditAction.DRY_RUN, actor=asked.by, target=str(target))
        return
    await ask(context, asked, request)


async def ask(context: Context, asked: ModeratorCommand, request: Request) -> None:
    """Shows the prompt; says so where somebody else's request for the same account is open."""
    async with context.units.begin(asked.event) as unit:
        for other in await requests.open_for(unit.tx, request.target_id):
            if other.kind is Kind.OWN:
                continue  # a moderator needn't wait for a person's own request
            if other.requester_id != asked.by or other.state not in UNCONFIRMED:
                card = await unit.messages.card_event_id(other)
                await unit.messages.reply(asked.event, Template.ALREADY_OPEN, r=other, card_event_id=card)
                await unit.audit(AuditAction.REFUSED, other, actor=asked.by, because="already_open")
                return
        await _open(unit, request, asked.event.trust)


async def _whom(context: Context, asked: ModeratorCommand) -> None:
    problem = UsageError(Problem.MISSING_ARGUMENT, "user")
    command = asked.parsed.command
    line = usage(command, context.settings.command_prefix)
    async with context.units.begin(asked.event) as unit:
        await unit.messages.reply(asked.event, Template.USAGE_ERROR, e=problem, command=command.name, usage=line)
        await unit.audit(
            AuditAction.NOT_UNDERSTOOD, actor=asked.by, because=problem.problem.value, command=command.name
        )


def options_of(asked: ModeratorCommand, *, clear_marks: bool) -> Options:
    """What the command, and the setting, ask for beside the deactivation itself."""
    parsed = asked.parsed
    successor = parsed.optional_user("--handover")
    media = Media.DELETE if parsed.flag("--media") else Media.QUARANTINE if parsed.flag("--quarantine") else Media.KEEP
    return Options(
        erase=parsed.flag("--erase"),
        redact=parsed.flag("--redact"),
        media=media,
        forget_sso=parsed.flag("--forget-sso"),
        handover=((ALL_ROOMS, str(successor)),) if successor else (),
        clear_marks=clear_marks,
    )


def when(context: Context, asked: ModeratorCommand) -> int | None:
    """The time asked for by `--in` or `--at`, milliseconds since 1970."""
    length, moment = asked.parsed.duration("--in"), asked.parsed.moment("--at")
    if length is not None:
        return context.units.clock() + int(length.total_seconds() * 1000)
    return None if moment is None else int(moment.timestamp() * 1000)


async def _bad_options(context: Context, asked: ModeratorCommand, targets: Sequence[str]) -> bool:
    """Whether options make no sense, which has been said then."""
    problem = ""
    at_ts, successor = when(context, asked), asked.parsed.optional_user("--handover")
    if at_ts is not None and at_ts < context.units.clock():
        problem = "past"
    elif at_ts is not None and at_ts > context.units.clock() + LONGEST_DELAY_MS:
        problem = "too_far"
    elif str(successor) in targets:
        problem = "successor_is_target"
    elif successor is not None and context.authority.policy.is_local(str(successor)):
        account = await context.accounts.user(str(successor))
        if account is None or account.deactivated:
            problem = "successor_unknown"
    if not problem:
        return False
    async with context.units.begin(asked.event) as unit:
        await unit.messages.reply(
            asked.event, Template.BAD_OPTION, problem=problem, successor=str(successor or ""), at_ts=at_ts
        )
        target = targets[0] if len(targets) == 1 else None
        await unit.audit(AuditAction.REFUSED, actor=asked.by, target=target, because=problem)
    return True


async def _open(unit: UnitOfWork, request: Request, trust: DeviceTrust) -> Request:
    """Opens a request; an unconfirmed one by the same person for the same account gives way to it."""
    replaced = [
        other
        for other in await requests.open_for(unit.tx, request.target_id)
        if other.kind is request.kind and other.requester_id == request.requester_id
    ]
    request = await unit.open(request, trust=trust.value)
    for other in replaced:
        await unit.apply(other, Replaced(request.id))
    return request


async def look_or_refuse(context: Context, asked: ModeratorCommand, target: UserID, options: Options) -> Facts | None:
    """The account's facts; None where the answer was a refusal, which has been given."""
    user_id = str(target)
    refusal = refuse_name(user_id, asked.by, context.authority.surroundings(asked.room))
    facts = None
    if refusal is None:
        facts = await context.authority.facts(user_id)
        refusal = refuse_account(facts, options)
    if refusal is None:
        return facts
    similar = await _similar(context, target) if refusal is Refusal.UNKNOWN else []
    async with context.units.begin(asked.event) as unit:
        await unit.messages.reply(
            asked.event, Template.REFUSAL, refusal=refusal, user=user_id, server=context.server_name, similar=similar
        )
        await unit.audit(AuditAction.REFUSED, actor=asked.by, target=user_id, because=refusal.value)
    return None


async def _similar(context: Context, target: UserID) -> list[str]:
    """Accounts that were perhaps meant by one that doesn't exist, the likeliest first. Raises: HomeserverError."""
    name = target.localpart
    found = await context.accounts.find_users(name, SIMILAR)
    if not found:
        # The homeserver finds what holds the text as it is: a slip is in one half of a name, hardly in both.
        half = (len(name) + 1) // 2
        for part in (name[:half], name[half:]):
            found += await context.accounts.find_users(part, SIMILAR_SEARCHED) if len(part) > 1 else []
        # By name alone: the server's, which all have in common, would make any two look alike.
        names = {user_id[1:].partition(":")[0]: user_id for user_id in found}
        found = [names[near] for near in difflib.get_close_matches(name, names, n=SIMILAR, cutoff=0.8)]
    return [user_id for user_id in found if user_id != str(target)]


async def request_of(
    context: Context, asked: ModeratorCommand, target: UserID, options: Options, facts: Facts
) -> Request:
    """The request as it would be opened."""
    now = context.units.clock()
    settings = context.settings
    async with context.units.database.transaction() as tx:
        lately = await requests.confirmed_since(tx, asked.by, now - HOUR_MS)
    expires_after_ms = int(settings.confirmation.expires_after.total_seconds() * 1000)
    return Request(
        id=0,
        kind=Kind.MODERATION,
        requester_id=asked.by,
        target_id=str(target),
        room_id=asked.event.room_id,
        command_event_id=asked.event.event_id,
        thread_root=asked.event.thread_root,
        created_ts=now,
        expires_ts=now + expires_after_ms,
        state=State.AWAITING_CONFIRMATION,
        options=options,
        rules=Rules(
            confirmed_by=ConfirmedBy(settings.confirmation.confirmed_by),
            expires_after_ms=expires_after_ms,
            needs_other=lately >= settings.moderators.max_removals_per_hour,
            by_reply=settings.confirmation.in_writing(encrypted=asked.event.encrypted),
        ),
        facts=facts,
        reason=asked.parsed.text("--reason") or "",
        at_ts=when(context, asked) if options.removes else None,
    )
