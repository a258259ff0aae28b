"""The client API, as far as the bot uses it. Source: client-server API; each path stands with its function."""

from __future__ import annotations

import asyncio

from simulation.model.routes import Asked, route
from simulation.model.state import Event, Json, Refused, Room

_V3 = "/_matrix/client/v3"
TIMELINE_LIMIT = 50


def _seen_state(asked: Asked) -> tuple[Room, dict[tuple[str, str], Event]]:
    """A room, and its state as far as this user may see it: now, or when they left."""
    room_id = asked.ids[0]
    room = asked.server.rooms.get(room_id)
    if room is not None and room.membership(asked.user_id) == "join":
        return room, room.state
    if room is None or asked.user_id not in room.left or asked.user_id in room.forgotten:
        raise Refused(403, "M_FORBIDDEN", f"User {asked.user_id} not in room {room_id}")
    return room, room.left[asked.user_id]


@route("GET", f"{_V3}/rooms/{{}}/state")
async def state(asked: Asked) -> list[Json]:
    return [event.shown() for event in _seen_state(asked)[1].values()]


@route("GET", f"{_V3}/rooms/{{}}/state/m.room.encryption/")
async def encryption(asked: Asked) -> Json:
    event = _seen_state(asked)[1].get(("m.room.encryption", ""))
    if event is None:
        raise Refused(404, "M_NOT_FOUND", "Event not found.")
    return event.content


@route("GET", f"{_V3}/rooms/{{}}/state/{{}}/{{}}")
async def state_event(asked: Asked) -> Json:
    """One of the room's state events: its content, or with `format=event` the whole of it."""
    event = _seen_state(asked)[1].get((asked.ids[1], asked.ids[2]))
    if event is None:
        raise Refused(404, "M_NOT_FOUND", "Event not found.")
    return event.shown() if asked.query.get("format") == "event" else event.content


@route("GET", f"{_V3}/rooms/{{}}/members")
async def members(asked: Asked) -> Json:
    found = [event for (kind, _), event in _seen_state(asked)[1].items() if kind == "m.room.member"]
    return {"chunk": [e.shown() for e in found if e.membership != asked.query.get("not_membership")]}


@route("GET", f"{_V3}/rooms/{{}}/event/{{}}")
async def one_event(asked: Asked) -> Json:
    event = asked.server.joined(asked.user_id, asked.ids[0]).event(asked.ids[1])
    if event is None:
        raise Refused(404, "M_NOT_FOUND", "Event not found.")
    return event.shown()


@route("GET", "/_matrix/client/v1/rooms/{}/relations/{}/m.annotation/m.reaction")
async def relations(asked: Asked) -> Json:
    room = asked.server.joined(asked.user_id, asked.ids[0])
    if room.event(asked.ids[1]) is None:
        raise Refused(404, "M_UNKNOWN", "Unknown parent event.")
    found = asked.server.reactions(room, asked.ids[1])
    start, limit = int(asked.query.get("from", "0")), int(asked.query.get("limit", "5"))
    page: Json = {"chunk": [event.shown() for event in found[start : start + limit]]}
    return {**page, "next_batch": str(start + limit)} if len(found) > start + limit else page


@route("PUT", f"{_V3}/rooms/{{}}/send/{{}}/{{}}")
async def send(asked: Asked) -> Json:
    room_id, event_type, txn_id = asked.ids
    return {"event_id": asked.server.send(asked.user_id, room_id, event_type, asked.body, txn_id)}


@route("PUT", f"{_V3}/rooms/{{}}/redact/{{}}/{{}}")
async def redact(asked: Asked) -> Json:
    return {"event_id": asked.server.redact(asked.user_id, asked.ids[0], asked.ids[1])}


@route("PUT", f"{_V3}/rooms/{{}}/state/{{}}/{{}}")
async def set_state(asked: Asked) -> Json:
    room_id, event_type, state_key = asked.ids
    return {"event_id": asked.server.set_state(asked.user_id, room_id, event_type, asked.body, state_key)}


@route("POST", f"{_V3}/rooms/{{}}/invite")
async def invite(asked: Asked) -> Json:
    asked.server.invite(asked.user_id, asked.ids[0], asked.body["user_id"])
    return {}


@route("POST", f"{_V3}/rooms/{{}}/kick")
async def kick(asked: Asked) -> Json:
    asked.server.kick(asked.user_id, asked.ids[0], asked.body["user_id"])
    return {}


@route("POST", f"{_V3}/rooms/{{}}/join")
async def join(asked: Asked) -> Json:
    asked.server.join(asked.user_id, asked.ids[0])
    return {"room_id": asked.ids[0]}


@route("POST", f"{_V3}/rooms/{{}}/leave")
async def leave(asked: Asked) -> Json:
    asked.server.leave(asked.user_id, asked.ids[0])
    return {}


