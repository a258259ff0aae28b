"""Waves when the admin room is upgraded."""

from __future__ import annotations

from dataclasses import replace

from engine.unit_of_work import UnitOfWork
from engine.wave_unit import CONTROLS, WaveUnit
from removal.wave import ASKED, AT_WORK, Cancelled, WaveState
from storage import waves


async def move_waves(unit: UnitOfWork, successor: str, bot_id: str, because: str) -> None:
    """Ends what nobody has confirmed, and shows in the new room what goes on: nobody is heard in the old one any more.

    Args:
        because: what is said of those that end.
    """
    wave_unit = WaveUnit(unit)
    not_begun = ASKED | {WaveState.COLLECTING}
    for wave in await waves.in_states(unit.tx, not_begun | AT_WORK | {WaveState.SCHEDULED}):
        # The command, which messages answer, stays in the old room; so does the message that was edited so far.
        moved = await waves.save(unit.tx, replace(wave, room_id=successor, command_event_id="", round=wave.round + 1))
        if wave.state in not_begun:
            await wave_unit.apply(moved, Cancelled(bot_id, because))
            continue
        await wave_unit.show(moved)
        if wave.begun_ts is not None:
            await wave_unit.react(moved, CONTROLS)
