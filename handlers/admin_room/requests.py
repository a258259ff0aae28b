"""`!requests`, `!status`, `!cancel`, `!retry` in the admin room."""

from __future__ import annotations

from engine.unit_of_work import Entry
from handlers.context import Context, ModeratorCommand
from handlers.decide import decide_for
from removal.lifecycle import Cancelled, RetryAsked
from removal.request import Request
from storage import requests

SHOWN = 20
"""How many requests `!requests` shows."""


async def listing(context: Context, asked: ModeratorCommand) -> None:
    """Shows the open requests, or with `--all` the newest of all."""
    everything = asked.parsed.flag("--all")
    async with context.ledger.entry(asked.event) as entry:
        found = await requests.listing(entry.tx, only_open=not everything, limit=SHOWN + 1)
        await entry.reply(asked.event, "requests", requests=found[:SHOWN], more=len(found) > SHOWN, all=everything)
        await entry.audit("Looked", actor=asked.by, command="requests")


async def status(context: Context, asked: ModeratorCommand) -> None:
    """Shows one request, step by step."""
    async with context.ledger.entry(asked.event) as entry:
        request = await _named(entry, asked)
        if request is not None:
            await entry.reply(asked.event, "status", r=request)
            await entry.audit("Looked", request, actor=asked.by, command="status")


async def cancel(context: Context, asked: ModeratorCommand) -> None:
    """Ends a request before the point of no return."""
    async with context.ledger.entry(asked.event) as entry:
        request = await _named(entry, asked)
        if request is None:
            return
        await decide_for(entry, asked.event, request, Cancelled(asked.by, asked.parsed.text("--reason") or ""))


async def retry(context: Context, asked: ModeratorCommand) -> None:
    """Tries again what failed."""
    async with context.ledger.entry(asked.event) as entry:
        request = await _named(entry, asked)
        if request is None:
            return
        if await decide_for(entry, asked.event, request, RetryAsked(asked.by)):
            await entry.reply(asked.event, "retrying", r=request)


async def _named(entry: Entry, asked: ModeratorCommand) -> Request | None:
    """The request that the command names; None where there is none, which has been said."""
    request = await requests.get(entry.tx, asked.parsed.reference("reference"))
    if request is None:
        await entry.reply(asked.event, "unknown_reference", typed=asked.parsed.typed("reference"))
    return request