@route("POST", f"{_V3}/rooms/{{}}/forget")
async def forget(asked: Asked) -> Json:
    room = asked.server.rooms.get(asked.ids[0])
    if room is not None and room.membership(asked.user_id) in ("join", "invite"):
        raise Refused(400, "M_UNKNOWN", f"User {asked.user_id} in room {asked.ids[0]}")
    if room is not None:
        room.forgotten.add(asked.user_id)
    return {}


@route("POST", f"{_V3}/user_directory/search")
async def search_directory(asked: Asked) -> Json:
    """Who is searched for by their whole Matrix ID, if whoever asks may see them there."""
    account = asked.server.accounts.get(asked.body["search_term"])
    found = account is not None and asked.server.in_directory_for(asked.user_id, account)
    return {"limited": False, "results": [{"user_id": account.user_id}] if account is not None and found else []}


@route("POST", f"{_V3}/createRoom")
async def create_room(asked: Asked) -> Json:
    body = asked.body
    room = asked.server.create_room(
        asked.user_id,
        version=body.get("room_version", "11"),
        name=body.get("name", ""),
        invite=body.get("invite"),
        direct=body.get("is_direct", False),
        public=body.get("preset") == "public_chat",
        initial_state=body.get("initial_state"),
        power_levels=body.get("power_level_content_override"),
    )
    return {"room_id": room.room_id}


@route("GET", f"{_V3}/directory/room/{{}}")
async def alias(asked: Asked) -> Json:
    room_id = asked.server.aliases.get(asked.ids[0])
    if room_id is None:
        raise Refused(404, "M_NOT_FOUND", f"Room alias {asked.ids[0]} not found")
    return {"room_id": room_id}


@route("GET", f"{_V3}/profile/{{}}")
async def profile(asked: Asked) -> Json:
    account = asked.server.accounts.get(asked.ids[0])
    if account is None or account.erased:
        raise Refused(404, "M_NOT_FOUND", "Profile was not found")
    return {"displayname": account.displayname} if account.displayname is not None else {}


@route("POST", "/_matrix/media/v1/create")
async def reserve(asked: Asked) -> Json:
    return {"content_uri": f"mxc://{asked.server.name}/{asked.server.new_id('media')}"}


@route("PUT", "/_matrix/media/v3/upload/{}/{}")
async def upload(asked: Asked) -> Json:
    return {}


# --- what is new ---


@route("GET", f"{_V3}/sync")
async def sync(asked: Asked) -> Json:
    """Answers at once where something is new; else waits until it is, or until the time is over."""
    since = int(asked.query["since"].removeprefix("s")) if "since" in asked.query else None
    loop = asyncio.get_running_loop()
    until = loop.time() + int(asked.query.get("timeout", "0")) / 1000
    while True:
        news = asked.server.news
        found = _news(asked, since)
        left = until - loop.time()
        if since is None or left <= 0 or any(found["rooms"].values()):
            return found
        try:
            async with asyncio.timeout(left):
                await news.wait()
        except TimeoutError:
            pass


def _news(asked: Asked, since: int | None) -> Json:
    rooms: Json = {"join": {}, "invite": {}, "leave": {}}
    for room in asked.server.rooms.values():
        own = room.state.get(("m.room.member", asked.user_id))
        if own is None:
            continue
        if own.membership == "join":
            timeline = _timeline(room, own, since)
            if timeline["events"]:
                rooms["join"][room.room_id] = {"timeline": timeline}
        elif since is None or own.position > since:
            if own.membership == "invite":
                stripped = {name: own.shown()[name] for name in ("type", "state_key", "sender", "content")}
                rooms["invite"][room.room_id] = {"invite_state": {"events": [stripped]}}
            elif since is not None:
                rooms["leave"][room.room_id] = {"timeline": {"events": [own.shown()]}}
    return {"next_batch": f"s{asked.server.position}", "rooms": rooms}


def _timeline(room: Room, own: Event, since: int | None) -> Json:
    came = own.position if own.prev_content is None or own.prev_content.get("membership") != "join" else 0
    newly = since is None or came > since
    events = [event for event in room.timeline if newly or event.position > (since or 0)]
    shown = events[-TIMELINE_LIMIT:]
    return {
        "events": [event.shown() for event in shown],
        "limited": len(events) > len(shown),
        "prev_batch": f"t{shown[0].position if shown else 0}",
    }


@route("GET", f"{_V3}/rooms/{{}}/messages")
async def messages(asked: Asked) -> Json:
    """Backwards only: from a token (not included) to another one."""
    room = asked.server.joined(asked.user_id, asked.ids[0])
    start, end = (int(asked.query.get(name, "s0")[1:]) for name in ("from", "to"))
    events = [event for event in reversed(room.timeline) if end < event.position < start]
    page = events[: int(asked.query.get("limit", "10"))]
    answer: Json = {"chunk": [event.shown() for event in page]}
    return {**answer, "end": f"t{page[-1].position}"} if len(events) > len(page) else answer
