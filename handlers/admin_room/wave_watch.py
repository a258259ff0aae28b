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
from handlers.admin_room.wave_review import collect, concerns_one
from handlers.context import Context
from handlers.upload import uri_of
from handlers.yes_no import NO, normalise
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.search import AccountSearch
from homeserver.client.api import BadAnswer, BadToken, HomeserverError, Refused
from homeserver.client.backoff import Backoff
from removal.protection import Surroundings, refuse_name
from removal.request import Request
from removal.wave import Cancelled, Declined, Event, Looked, MemberState, Review, Wave, WaveState, Withdrawn
from storage import outbox, uploads, waves
from storage.database import StorageError
from texts import Template

log = logging.getLogger(__name__)

ODD_ANSWERS_FOR = 300.0
"""Seconds after which an answer that can't be read, or a fault of the homeserver's own, is no passing trouble."""
AROUND_FOR = 5.0
"""Seconds that a look at who is moderator counts for."""
_WITH_LIST = frozenset({WaveState.AWAITING_CONFIRMATION, WaveState.SHOWN})


class WaveWatch:
    """Looks after waves for as long as it runs."""

    def __init__(self, context: Context, accounts: AccountBackend, finder: AccountSearch) -> None:
        """Args: accounts, finder: for many looks, at a pace that others don't notice."""
        self._context = context
        self._accounts = accounts
        self._finder = finder
        self._busy: set[int] = set()
        self._around: tuple[float, Surroundings] | None = None

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
                seen = await units.wait_for_change(seen, None, "waves")

    async def _look_after(self, wave: Wave) -> None:
        backoff, clock = Backoff(), asyncio.get_running_loop().time
        since = clock()
        try:
            # Read anew each time: somebody may have cancelled it, or its time may be over.
            while (now := await self._current(wave.id)) is not None:
                try:
                    if now.state is WaveState.COLLECTING:
                        await collect(self._context, self._accounts, self._finder, now)
                    elif not now.reported:
                        await self._tell(now)
                    return
                except HomeserverError as error:
                    lasting = isinstance(error, Refused) or clock() - since > ODD_ANSWERS_FOR
                    if now.state is WaveState.COLLECTING and concerns_one(error) and lasting:
                        await self._give_up(now, error)
                        return
                    wait = backoff.next_wait(error)
                    log.warning("%s has to wait: %s. Trying again in %.0f s.", wave.reference, error, wait)
                    await asyncio.sleep(wait)
        except StorageError as error:
            log.error("%s is stuck: %s", wave.reference, error)
            await asyncio.sleep(5)
        except Exception:
            log.exception("%s is stuck", wave.reference)
            await asyncio.sleep(30)
        finally:
            self._busy.discard(wave.id)
            self._context.units.notify("waves")

    async def _current(self, wave_id: int) -> Wave | None:
        async with self._context.units.database.transaction(only_reading=True) as tx:
            return await waves.get(tx, wave_id)

    async def _give_up(self, wave: Wave, error: HomeserverError) -> None:
        """Nobody is asked about a list that the homeserver refuses to give."""
        log.error("%s: the accounts can't be found: %s", wave.reference, error)
        async with self._context.units.begin() as unit:
            wave_unit = WaveUnit(unit)
            because = unit.messages.render(Template.WAVE_LIST, problem="unsearchable", detail=str(error), limit=0).body
            await wave_unit.apply(await wave_unit.get(wave.id), Looked(Review(), because))

    async def _tell(self, wave: Wave) -> None:
        """Says what the state that a wave came to has to tell. Raises: HomeserverError."""
        ended = wave.state in (WaveState.DONE, WaveState.CANCELLED) and wave.begun_ts is not None
        file, refused = None, ""
        if wave.state in _WITH_LIST or ended:
            encrypted = (await self._context.authority.room(wave.room_id)).encrypted
            send = outcome_file if ended else list_file
            try:
                file = await send(self._context, wave, encrypted=encrypted)
            except HomeserverError as error:
                # A proxy, or the homeserver, may take no file of this size: people are asked and told all the same.
                if isinstance(error, BadToken) or not isinstance(error, Refused | BadAnswer):
                    raise
                refused = str(error)
                log.error("%s: its file can't be uploaded: %s", wave.reference, error)
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
            if refused:
                await wave_unit.say(wave, "no_file", why=refused)
            if file is not None:
                await uploads.sent(unit.tx, uri_of(file), unit.now, None)
                await wave_unit.send_file(wave, file, wave.state.value)
            await wave_unit.told(wave)

    async def may_begin(self, wave: Wave) -> bool:
        """Whether a confirmed wave may begin: is the ✅ still there, does nobody object, may whoever confirmed still
        decide, and is the list the one that was shown?

        Raises:
            HomeserverError: it can't be told; then nothing may be done.
        """
        context = self._context
        room = await context.authority.admin_room()
        decided = await self._withdrawn(wave, lambda user_id: room.may(user_id, "deactivate", "cancel"))
        async with context.units.begin() as unit:
            wave_unit = WaveUnit(unit)
            wave = await wave_unit.get(wave.id)
            if decided is None and not room.may(wave.confirmer_id or "", "deactivate"):
                decided = Cancelled(context.bot_id, unit.messages.sentence(Template.CONFIRMER_GONE))
            if decided is None and await waves.digest(unit.tx, wave.id) != (wave.review.count, wave.review.digest):
                because = unit.messages.render(Template.WAVE_LIST, problem="list_changed", detail="", limit=0).body
                decided = Cancelled(context.bot_id, because)
            if decided is not None:
                await wave_unit.apply(wave, decided)
        return decided is None

    async def take_off(self, wave_id: int) -> None:
        """Takes off the list who became protected, moderator or server admin since, and isn't touched yet: asked before
        the first account, and whenever the wave goes on.

        Raises:
            HomeserverError: it can't be told; then nothing may be done.
        """
        context = self._context
        around = context.authority.surroundings(await context.authority.admin_room())
        admins = await self._accounts.server_admins()  # those whom MAS alone knows among them
        after, ended = "", False
        while not ended:
            async with context.units.begin(quiet=True) as unit:
                wave = await WaveUnit(unit).get(wave_id)
                page = await waves.members(unit.tx, wave.id, (MemberState.WAITING,), limit=1000, after=after)
                off = []
                for member in page:
                    refusal = refuse_name(member.user_id, wave.requester_id, around)
                    because = refusal.value if refusal else "server_admin" if member.user_id in admins else ""
                    if because:
                        off.append((member.user_id, MemberState.CANCELLED, {"because": because}))
                await waves.looked_at(unit.tx, wave.id, off)
                ended = not page
                after = page[-1].user_id if page else after

    async def protected(self, request: Request) -> str:
        """Why a suspended account mustn't be deactivated, by what the admin room and the settings say now; empty where
        nothing speaks against it.

        Raises:
            HomeserverError: it can't be told.
        """
        loop_time = asyncio.get_running_loop().time()
        if self._around is None or loop_time - self._around[0] > AROUND_FOR:
            room = await self._context.authority.admin_room()
            self._around = loop_time, self._context.authority.surroundings(room)
        refusal = refuse_name(request.target_id, request.requester_id, self._around[1])
        return refusal.value if refusal else ""

    async def _withdrawn(self, wave: Wave, may_stop: Callable[[str], bool]) -> Event | None:
        if wave.rules.by_reply or wave.confirmation_event_id is None:
            return None
        async with self._context.units.begin(quiet=True) as unit:
            card = unit.messages.txn_id(f"{wave.reference}.card.{wave.confirmed_round or wave.round}")
            event_id = await outbox.event_id_of(unit.tx, card)
        room_id = wave.confirmed_in or wave.room_id
        standing = await self._context.authority.reactions(room_id, event_id) if event_id else []
        for sender, key, _ in standing:
            if normalise(key) in NO and may_stop(sender):
                return Declined(sender)
        if wave.confirmation_event_id in {event_id for _, _, event_id in standing}:
            return None
        return Withdrawn(wave.confirmer_id or "")
