"""What must hold of the room in which a person talks with the bot about their own account."""

from __future__ import annotations

from homeserver.client.rooms import RoomState


def alone_together(state: RoomState, bot_id: str, user_id: str) -> bool:
    """Whether a room holds exactly the bot and this person, invitations counted."""
    return state.joined() | state.invited() == {bot_id, user_id}


def somebody_else(state: RoomState, bot_id: str, user_id: str) -> bool:
    """Whether somebody besides the bot and this person is in a room, or invited."""
    return bool((state.joined() | state.invited()) - {bot_id, user_id})
