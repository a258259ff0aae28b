"""What has to be done for waves beside commands: prompts and outcomes are sent with their files, and the last look is
taken before the first account is touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from engine.announcements import YES_NO
from engine.wave_unit import WaveUnit
from handlers.admin_room.wave_files import list_file, outcome_file
from handlers.admin_room.wave_review import collect
from handlers.context import Context
from handlers.upload import uri_of
from handlers.yes_no import NO, normalise
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.search import AccountSearch
from homeserver.client.api import HomeserverError
from homeserver.client.backoff import Backoff
from removal.protection import refuse_name
from removal.wave import Cancelled, Declined, Event, MemberState, Wave, WaveState, Withdrawn
from storage import outbox, uploads, waves
from storage.database import StorageError
from texts import Template

log = logging.getLogger(__name__)

_WITH_LIST = frozenset({WaveState.AWAITING_CONFIRMATION, WaveState.SHOWN})


class WaveWatch:
    """Looks after waves for as long as it runs."""

    def __init__(self, context: Context, accounts: AccountBackend, finder: AccountSearch) -> None:
        """Args: accounts, finder: for many looks, at a pace that others don't notice."""
        self._context = context
        self._accounts = accounts
        self._finder = finder
        self._busy: set[int] = set()

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        units = self._context.units
        async with asyncio.TaskGroup() as tasks:
            while True:
                async with units.database.transaction(only_reading=True) as tx:
                    collecting = await waves.in_states(tx, (WaveState.COLLECTING,))
                    untold = await waves.untold(tx)
                for wave in [*collecting, *untold]:
                    if wave.id not in self._busy:
                        self._busy.add(wave.id)
                        tasks.create_task(self._look_after(wave))
                seen = await units.wait_for_change(seen, None)

    async def _look_after(self, wave: Wave) -> None:
        backoff = Backoff()
        try:
            while True:
                try:
                    if wave.state is WaveState.COLLECTING:
                        await collect(self._context, self._accounts, self._finder, wave)
                    else:
                        await self._tell(wave)
                    return
                except HomeserverError as error:
                    wait = backoff.next_wait(error)
                    log.warning("%s waits: %s. Trying again in %.0f s.", wave.reference, error, wait)
                    await asyncio.sleep(wait)
        except StorageError as error:
            log.error("%s stands still: %s", wave.reference, error)
            await asyncio.sleep(5)
        except Exception:
            log.exception("%s stands still", wave.reference)
            await asyncio.sleep(30)
        finally:
            self._busy.discard(wave.id)
            await self._context.units.notify()

    async def _tell(self, wave: Wave) -> None:
        """Says what the state that a wave came to has to tell. Raises: HomeserverError."""
        ended = wave.state in (WaveState.DONE, WaveState.CANCELLED) and wave.begun_ts is not None
        file = None
        if wave.state in _WITH_LIST or ended:
            encrypted = (await self._context.authority.room(wave.room_id)).encrypted
            send = outcome_file if ended else list_file
            file = await send(self._context, wave, encrypted=encrypted)
        async with self._context.units.begin() as unit:
            wave_unit = WaveUnit(unit)
            now = await wave_unit.get(wave.id)
            if now.version != wave.version:
                return  # it came to another state meanwhile, which is told instead
            if wave.state in _WITH_LIST:
                await wave_unit.show(wave)
                if wave.state is WaveState.AWAITING_CONFIRMATION and not wave.rules.by_reply:
                    await wave_unit.react(wave, YES_NO)
            else:
                mention = wave.confirmer_id if wave.state is WaveState.AWAITING_NUMBER else wave.requester_id
                await wave_unit.say(wave, "ended" if ended else wave.state.value, mention=mention)
            if file is not None:
                await uploads.sent(unit.tx, uri_of(file), unit.now, None)
                await wave_unit.send_file(wave, file, wave.state.value)
            await wave_unit.told(wave)

    async def may_begin(self, wave: Wave) -> bool:
        """Whether a confirmed wave may begin: is the ✅ still there, does nobody object, who may still decide? Accounts
        that became protected, moderator or admin meanwhile are taken off.

        Raises:
            HomeserverError: it can't be told; then nothing may be done.
        """
        context = self._context
        room = await context.authority.admin_room()
        decided = await self._withdrawn(wave, room.is_moderator)
        around = context.authority.surroundings(room)
        admins = await self._finder.admins()
        async with context.units.begin(quiet=decided is None) as unit:
            wave_unit = WaveUnit(unit)
            wave = await wave_unit.get(wave.id)
            if decided is None and not room.is_moderator(wave.confirmer_id or ""):
                decided = Cancelled(context.bot_id, unit.messages.sentence(Template.CONFIRMER_GONE))
            if decided is not None:
                await wave_unit.apply(wave, decided)
                return False
            for user_id in {*around.moderators, *admins}:
                member = await waves.member(unit.tx, wave.id, user_id)
                if member is not None and member.state == MemberState.WAITING:
                    refusal = refuse_name(user_id, wave.requester_id, around)
                    because = {"because": refusal.value if refusal else "server_admin"}
                    await waves.looked_at(unit.tx, wave.id, [(user_id, MemberState.REFUSED, because)])
        return True

    async def _withdrawn(self, wave: Wave, is_moderator: Callable[[str], bool]) -> Event | None:
        if wave.rules.by_reply or wave.confirmation_event_id is None:
            return None
        async with self._context.units.begin(quiet=True) as unit:
            card = unit.messages.txn_id(f"{wave.reference}.card.{wave.round}")
            event_id = await outbox.event_id_of(unit.tx, card)
        standing = await self._context.authority.reactions(wave.room_id, event_id) if event_id else []
        for sender, key, _ in standing:
            if normalise(key) in NO and is_moderator(sender):
                return Declined(sender)
        if wave.confirmation_event_id in {event_id for _, _, event_id in standing}:
            return None
        return Withdrawn(wave.confirmer_id or "")
