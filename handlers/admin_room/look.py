"""Commands that only look: `!info`, `!memberships`, `!ping`, `!version`."""

from __future__ import annotations

from typing import Any

from handlers.command import Argument, Command, Kind, Option
from handlers.context import Context, ModeratorCommand
from homeserver.client.api import NotFound
from removal.audit_action import AuditAction
from removal.facts import Facts
from removal.ids import UserID
from removal.protection import Refusal
from storage import requests
from texts import Template
from version import VERSION

ROOMS_SHOWN = 50
NAMED = 20
"""Of so many rooms the names are looked up; the others are shown by their ids."""
_FLAGS = ("admin", "deactivated", "erased", "suspended", "locked", "shadow_banned", "guest", "appservice")


async def info(context: Context, asked: ModeratorCommand) -> None:
    """Shows one card about an account, which may be named by an address."""
    named = asked.parsed.values["user"]
    address = "" if isinstance(named, UserID) else str(named)
    user_id = await _owner_of(context, address) if address else str(named)
    if user_id is None:
        async with context.units.begin(asked.event) as unit:
            await unit.messages.reply(asked.event, Template.RUNG_PROBLEM, problem="nobody", user=address, cause="")
            await unit.audit(AuditAction.LOOKED, actor=asked.by, command="info", found=False)
        return
    facts = await _facts_or_refusal(context, asked, user_id)
    if facts is None:
        return
    sessions = await context.accounts.sessions(user_id)
    reports = await context.accounts.reports_against(user_id)
    wanted = asked.parsed.flag("--sessions")
    with_sessions = wanted and asked.room.state.encrypted  # addresses would stay readable for whoever has the database
    devices = [_device(each) for each in await context.accounts.device_records(user_id)] if with_sessions else None
    async with context.units.begin(asked.event) as unit:
        found = await requests.of_target(unit.tx, user_id, limit=10)
        await unit.messages.reply(
            asked.event,
            Template.INFO,
            user=user_id,
            address=address,
            f=facts,
            flags=[name for name in _FLAGS if getattr(facts, name)],
            sessions=dict(sessions),
            reports=reports,
            requests=found,
            devices=devices,
            in_clear=wanted and not with_sessions,
        )
        await unit.audit(AuditAction.LOOKED, actor=asked.by, target=user_id, command="info", sessions=with_sessions)


async def memberships(context: Context, asked: ModeratorCommand) -> None:
    """Lists an account's rooms, those it is in first."""
    user_id = str(asked.parsed.user("user"))
    if await _facts_or_refusal(context, asked, user_id) is None:
        return
    every = await context.accounts.memberships(user_id)
    ordered = sorted(every.items(), key=lambda each: (each[1] != "join", each[1], each[0]))
    rooms = []
    for position, (room_id, membership) in enumerate(ordered[:ROOMS_SHOWN]):
        name = await _name_of(context, room_id) if position < NAMED else "–"
        rooms.append({"room_id": room_id, "membership": membership, "name": name})
    async with context.units.begin(asked.event) as unit:
        await unit.messages.reply(asked.event, Template.MEMBERSHIPS, user=user_id, rooms=rooms, total=len(ordered))
        await unit.audit(AuditAction.LOOKED, actor=asked.by, target=user_id, command="memberships")


async def ping(context: Context, asked: ModeratorCommand) -> None:
    """Says who is here: several bots may share an admin room."""
    async with context.units.begin(asked.event) as unit:
        await unit.messages.reply(
            asked.event,
            Template.PING,
            bot=context.bot_id,
            server=context.server_name,
            others=context.settings.shared_admin_room.other_bots,
        )
        await unit.audit(AuditAction.LOOKED, actor=asked.by, command="ping")


async def version(context: Context, asked: ModeratorCommand) -> None:
    """Says what runs here."""
    versions = {"Lethe": VERSION, **await context.accounts.versions()}
    async with context.units.begin(asked.event) as unit:
        await unit.messages.reply(asked.event, Template.VERSION, versions=versions)
        await unit.audit(AuditAction.LOOKED, actor=asked.by, command="version")


async def _owner_of(context: Context, address: str) -> str | None:
    if "@" in address:
        return await context.accounts.owner_of("email", address.lower())
    return await context.accounts.owner_of("msisdn", "".join(filter(str.isdigit, address)))


async def _facts_or_refusal(context: Context, asked: ModeratorCommand, user_id: str) -> Facts | None:
    """What is known of an account; None where it is another server's or unknown, which has been said then."""
    local = context.authority.policy.is_local(user_id)
    facts = await context.authority.facts(user_id) if local else None
    if facts is not None:
        return facts
    refusal = Refusal.UNKNOWN if local else Refusal.OTHER_SERVER
    async with context.units.begin(asked.event) as unit:
        await unit.messages.reply(
            asked.event, Template.REFUSAL, refusal=refusal, user=user_id, server=context.server_name, similar=[]
        )
        await unit.audit(AuditAction.REFUSED, actor=asked.by, target=user_id, because=refusal.value)
    return None


async def _name_of(context: Context, room_id: str) -> str:
    try:
        room = await context.accounts.room_details(room_id)
    except NotFound:
        return "–"
    return room.name or room.canonical_alias or "–"


def _device(record: dict[str, Any]) -> dict[str, Any]:
    seen = record.get("last_seen_ts")
    return {
        "device_id": str(record.get("device_id", "")),
        "name": str(record.get("display_name") or "–"),
        "ip": str(record.get("last_seen_ip") or "–"),
        "agent": str(record.get("last_seen_user_agent") or "–"),
        "seen_ts": seen if isinstance(seen, int) else None,
    }


COMMANDS = (
    (Command("info", (Argument("user", Kind.ACCOUNT),), (Option("--sessions"),), topic="look"), info),
    (Command("memberships", (Argument("user", Kind.USER),), topic="look"), memberships),
    (Command("ping", topic="look"), ping),
    (Command("version", topic="look"), version),
)
