"""What the bot does for itself once, as its own account: name, picture, and the room where moderators command it.

Sources: Matrix client-server API, `PUT /profile/{userId}/…`, `POST /createRoom`, `POST /rooms/{roomId}/invite`,
`PUT /rooms/{roomId}/state/…`, `GET /capabilities`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.client.api import Api, BadAnswer, Forbidden, NotFound
from homeserver.client.files import Files

MARK = "lethe.room"
"""A key of the create event's content. Together with its sender, whom nobody can forge, it says which room is ours."""
ADMINS = "admin_room"

_STATE = "/_matrix/client/v3/rooms/{}/state/{}"
_PROFILE = "/_matrix/client/v3/profile/{}"
_ROOMS_MAX = 500
FOUNDER_LEVEL = 100
MODERATOR_LEVEL = 50


async def set_name(api: Api, user_id: str, name: str) -> bool:
    """Sets the display name where there is none but the localpart; whether it did.

    Raises: HomeserverError.
    """
    shown = (await _profile(api, user_id)).get("displayname")
    if shown not in (None, "", user_id[1:].partition(":")[0]):
        return False
    await api.call("PUT", _PROFILE + "/displayname", user_id, json={"displayname": name})
    return True


async def set_picture(api: Api, user_id: str, picture: bytes) -> bool:
    """Sets the avatar (a PNG) where there is none; whether it did.

    Raises: HomeserverError.
    """
    if (await _profile(api, user_id)).get("avatar_url"):
        return False
    files = Files(api)
    uri = await files.reserve()
    await files.upload(uri, picture, "avatar.png", "image/png", encrypted=False)
    await api.call("PUT", _PROFILE + "/avatar_url", user_id, json={"avatar_url": uri})
    return True


async def _profile(api: Api, user_id: str) -> dict[str, Any]:
    try:
        return await api.call("GET", _PROFILE, user_id)
    except NotFound:
        return {}


async def find_admin_room(api: Api, user_id: str) -> str | None:
    """The admin room that this account made itself and is in, or None.

    Raises: HomeserverError.
    """
    joined = (await api.call("GET", "/_matrix/client/v3/joined_rooms")).get("joined_rooms")
    for room_id in (joined if isinstance(joined, list) else [])[:_ROOMS_MAX]:
        try:
            create = await api.call("GET", _STATE, room_id, "m.room.create", params={"format": "event"})
        except (Forbidden, NotFound):
            continue
        content = create.get("content")
        ours = isinstance(content, Mapping) and content.get(MARK) == ADMINS
        if ours and create.get("sender") == user_id and not await _replaced(api, room_id):
            return str(room_id)
    return None


async def _replaced(api: Api, room_id: str) -> bool:
    try:
        await api.call("GET", _STATE, room_id, "m.room.tombstone")
    except NotFound:
        return False
    return True


async def make_admin_room(api: Api, user_id: str, name: str, topic: str, moderators: Sequence[str]) -> str:
    """Makes the admin room, encrypted and by invitation only, and invites the moderators; returns its id.

    Who moderates has power level 50: they can command the bot, invite and remove people. The first has 100 and looks
    after the room: they alone change power levels, the join rule and whatever else decides who may command the bot.

    Args:
        user_id: this account.
        moderators: the first of them looks after the room.

    Raises: HomeserverError.
    """
    capabilities = (await api.call("GET", "/_matrix/client/v3/capabilities")).get("capabilities")
    versions = capabilities.get("m.room_versions") if isinstance(capabilities, Mapping) else None
    version = str(versions.get("default")) if isinstance(versions, Mapping) else ""
    # Since room version 12 the creator stands above all levels, and must not be named among them.
    above_all = not version.isdigit() or int(version) >= 12
    levels = {} if above_all else {user_id: FOUNDER_LEVEL}
    levels |= {each: FOUNDER_LEVEL if each == moderators[0] else MODERATOR_LEVEL for each in moderators}
    body = {
        "preset": "private_chat",
        "name": name,
        "topic": topic,
        "invite": list(moderators),
        "creation_content": {MARK: ADMINS},
        "initial_state": [
            _state_event("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}),
            _state_event("m.room.guest_access", {"guest_access": "forbidden"}),
            _state_event("m.room.join_rules", {"join_rule": "invite"}),
        ],
        "power_level_content_override": {
            "users": levels,
            "users_default": 0,
            "events_default": 0,
            "state_default": FOUNDER_LEVEL,
            "invite": MODERATOR_LEVEL,
            "kick": MODERATOR_LEVEL,
            "ban": MODERATOR_LEVEL,
            "redact": MODERATOR_LEVEL,
            "events": {
                "m.room.name": MODERATOR_LEVEL,
                "m.room.topic": MODERATOR_LEVEL,
                "m.room.avatar": MODERATOR_LEVEL,
                "m.room.tombstone": FOUNDER_LEVEL,
            },
        },
    }
    answer = await api.call("POST", "/_matrix/client/v3/createRoom", json=body, timeout=60.0)
    room_id = answer.get("room_id")
    if not isinstance(room_id, str) or not room_id.startswith("!"):
        raise BadAnswer("the answer to the making of a room has no id")
    return room_id


def _state_event(event_type: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"type": event_type, "state_key": "", "content": content}


async def invite(api: Api, room_id: str, user_id: str) -> None:
    """Invites somebody.

    Raises: HomeserverError.
    """
    await api.call("POST", "/_matrix/client/v3/rooms/{}/invite", room_id, json={"user_id": user_id}, timeout=60.0)


async def raise_power(api: Api, room_id: str, user_id: str, level: int) -> None:
    """Gives somebody this power level.

    Raises: HomeserverError: the bot hasn't the power itself, for one.
    """
    content = await api.call("GET", _STATE, room_id, "m.room.power_levels")
    users = content.get("users")
    changed = {**content, "users": {**(users if isinstance(users, dict) else {}), user_id: level}}
    await api.call("PUT", _STATE, room_id, "m.room.power_levels", json=changed)
