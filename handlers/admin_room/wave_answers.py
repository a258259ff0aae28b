"""Answers to a wave's prompt and to a wave at work: ✅ ❌ ⏸ ▶ ⏹, `yes B3`, and the number of accounts, typed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.unit_of_work import UnitOfWork
from engine.wave_unit import WaveUnit
from handlers import second_factor
from handlers.admin_room.allowed import allowed
from handlers.admin_room.moderators import ModeratorIdentities
from handlers.admin_room.wave_review import hold_to_cap
from handlers.authority import AdminRoom
from handlers.context import Context
from handlers.message import Message
from handlers.yes_no import LOOKS_LIKE_YES, NO, YES
from removal.ids import parse_wave_reference
from removal.incoming import Incoming
from removal.wave import (
    ASKED,
    Cancelled,
    Confirmed,
    Declined,
    Event,
    NumberTyped,
    Paused,
    Resumed,
    Wave,
    WaveState,
    second_since_ts,
)
from storage import waves
from texts import Template

PAUSE, RESUME, STOP = "⏸", "▶", "⏹"
CONTROLS = frozenset({PAUSE, RESUME, STOP})
STOPS = ("deactivate", "cancel")
"""The commands of which one is enough to say no."""
_COMMANDS = {PAUSE: ("pause",), RESUME: ("resume",), STOP: ("cancel",)}
_NUMBER = re.compile(r"[1-9]\d{0,2}(?:[., '’]\d{3}){1,2}|[1-9]\d{0,8}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a message says to a wave. `yes` is None where only a number was typed."""

    wave: Wave
    yes: bool | None
    number: int | None
    several: bool = False
    """More than one wave waits for a number from whoever typed this one, and none was named."""


async def meant(context: Context, event: Incoming, message: Message) -> Answer | None:
    """The wave that `yes B3`, `no B3`, `1000`, `B3 1000` or `yes B3 1000` answers; None where it answers none."""
    if message.command is not None:
        return None
    words = [word.text.rstrip("!,") for word in message.words]
    yes = {"yes": True, "no": False}.get(words[0].lower().rstrip(".")) if words else None
    words = words[1:] if yes is not None else words
    reference = parse_wave_reference(words[0].rstrip(".")) if words else None
    text = " ".join(words[1:] if reference is not None else words).rstrip(".")
    number = int(re.sub(r"\D", "", text)) if _NUMBER.fullmatch(text) else None
    if (text and number is None) or (reference is None and (yes is not None or number is None)):
        return None
    async with context.units.database.transaction(only_reading=True) as tx:
        if reference is not None:
            named = await waves.get(tx, reference)
            found = [named] if named is not None and (named.rules.by_reply or yes is None) else []
        else:
            found = [
                each
                for each in await waves.in_states(tx, (WaveState.AWAITING_NUMBER,))
                if each.confirmer_id == event.sender and each.room_id == event.room_id
            ]
    return Answer(found[-1], yes, number, several=len(found) > 1) if found else None


async def answered(context: Context, event: Incoming, room: AdminRoom, answer: Answer) -> None:
    """A message of a moderator that answers a wave. Raises: HomeserverError."""
    if not await allowed(context, event, room, *(STOPS if answer.yes is False else ("deactivate",))):
        return
    if answer.yes is False:
        await apply(context, event, answer.wave, Declined(event.sender))
        return
    if answer.yes:
        if await _needs_code(context, event, answer.wave):
            return
        agreed = await confirmed(context, event, room, answer.wave)
        if not await apply(context, event, answer.wave, agreed) or answer.number is None:
            return
    if answer.several:
        async with context.units.begin(event) as unit:
            await unit.messages.reply(event, Template.WAVE_SAID, w=answer.wave, what="which", number=answer.number)
        return
    if answer.number is not None:
        async with context.units.database.transaction(only_reading=True) as tx:
            wave = await waves.get(tx, answer.wave.id)
        if wave is not None and (wave.state is WaveState.AWAITING_NUMBER or not answer.yes):
            typed = NumberTyped(event.sender, answer.number, event.origin_server_ts)
            await apply(context, event, wave, typed)


