"""Which room the bot obeys: the one that the settings name, or that their address named when it was first used."""

from __future__ import annotations

import logging

from cli.data_dir import CannotRun
from config import Settings
from homeserver.client.api import HomeserverError
from homeserver.client.rooms import Rooms
from storage import meta
from storage.database import Database

log = logging.getLogger(__name__)


async def pinned_admin_room(settings: Settings, rooms: Rooms, database: Database) -> str:
    """The admin room's id. An alias is resolved once; from then on the id that it named then holds.

    Raises:
        CannotRun: the alias names no room, or by now another one than it did.
        HomeserverError: it can't be asked, and nothing is pinned yet.
    """
    wanted = settings.admin_room
    async with database.transaction() as tx:
        pinned_for = await meta.get(tx, meta.ADMIN_ROOM_SETTING)
        pinned = await meta.get(tx, meta.ADMIN_ROOM)
    if pinned is not None and pinned_for == wanted:
        if wanted.startswith("#"):
            await _refuse_moved_alias(wanted, pinned, rooms)
        return pinned
    room_id = wanted
    if wanted.startswith("#"):
        found = await rooms.resolve_alias(wanted)
        if found is None:
            raise CannotRun(f"admin_room: there is no room with the address {wanted}. Check it, or use the room ID.")
        room_id = found
    async with database.transaction() as tx:
        await meta.put(tx, meta.ADMIN_ROOM_SETTING, wanted)
        await meta.put(tx, meta.ADMIN_ROOM, room_id)
    return room_id


async def _refuse_moved_alias(alias: str, pinned: str, rooms: Rooms) -> None:
    try:
        now = await rooms.resolve_alias(alias)
    except HomeserverError as error:
        log.warning("the address %s can't be looked up, going on with %s: %s", alias, pinned, error)
        return
    if now is not None and now != pinned and not await rooms.lead_to_each_other(pinned, now):
        raise CannotRun(
            f"admin_room: the address {alias} led to {pinned} when it was first used and leads to {now} now. Whoever "
            "moves an address would become moderator, so this isn't followed. If it is right, set admin_room to "
            f'the id: "{now}".'
        )
