"""`!exclude`, `!pause`, `!resume`, `!receipt`, and `!status`, `!cancel`, `!retry` where they name a wave."""

from __future__ import annotations

from engine.unit_of_work import UnitOfWork
from handlers.admin_room.wave_answers import decide_for
from handlers.admin_room.wave_files import outcome_file
from handlers.admin_room.wave_review import compact, old_before, review_of
from handlers.context import Context, ModeratorCommand
from handlers.upload import uri_of
from removal import wave as life
from removal.audit_action import AuditAction
from removal.lifecycle import RetryAsked
from removal.request import State
from removal.wave import MemberState, Wave, WaveState
from storage import audit, requests, uploads, waves
from texts import Template


async def exclude(context: Context, asked: ModeratorCommand) -> None:
    """Takes accounts off a list that was frozen, and asks anew."""
    users = [str(user) for user in asked.parsed.users("user")]
    async with context.units.begin(asked.event) as unit:
        wave = await _named(unit, asked)
        if wave is None:
            return
        on_list = []
        for user_id in users:
            member = await waves.member(unit.tx, wave.id, user_id)
            if member is not None and member.state == MemberState.WAITING:
                on_list.append(user_id)
        if len(on_list) < len(users):
            missing = [user_id for user_id in users if user_id not in on_list]
            await unit.messages.reply(asked.event, Template.WAVE_SAID, w=wave, what="not_on_list", users=missing)
            return
        if wave.state not in (WaveState.AWAITING_CONFIRMATION, WaveState.AWAITING_NUMBER, WaveState.SCHEDULED):
            await unit.messages.reply(
                asked.event, Template.WAVE_SAID, w=wave, what="unchanged", why=wave.state.value, user=asked.by
            )
            return
        because = {"because": f"excluded by {asked.by}"}
        await waves.looked_at(unit.tx, wave.id, [(user_id, MemberState.EXCLUDED, because) for user_id in on_list])
        review = await review_of(unit.tx, wave, old_before(context))
        await decide_for(unit, asked.event, wave.id, life.Excluded(asked.by, review))


async def pause(context: Context, asked: ModeratorCommand) -> None:
    """Begins no further step."""
    await _decide(context, asked, life.Paused(asked.by))


async def resume(context: Context, asked: ModeratorCommand) -> None:
    """Goes on."""
    await _decide(context, asked, life.Resumed(asked.by))


async def cancel(context: Context, asked: ModeratorCommand) -> None:
    """Sets everything free that isn't past its point of no return."""
    await _decide(context, asked, life.Cancelled(asked.by, asked.parsed.text("--reason") or ""))


async def _decide(context: Context, asked: ModeratorCommand, decided: life.Event) -> None:
    async with context.units.begin(asked.event) as unit:
        wave = await _named(unit, asked)
        if wave is not None:
            await decide_for(unit, asked.event, wave.id, decided)


async def retry(context: Context, asked: ModeratorCommand) -> None:
    """Tries the failed accounts again: those that need somebody go on, those that were given up begin anew."""
    async with context.units.begin(asked.event) as unit:
        wave = await _named(unit, asked)
        if wave is None:
            return
        accounts = 0
        if wave.state in (WaveState.DONE, WaveState.CANCELLED):
            for member in await waves.members(unit.tx, wave.id, (State.BLOCKED, State.FAILED)):
                request = await unit.request(member.request_id or 0)
                if request.state is State.BLOCKED:
                    accounts += (await unit.apply(request, RetryAsked(asked.by), actor=asked.by)).refusal is None
                else:
                    await waves.again(unit.tx, wave.id, member.user_id, compact(request.facts))
                    accounts += 1
        if await decide_for(unit, asked.event, wave.id, life.RetryAsked(asked.by, accounts)):
            await unit.messages.reply(asked.event, Template.WAVE_SAID, w=wave, what="retrying", number=accounts)


async def status(context: Context, asked: ModeratorCommand) -> None:
    """Shows where a wave stands, or one of its accounts."""
    user = asked.parsed.optional_user("user")
    async with context.units.begin(asked.event) as unit:
        wave = await _named(unit, asked)
        if wave is None:
            return
        await unit.audit(AuditAction.LOOKED, actor=asked.by, command="status", wave=wave.reference)
        if user is None:
            counts = await waves.counts(unit.tx, wave.id)
            await unit.messages.reply(
                asked.event, Template.WAVE_CARD, w=wave, counts=counts, current=True, rate=0.0, now=unit.now
            )
            return
        member = await waves.member(unit.tx, wave.id, str(user))
        request = await requests.get(unit.tx, member.request_id) if member and member.request_id else None
        if request is not None:
            await unit.messages.reply(asked.event, Template.STATUS, r=request, now=unit.now)
        else:
            await unit.messages.reply(asked.event, Template.WAVE_MEMBER, w=wave, user=str(user), m=member)


async def receipt(context: Context, asked: ModeratorCommand) -> None:
    """Sends what became of each account, with the audit's head. Raises: HomeserverError."""
    async with context.units.database.transaction(only_reading=True) as tx:
        wave = await waves.get(tx, asked.parsed.wave("reference") or 0)
    content = None
    if wave is not None:
        content = await outcome_file(context, wave, encrypted=asked.room.state.encrypted)
    async with context.units.begin(asked.event) as unit:
        wave = await _named(unit, asked)
        if wave is None or content is None:
            return
        await uploads.sent(unit.tx, uri_of(content), unit.now, None)
        counts = await waves.counts(unit.tx, wave.id)
        head = await audit.head(unit.tx)
        await unit.messages.reply(asked.event, Template.WAVE_SAID, w=wave, what="receipt", counts=counts, head=head)
        await unit.messages.reply_file(asked.event, content)
        await unit.audit(AuditAction.LOOKED, actor=asked.by, command="receipt", wave=wave.reference)


async def _named(unit: UnitOfWork, asked: ModeratorCommand) -> Wave | None:
    wave = await waves.get(unit.tx, asked.parsed.wave("reference") or 0)
    if wave is None:
        await unit.messages.reply(asked.event, Template.UNKNOWN_REFERENCE, typed=asked.parsed.typed("reference"))
    return wave
