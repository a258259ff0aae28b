"""How the bot stands to its admin room: a question that `check` and the start of the bot share."""

from __future__ import annotations

from enum import StrEnum

from homeserver.accounts.backend import AccountBackend
from homeserver.client.api import BadAnswer, BadToken, Forbidden, NotFound
from homeserver.client.rooms import Rooms, RoomState
from texts import Group, Texts, plain


class Standing(StrEnum):
    """Whether the bot is in a room, and if not, why."""

    JOINED = "joined"
    INVITED = "invited"  # it joins by itself while it runs
    BANNED = "banned"
    OUTSIDE = "outside"  # the room is there, and nobody invited the bot
    UNKNOWN = "unknown"  # this homeserver knows no such room


async def standing(
    rooms: Rooms, accounts: AccountBackend, room_id: str, user_id: str
) -> tuple[Standing, RoomState | None]:
    """How this account stands to a room, and the room's state where it is in it.

    Raises: HomeserverError: it can't be told.
    """
    try:
        state = await rooms.state(room_id)
    except (Forbidden, BadToken):
        state = None
    if state is not None and state.membership(user_id) == "join":
        return Standing.JOINED, state
    try:
        members = RoomState.from_events(await accounts.room_state(room_id, "m.room.member"))
    except NotFound:
        return Standing.UNKNOWN, None
    except BadAnswer:
        return Standing.OUTSIDE, None
    known = {"invite": Standing.INVITED, "ban": Standing.BANNED}
    return known.get(members.membership(user_id), Standing.OUTSIDE), None


def explain_standing(texts: Texts, how: Standing, room_id: str, user_id: str) -> str:
    """In words, with what mends it, as `check` says it."""
    groups: tuple[Group, ...] = ("check", "check_remedy")
    words = [texts.word(group, f"admin_room_{how}", room=room_id, user=user_id) for group in groups]
    return " ".join(plain(str(each)) for each in words)