async def reacted(
    context: Context, event: Incoming, card: tuple[int, int], key: str, identities: ModeratorIdentities
) -> bool:
    """A reaction under a wave's message.

    Args:
        card: the wave's number, and the round of the prompt that it stands under.

    Raises:
        HomeserverError: it can't be told who may.
    """
    async with context.units.database.transaction(only_reading=True) as tx:
        wave = await waves.get(tx, card[0])
    room = await context.authority.admin_room()
    if wave is None or not room.is_moderator(event.sender) or (key in YES and card[1] != wave.round):
        return await context.done(event)
    if not await allowed(context, event, room, *_COMMANDS.get(key, STOPS if key in NO else ("deactivate",))):
        return True
    if not await identities.lets_count(event):
        return True
    if key in YES | NO | LOOKS_LIKE_YES and wave.rules.by_reply and wave.state in ASKED:
        await _hint(context, event, wave, "in_writing")
    elif key in LOOKS_LIKE_YES:
        await _hint(context, event, wave, "only_mark" if wave.state in ASKED else "")
    elif key in YES:
        late = wave.state is not WaveState.AWAITING_CONFIRMATION and wave.state is not WaveState.EXPIRED
        if late:
            return await context.done(event)  # a second ✅ does nothing, and needs no comment
        if not await _needs_code(context, event, wave):
            await apply(context, event, wave, await confirmed(context, event, room, wave))
    elif key in NO:
        await apply(context, event, wave, Declined(event.sender))
    elif key not in CONTROLS or (key == RESUME and wave.rules.by_reply):
        return await context.done(event)  # a reaction isn't encrypted: here it may stop something, never go on
    else:
        decided: dict[str, Event] = {
            PAUSE: Paused(event.sender), RESUME: Resumed(event.sender), STOP: Cancelled(event.sender)
        }  # fmt: skip
        await apply(context, event, wave, decided[key])
    return True


async def _needs_code(context: Context, event: Incoming, wave: Wave) -> bool:
    if wave.state is not WaveState.AWAITING_CONFIRMATION:
        return False
    accounts = f"{wave.review.count}"
    return await second_factor.ask(context, event, f"wave {wave.reference} {wave.round}", accounts)


async def confirmed(context: Context, event: Incoming, room: AdminRoom, wave: Wave) -> Confirmed:
    """The sender's yes. Raises: HomeserverError."""
    since: int | None = 0
    if wave.needs_other and event.sender != wave.requester_id:
        until_ts = second_since_ts(wave, event.origin_server_ts)
        since = await context.authority.moderator_since(room, event.sender, until_ts)
    return Confirmed(event.sender, event.origin_server_ts, event.event_id, since, event.trust.value)


async def apply(context: Context, event: Incoming, wave: Wave, decided: Event, *, coded: bool = False) -> bool:
    """Applies what the sender of `event` decided; whether it changed anything.

    Args:
        coded: the code of a second factor was given.
    """
    async with context.units.begin(event, coded=coded) as unit:
        if isinstance(decided, Confirmed) and event.sender == wave.requester_id:
            # Who opens many prompts first and answers them later reaches the cap too.
            current = await WaveUnit(unit).get(wave.id)
            held = await hold_to_cap(context, unit, current, current.review.count)
            if held != current:
                held = await waves.save(unit.tx, held)
                await WaveUnit(unit).show(held)
        return await decide_for(unit, event, wave.id, decided)


async def decide_for(unit: UnitOfWork, event: Incoming, wave_id: int, decided: Event) -> bool:
    """Applies what the sender of `event` decided; whether it changed anything. Where not, that is answered."""
    wave_unit = WaveUnit(unit)
    wave = await wave_unit.get(wave_id)
    decision = await wave_unit.apply(wave, decided, actor=event.sender)
    if decision.refusal is not None:
        await unit.messages.reply(
            event, Template.WAVE_SAID, w=wave, what="unchanged", why=decision.refusal.value, user=event.sender
        )
    return decision.refusal is None


async def _hint(context: Context, event: Incoming, wave: Wave, what: str) -> None:
    async with context.units.begin(event) as unit:
        if what:
            once_per = f"{wave.reference} {wave.round} {event.sender} {what}"
            await unit.messages.reply(event, Template.WAVE_SAID, once_per=once_per, w=wave, what=what)
