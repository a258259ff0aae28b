"""The rungs below a removal that can't be taken back at a keystroke: `!redact`, `!media`, `!reactivate`.

Each is a request with a prompt of its own: confirmed, carried out, read back and told like a removal (removal/plan.py).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from handlers.admin_room.deactivate import ask, look_or_refuse, request_of
from handlers.command import Argument, Command, Kind, Option
from handlers.context import Context, ModeratorCommand
from removal.audit_action import AuditAction
from removal.plan import Aim, Media, Options
from texts import Template

_MEDIA = {"delete": Media.DELETE, "quarantine": Media.QUARANTINE}


async def redact(context: Context, asked: ModeratorCommand) -> None:
    """Asks whether an account's messages are to be redacted."""
    rooms: tuple[str, ...] = ()
    named = asked.parsed.text("--room")
    if named is not None:
        room_id = await context.authority.room_id_of(named)
        every = await context.accounts.memberships(str(asked.parsed.user("user")))
        if room_id is None or room_id not in every:
            await _bad(context, asked, "room_unknown" if room_id is None else "never_there", named)
            return
        rooms = (room_id,)
    await _ask(context, asked, Options(aim=Aim.REDACT, redact=True, rooms=rooms, since_ts=_since(context, asked)))


async def media(context: Context, asked: ModeratorCommand) -> None:
    """Asks whether an account's files are to be deleted or quarantined."""
    typed = asked.parsed.text("what") or ""
    chosen = _MEDIA.get(typed.lower())
    if chosen is None:
        await _bad(context, asked, "no_such_choice", typed)
        return
    await _ask(context, asked, Options(aim=Aim.MEDIA, media=chosen))


async def reactivate(context: Context, asked: ModeratorCommand) -> None:
    """Asks whether a removal is to be taken back."""
    await _ask(context, asked, Options(aim=Aim.REACTIVATE))


async def _ask(context: Context, asked: ModeratorCommand, options: Options) -> None:
    target = asked.parsed.user("user")
    facts = await look_or_refuse(context, asked, target, options)
    if facts is None:
        return
    await ask(context, asked, await request_of(context, asked, target, options, facts))


def _since(context: Context, asked: ModeratorCommand) -> int | None:
    """What `--since` says, in milliseconds since 1970."""
    value = asked.parsed.values.get("--since")
    if isinstance(value, timedelta):
        return context.units.clock() - int(value.total_seconds() * 1000)
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else None


async def _bad(context: Context, asked: ModeratorCommand, problem: str, typed: str) -> None:
    async with context.units.begin(asked.event) as unit:
        await unit.messages.reply(asked.event, Template.BAD_OPTION, problem=problem, successor=typed, at_ts=None)
        target = str(asked.parsed.user("user"))
        await unit.audit(AuditAction.REFUSED, actor=asked.by, target=target, because=problem)


_REASON = Option("--reason", Kind.TEXT)
_USER = Argument("user", Kind.USER)
COMMANDS = (
    (
        Command(
            "redact",
            (_USER,),
            (Option("--room", Kind.ROOM), Option("--since", Kind.PAST, value_name="2d|DATE"), _REASON),
            topic="act",
        ),
        redact,
    ),
    (Command("media", (_USER, Argument("what", Kind.WORD)), (_REASON,), topic="act"), media),
    (Command("reactivate", (_USER,), (_REASON,), topic="act"), reactivate),
)
