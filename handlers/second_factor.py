"""The second factor of moderators (`confirmation.second_factor: totp`).

A ✅ in the admin room is then one half of a confirmation: the other is a code, given in an encrypted direct message
with the bot. What the ✅ meant is applied by the code, and held to everything that a ✅ is held to, then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from engine.second_factor import WRONG_AT_MOST, WRONG_AT_ONCE, KeyLost, Verdict, address
from engine.unit_of_work import UnitOfWork
from handlers.context import Context, DirectCommand
from handlers.direct.rules import alone_together
from handlers.message import Message
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from storage import conversations, second_factors
from storage.second_factors import Asked, Factor
from texts import Template

ASKED_FOR_MS = 3_600_000
"""So long a code is waited for at most; what it confirms may expire before."""
SET_UP_WITHIN_MS = 900_000
_CODE = re.compile(r"(\d{3}) ?(\d{3})")


def wanted(context: Context) -> bool:
    """Whether the settings ask for a second factor."""
    return context.settings.confirmation.second_factor == "totp"


def code_in(message: Message) -> tuple[str, str] | None:
    """What a message names, perhaps nothing, and the code in it: `123456`, `123 456`, `R7 123456`; None without one."""
    if message.command is not None:
        return None
    words = [word.text for word in message.words]
    for named in (0, 1):
        found = _CODE.fullmatch(" ".join(words[named:]))
        if found is not None and len(words) - named in (1, 2):
            return (words[0] if named else ""), found.group(1) + found.group(2)
    return None


async def ask(context: Context, event: Incoming, what: str, about: str) -> bool:
    """Asks whoever sent `event` for a code, where the settings want one; False where they don't.

    Args:
        what: is confirmed, as `names` reads it.
        about: the account, for people.
    """
    if not wanted(context):
        return False
    async with context.units.begin(event) as unit:
        factor = await second_factors.get(unit.tx, event.sender)
        rooms = await conversations.rooms_with(unit.tx, event.sender)
        if factor is None or factor.confirmed_ts is None:
            said = "no_factor"
        elif factor.wrong >= WRONG_AT_MOST:
            said = "shut"
        else:
            said = "asked" if rooms else "asked_no_room"
            await second_factors.ask(unit.tx, Asked(event.sender, what, event.event_id, event.trust.value, unit.now))
            if rooms:
                key = f"{event.event_id} {what}"
                await unit.messages.post(
                    rooms[0],
                    Template.CODE_SAID,
                    key,
                    mention=event.sender,
                    what="asked_here",
                    name=_name(what),
                    user=about,
                )
        await _reply(unit, event, said, name=_name(what), user=event.sender)
        await unit.audit(AuditAction.CODE_ASKED, actor=event.sender, what=said, about=_name(what))
    return True


async def in_room(context: Context, event: Incoming, message: Message) -> bool:
    """Whether a code was typed where others read it; that has been explained, and it is used up.

    Raises:
        HomeserverError: the admin room's state can't be read.
    """
    found = code_in(message)
    if found is None or not wanted(context) or not (await context.authority.admin_room()).is_moderator(event.sender):
        return False
    async with context.units.begin(event) as unit:
        await _use_up(context, unit, event.sender, found[1])
        await _reply(unit, event, "in_room")
        await unit.audit(AuditAction.CODE_REFUSED, actor=event.sender, because="in_room")
    return True


async def begin(context: Context, asked: DirectCommand) -> None:
    """`!totp`: hands a seed over, where that is safe."""
    room = await context.authority.admin_room()
    if not alone_together(await context.authority.room(asked.event.room_id), context.bot_id, asked.by):
        await context.done(asked.event)  # whoever asked has left: whoever comes next would read it
        return
    async with context.units.begin(asked.event) as unit:
        factor = await second_factors.get(unit.tx, asked.by)
        said = ""
        if not wanted(context) or context.seeds is None:
            said = "off"
        elif not room.is_moderator(asked.by):
            said = "not_moderator"
        elif not asked.encrypted or not asked.event.encrypted:
            said = "not_encrypted"
        elif factor is not None and factor.confirmed_ts is not None:
            said = "already"
        if said or context.seeds is None:
            await _reply(unit, asked.event, said)
            return
        if factor is not None:
            await unit.messages.redact(asked.event.room_id, _seed_key(factor), Template.CODE_SAID)
        factor, seed = context.seeds.new(asked.by, unit.now)
        await second_factors.save(unit.tx, factor)
        await unit.messages.post_to_redact(
            asked.event.room_id,
            Template.CODE_SAID,
            _seed_key(factor),
            what="seed",
            name=seed,
            user=address(seed, asked.by, context.bot_id),
        )
        await unit.audit(AuditAction.FACTOR_HANDED_OVER, actor=asked.by)


async def given(context: Context, event: Incoming, named: str, code: str, *, encrypted: bool) -> Asked | None:
    """A code in a direct message.

    Returns:
        What a right one confirms; None where there is nothing to confirm, and all is said.

    Raises:
        HomeserverError: the admin room's state can't be read.
    """
    async with context.units.begin() as unit:
        factor = await second_factors.get(unit.tx, event.sender)
        waiting = await second_factors.asked_of(unit.tx, event.sender, unit.now - ASKED_FOR_MS)
        said, chosen = "", None
        if not encrypted or not event.encrypted:
            await _use_up(context, unit, event.sender, code)
            said = "not_encrypted"
        elif factor is None or context.seeds is None:
            said = "no_factor"
        elif factor.confirmed_ts is None:
            await _set_up(context, unit, event, factor, code)
            await unit.done(event)
            return None
        else:
            said, chosen = _chosen(waiting, named)
        if chosen is None or factor is None:
            await _reply(unit, event, said, name=", ".join(_name(each.what) for each in waiting))
            await unit.done(event)
            return None
        verdict = await _checked(context, unit, event, factor, code)
        if verdict is Verdict.RIGHT:
            return chosen
        await _reply(unit, event, verdict.value, name=_name(chosen.what))
        await unit.done(event)
    return None


async def answered(context: Context, asked: Asked) -> None:
    """What waited for a code was decided on."""
    async with context.units.begin() as unit:
        await second_factors.answered(unit.tx, asked.user_id, asked.what)


def _chosen(waiting: Sequence[Asked], named: str) -> tuple[str, Asked | None]:
    fitting = [each for each in waiting if not named or _name(each.what).casefold() == named.casefold().rstrip(":,")]
    if not fitting:
        return "nothing", None
    return ("", fitting[0]) if len(fitting) == 1 else ("which", None)


def _name(what: str) -> str:
    """As people write it: `R7` of `request R7`, `B3` of `wave B3 1`, `@user` of `reset @user`."""
    return what.split()[1]


def _seed_key(factor: Factor) -> str:
    return f"totp {factor.user_id} {factor.made_ts}"


async def _set_up(context: Context, unit: UnitOfWork, event: Incoming, factor: Factor, code: str) -> None:
    """The first code, which proves that the seed has arrived."""
    if unit.now - factor.made_ts > SET_UP_WITHIN_MS:
        await second_factors.forget(unit.tx, event.sender)
        await unit.messages.redact(event.room_id, _seed_key(factor), Template.CODE_SAID)
        await _reply(unit, event, "too_old")
        return
    verdict = await _checked(context, unit, event, factor, code)
    if verdict is not Verdict.RIGHT:
        await _reply(unit, event, verdict.value)
        return
    current = await second_factors.get(unit.tx, event.sender) or factor
    await second_factors.save(unit.tx, replace(current, confirmed_ts=unit.now))
    await unit.messages.redact(event.room_id, _seed_key(factor), Template.CODE_SAID)
    await _reply(unit, event, "set_up")
    await _tell_room(context, unit, event, "set_up_by")
    await unit.audit(AuditAction.FACTOR_SET_UP, actor=event.sender, trust=event.trust.value)


async def _checked(context: Context, unit: UnitOfWork, event: Incoming, factor: Factor, code: str) -> Verdict:
    """Looks at a code, and stores that it was given. The admin room hears of many wrong ones."""
    assert context.seeds is not None  # noqa: S101 - asked before
    verdict, after = context.seeds.check(factor, code, unit.now)
    if after != factor:
        await second_factors.save(unit.tx, after)
    if verdict is Verdict.WRONG and after.wrong % WRONG_AT_ONCE == 0:
        await _tell_room(context, unit, event, "many_wrong")
    if verdict is not Verdict.RIGHT:
        await unit.audit(AuditAction.CODE_REFUSED, actor=event.sender, because=verdict.value)
    return verdict


async def _use_up(context: Context, unit: UnitOfWork, user_id: str, code: str) -> None:
    """A code that others could have read never counts; a wrong one isn't held against anybody."""
    factor = await second_factors.get(unit.tx, user_id)
    if factor is None or context.seeds is None:
        return
    try:
        verdict, after = context.seeds.check(factor, code, unit.now)
    except KeyLost:
        return
    if verdict is Verdict.RIGHT:
        await second_factors.save(unit.tx, replace(after, wrong=factor.wrong))


async def _reply(unit: UnitOfWork, event: Incoming, what: str, *, name: str = "", user: str = "") -> None:
    await unit.messages.reply(event, Template.CODE_SAID, what=what, name=name, user=user)


async def _tell_room(context: Context, unit: UnitOfWork, event: Incoming, what: str) -> None:
    room_id = context.authority.admin_room_id
    await unit.messages.post(
        room_id, Template.CODE_SAID, f"{event.event_id} {what}", what=what, name="", user=event.sender
    )
