"""Ways in for a wave: `!deactivate` with several accounts, a list under it, a file, or a search of the server's own."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from engine.wave_unit import WaveUnit
from handlers.account_list import MAX_BYTES, AccountList, BadList, ListProblem, read_file, read_lines, read_users
from handlers.context import Context, ModeratorCommand
from handlers.message import Message
from homeserver.client.api import Refused, TooLarge
from homeserver.client.files import BrokenFile
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from removal.plan import Options
from removal.request import ConfirmedBy
from removal.wave import Filters, Wave, WaveRules
from storage import waves
from texts import Template

_FILTERS = ("--match", "--registered-after", "--registered-before", "--never-joined", "--no-messages", "--ip-of")


def filters_of(context: Context, asked: ModeratorCommand) -> Filters | None:
    """The search that was asked for; None where none was."""
    parsed = asked.parsed
    if not any(name in parsed.values for name in _FILTERS):
        return None
    known = parsed.optional_user("--ip-of")
    return Filters(
        match=parsed.text("--match") or "",
        registered_after_ts=_moment(context, asked, "--registered-after"),
        registered_before_ts=_moment(context, asked, "--registered-before"),
        never_joined=parsed.flag("--never-joined"),
        no_messages=parsed.flag("--no-messages"),
        ip_of=str(known) if known else "",
    )


def _moment(context: Context, asked: ModeratorCommand, name: str) -> int | None:
    value = asked.parsed.values.get(name)
    if isinstance(value, timedelta):
        return context.units.clock() - int(value.total_seconds() * 1000)
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else None


async def named(context: Context, asked: ModeratorCommand) -> AccountList | None:
    """The accounts that the command, the list under it, or a file names; None where nothing names any.

    Raises:
        BadList: the list or file can't be used.
        HomeserverError: the file can't be fetched now.
    """
    message = asked.message or Message(None, ())
    users = asked.parsed.users("user")
    file: Incoming | None = asked.event if message.has_file else None
    if file is None and not users and not message.lines and message.reply_to is not None:
        file = await context.event(asked.event.room_id, message.reply_to)
        if file is None:
            raise BadList(ListProblem.UNREADABLE)
        if file.content.get("msgtype") != "m.file":
            return None
        if asked.event.encrypted and not file.encrypted:
            raise BadList(ListProblem.PLAIN)  # anybody on the way could have written it
    if file is None and not users and not message.lines:
        return None
    found = read_users(users)
    if file is not None or message.lines:
        if file is not None and (users or message.lines):
            raise BadList(ListProblem.TWO_WAYS)
        listed = await _file(context, file) if file else read_lines(list(message.lines), context.server_name)
        both = (*found.user_ids, *listed.user_ids)
        return AccountList(tuple(dict.fromkeys(both)), listed.skipped, listed.notes)
    return found


async def _file(context: Context, file: Incoming) -> AccountList:
    name = file.content.get("filename") or file.content.get("body")
    try:
        data = await context.files.download(file.content, MAX_BYTES)
    except TooLarge as error:
        raise BadList(ListProblem.TOO_LARGE, str(error)) from None
    except BrokenFile as error:
        raise BadList(ListProblem.BROKEN, str(error)) from None
    except Refused as error:
        raise BadList(ListProblem.GONE, str(error)) from None
    return await asyncio.to_thread(read_file, data, name if isinstance(name, str) else "", context.server_name)


async def refuse_list(context: Context, asked: ModeratorCommand, error: BadList) -> None:
    """Says why a list can't be used."""
    async with context.units.begin(asked.event) as unit:
        limit = context.settings.bulk.max_accounts
        await unit.messages.reply(
            asked.event, Template.WAVE_LIST, problem=error.problem.value, detail=error.detail, limit=limit
        )
        await unit.audit(AuditAction.REFUSED, actor=asked.by, because=f"list:{error.problem}")


async def open_wave(
    context: Context,
    asked: ModeratorCommand,
    accounts: AccountList | None,
    filters: Filters | None,
    options: Options,
    at_ts: int | None,
) -> None:
    """Opens a wave: its accounts are looked at next (handlers.admin_room.wave_review), then somebody is asked."""
    settings = context.settings
    limit = settings.bulk.max_accounts
    if accounts is not None and len(accounts.user_ids) > limit:
        await refuse_list(context, asked, BadList(ListProblem.TOO_MANY_ACCOUNTS, str(len(accounts.user_ids))))
        return
    async with context.units.begin(asked.event) as unit:
        rules = WaveRules(
            confirmed_by=ConfirmedBy(settings.confirmation.confirmed_by),
            by_reply=settings.confirmation.in_writing(encrypted=asked.event.encrypted),
            expires_after_ms=int(settings.confirmation.expires_after.total_seconds() * 1000),
            other_moderator_above=settings.bulk.other_moderator_above,
            type_number_above=settings.bulk.type_number_above,
            moderator_for_ms=int(settings.bulk.moderator_for.total_seconds() * 1000),
        )
        wave = await WaveUnit(unit).open(
            Wave(
                id=0,
                requester_id=asked.by,
                room_id=asked.event.room_id,
                command_event_id=asked.event.event_id,
                created_ts=unit.now,
                options=options,
                rules=rules,
                filters=filters,
                notes=accounts.notes if accounts else (),
                skipped=accounts.skipped if accounts else (),
                reason=asked.parsed.text("--reason") or "",
                at_ts=at_ts,
                hurry=asked.parsed.flag("--now"),
                dry_run=asked.parsed.flag("--dry-run"),
            )
        )
        if accounts is not None:
            await waves.name(unit.tx, wave.id, accounts.user_ids)
