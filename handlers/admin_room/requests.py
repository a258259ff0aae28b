"""`!requests`, `!status`, `!cancel`, `!retry`, `!close` in the admin room."""

from __future__ import annotations

from engine.unit_of_work import UnitOfWork
from handlers.admin_room import wave_commands
from handlers.context import Context, ModeratorCommand
from handlers.decide import decide_for
from removal.audit_action import AuditAction
from removal.lifecycle import Cancelled, Closed, RetryAsked, can_close
from removal.request import Request
from storage import requests, waves
from texts import Template

SHOWN = 20
"""How many requests `!requests` shows."""
WAVES_SHOWN = 5


async def listing(context: Context, asked: ModeratorCommand) -> None:
    """Shows the open requests, or with `--all` the newest of all."""
    everything = asked.parsed.flag("--all")
    async with context.units.begin(asked.event) as unit:
        found_waves = await waves.listing(unit.tx, only_open=not everything, limit=WAVES_SHOWN)
        shown_waves = [(wave, await waves.counts(unit.tx, wave.id)) for wave in found_waves]
        found = await requests.listing(unit.tx, only_open=not everything, limit=SHOWN + 1)
        await unit.messages.reply(
            asked.event,
            Template.REQUESTS,
            requests=found[:SHOWN],
            waves=shown_waves,
            more=len(found) > SHOWN,
            all=everything,
            now=unit.now,
        )
        await unit.audit(AuditAction.LOOKED, actor=asked.by, command="requests")


async def status(context: Context, asked: ModeratorCommand) -> None:
    """Shows one request, step by step."""
    if asked.parsed.wave("reference") is not None:
        await wave_commands.status(context, asked)
        return
    async with context.units.begin(asked.event) as unit:
        request = await named(unit, asked)
        if request is not None:
            await unit.messages.reply(asked.event, Template.STATUS, r=request, now=unit.now)
            await unit.audit(AuditAction.LOOKED, request, actor=asked.by, command="status")


async def cancel(context: Context, asked: ModeratorCommand) -> None:
    """Ends a request before the point of no return."""
    if asked.parsed.wave("reference") is not None:
        await wave_commands.cancel(context, asked)
        return
    async with context.units.begin(asked.event) as unit:
        request = await named(unit, asked)
        if request is None:
            return
        await decide_for(unit, asked.event, request, Cancelled(asked.by, asked.parsed.text("--reason") or ""))


async def retry(context: Context, asked: ModeratorCommand) -> None:
    """Tries again what failed."""
    if asked.parsed.wave("reference") is not None:
        await wave_commands.retry(context, asked)
        return
    async with context.units.begin(asked.event) as unit:
        request = await named(unit, asked)
        if request is None:
            return
        if await decide_for(unit, asked.event, request, RetryAsked(asked.by)):
            await unit.messages.reply(asked.event, Template.RETRYING, r=request)


async def close(context: Context, asked: ModeratorCommand) -> None:
    """Ends what needs a person and can't be finished, with its open points."""
    reason = asked.parsed.text("--reason")
    others = bool(asked.room.moderators("close") - {context.bot_id, asked.by})
    async with context.units.begin(asked.event) as unit:
        request = await named(unit, asked)
        if request is None:
            return
        if not reason and can_close(request):
            await unit.messages.reply(asked.event, Template.CLOSE_HOW, r=request)
            return
        await decide_for(unit, asked.event, request, Closed(asked.by, reason or "", others))


async def named(unit: UnitOfWork, asked: ModeratorCommand) -> Request | None:
    """The request that the command names; None where there is none, which has been said."""
    request = await requests.get(unit.tx, asked.parsed.reference("reference"))
    if request is None:
        await unit.messages.reply(asked.event, Template.UNKNOWN_REFERENCE, typed=asked.parsed.typed("reference"))
    return request
