"""What a moderator confirmed in the admin room, applied once its code was given; and `!totp-reset`."""

from __future__ import annotations

from dataclasses import replace

from handlers import second_factor
from handlers.admin_room import approval, confirmation, wave_answers
from handlers.context import Context, ModeratorCommand
from handlers.recheck import settle_if_changed
from handlers.roles import command_of
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from removal.lifecycle import Confirmed
from storage import requests, second_factors, waves
from storage.second_factors import Asked
from texts import Template


async def given(context: Context, event: Incoming, named: str, code: str, *, encrypted: bool) -> None:
    """A code in a direct message, and all that follows from it. Raises: HomeserverError."""
    asked = await second_factor.given(context, event, named, code, encrypted=encrypted)
    if asked is not None:
        await _apply(context, event, asked)
        await second_factor.answered(context, asked)


async def _apply(context: Context, event: Incoming, asked: Asked) -> None:
    kind, name, *rest = asked.what.split()
    room = await context.authority.admin_room()
    if kind == "reset":
        await _reset(context, event, asked, name, allowed=room.may(event.sender, "totp-reset"))
        return
    async with context.units.database.transaction(only_reading=True) as tx:
        request = await requests.get(tx, int(name[1:])) if kind != "wave" else None
        wave = await waves.get(tx, int(name[1:])) if kind == "wave" else None
    command = "approve" if kind == "approve" else "deactivate" if request is None else command_of(request)
    if not room.may(event.sender, command):
        await _not_any_more(context, event, name)
    elif wave is not None and rest == [str(wave.round)]:
        confirmed = await wave_answers.confirmed(context, event, room, wave)
        confirmed = replace(confirmed, event_id=asked.event_id, trust=asked.trust)
        await wave_answers.apply(context, event, wave, confirmed, coded=True)
    elif request is None:
        await _not_any_more(context, event, name)
    elif await settle_if_changed(context, request, event, room=room):
        return
    elif kind == "approve":
        async with context.units.begin(event, coded=True) as unit:
            await approval.approve_now(unit, event, await unit.request(request.id))
    else:
        decided = Confirmed(event.sender, event.origin_server_ts, asked.event_id, asked.trust)
        await confirmation.decide_and_answer(context, event, request, decided, coded=True)


async def _not_any_more(context: Context, event: Incoming, name: str) -> None:
    async with context.units.begin(event) as unit:
        await unit.messages.reply(event, Template.CODE_SAID, what="nothing", name=name, user="")


async def reset(context: Context, asked: ModeratorCommand) -> None:
    """`!totp-reset @user`: another moderator's factor is taken off, once one's own code is given."""
    user_id = str(asked.parsed.user("user"))
    async with context.units.database.transaction(only_reading=True) as tx:
        factor = await second_factors.get(tx, user_id)
    said = "off" if not second_factor.wanted(context) else "reset_own" if user_id == asked.by else ""
    said = said or ("reset_nothing" if factor is None else "")
    if said:
        async with context.units.begin(asked.event) as unit:
            await unit.messages.reply(asked.event, Template.CODE_SAID, what=said, name="", user=user_id)
        return
    await second_factor.ask(context, asked.event, f"reset {user_id}", user_id)


async def _reset(context: Context, event: Incoming, asked: Asked, user_id: str, *, allowed: bool) -> None:
    async with context.units.begin(event) as unit:
        if not allowed or not await second_factors.forget(unit.tx, user_id):
            await unit.messages.reply(event, Template.CODE_SAID, what="nothing", name=user_id, user="")
            return
        await unit.audit(AuditAction.FACTOR_RESET, actor=event.sender, target=user_id)
        room_id = context.authority.admin_room_id
        await unit.messages.post(
            room_id, Template.CODE_SAID, f"{event.event_id} reset", what="reset", name=event.sender, user=user_id
        )
