"""Synapse's admin API, as far as the bot uses it. Source: Synapse's documentation of each path."""

from __future__ import annotations

from typing import Any

from simulation.model.routes import Asked, route
from simulation.model.state import Account, Event, Json, Refused, Room, Task

_ADMIN = "/_synapse/admin"


def _local(asked: Asked) -> Account:
    return asked.server.local(asked.ids[0])


@route("GET", f"{_ADMIN}/v1/background_updates/status")
async def background_updates(asked: Asked) -> Json:
    return {"enabled": True, "current_updates": {}}


@route("GET", f"{_ADMIN}/v1/scheduled_tasks")
async def scheduled_tasks(asked: Asked) -> Json:
    def fits(task: Task) -> bool:
        return (
            asked.query.get("resource_id", task.resource_id) == task.resource_id
            and task.action == asked.query["action_name"]
        )

    return {"scheduled_tasks": [task.shown() for task in asked.server.tasks if fits(task)]}


@route("GET", f"{_ADMIN}/v2/users/{{}}")
async def user(asked: Asked) -> Json:
    return _local(asked).shown()


@route("PUT", f"{_ADMIN}/v2/users/{{}}")
async def change_user(asked: Asked) -> Json:
    """Changes an account, or makes it where there is none."""
    user_id, server = asked.ids[0], asked.server
    if user_id not in server.accounts and user_id.endswith(f":{server.name}"):
        server.register(user_id[1:].partition(":")[0])
    account = _local(asked)
    for name in ("threepids", "external_ids", "admin", "locked", "displayname"):
        if name in asked.body:
            setattr(account, name, asked.body[name])
    if asked.body.get("deactivated") is True and not account.deactivated:
        server.deactivate(account, erase=False)
    return account.shown()


@route("GET", f"{_ADMIN}/v3/users")
async def find_users(asked: Asked) -> Json:
    """The newest first; by name or display name, where one is asked for."""
    query, name = asked.query, asked.query.get("name", "").lower()
    found = [
        account
        for account in asked.server.accounts.values()
        if name in account.user_id[1:].partition(":")[0] or name in (account.displayname or "").lower()
        if not (account.deactivated and query.get("deactivated") == "false")
        if account.admin or query.get("admins") != "true"
    ]
    found.sort(key=lambda account: account.created_ts, reverse=True)
    start, limit = int(query.get("from", "0")), int(query["limit"])
    shown = [{"name": a.user_id, "creation_ts": a.created_ts, "admin": a.admin} for a in found[start : start + limit]]
    page: Json = {"users": shown, "total": len(found)}
    return {**page, "next_token": str(start + limit)} if len(found) > start + limit else page


@route("GET", f"{_ADMIN}/v2/users/{{}}/devices")
async def devices(asked: Asked) -> Json:
    found = [{"device_id": each} for each in _local(asked).devices]
    return {"devices": found, "total": len(found)}


@route("GET", f"{_ADMIN}/v1/users/{{}}/joined_rooms")
async def joined_rooms(asked: Asked) -> Json:
    found = asked.server.joined_rooms(asked.ids[0])
    return {"joined_rooms": found, "total": len(found)}


@route("GET", f"{_ADMIN}/v1/users/{{}}/memberships")
async def memberships(asked: Asked) -> Json:
    rooms = asked.server.rooms.values()
    found = {r.room_id: r.membership(asked.ids[0]) for r in rooms if ("m.room.member", asked.ids[0]) in r.state}
    return {"memberships": found}


@route("GET", f"{_ADMIN}/v1/users/{{}}/pushers")
async def pushers(asked: Asked) -> Json:
    return {"pushers": [{}] * _local(asked).pushers, "total": _local(asked).pushers}


@route("GET", f"{_ADMIN}/v1/users/{{}}/accountdata")
async def account_data(asked: Asked) -> Json:
    return {"account_data": {"global": _local(asked).account_data, "rooms": {}}}


@route("GET", f"{_ADMIN}/v1/users/{{}}/media")
async def media(asked: Asked) -> Json:
    files = _local(asked).files
    start, limit = int(asked.query.get("from", "0")), int(asked.query.get("limit", "100"))
    shown = [
        {
            "media_id": file.media_id,
            "created_ts": file.created_ts,
            "quarantined_by": file.quarantined_by,
            "safe_from_quarantine": file.safe_from_quarantine,
        }
        for file in files[start : start + limit]
    ]
    page: Json = {"media": shown, "total": len(files)}
    return {**page, "next_token": start + limit} if len(files) > start + limit else page


@route("POST", f"{_ADMIN}/v1/users/{{}}/shadow_ban")
async def shadow_ban(asked: Asked) -> Json:
    return _set_shadow_ban(asked, True)


@route("DELETE", f"{_ADMIN}/v1/users/{{}}/shadow_ban")
async def lift_shadow_ban(asked: Asked) -> Json:
    return _set_shadow_ban(asked, False)


def _set_shadow_ban(asked: Asked, banned: bool) -> Json:
    if asked.ids[0] not in asked.server.accounts and asked.ids[0].endswith(f":{asked.server.name}"):
        raise Refused(404, "M_UNKNOWN", "No row found (users)")
    _local(asked).shadow_banned = banned
    return {}


@route("DELETE", f"{_ADMIN}/v1/users/{{}}/media")
async def delete_media(asked: Asked) -> Json:
    account, limit = _local(asked), int(asked.query.get("limit", "100"))
    gone, account.files = account.files[:limit], account.files[limit:]
    return {"deleted_media": [file.media_id for file in gone], "total": len(gone)}


@route("DELETE", f"{_ADMIN}/v1/media/{{}}/{{}}")
async def delete_file(asked: Asked) -> Json:
    return {"deleted_media": [asked.ids[1]], "total": 1}


@route("POST", f"{_ADMIN}/v1/user/{{}}/media/quarantine")
async def quarantine(asked: Asked) -> Json:
    account = asked.server.accounts.get(asked.ids[0])
    files = [f for f in account.files if not f.quarantined_by and not f.safe_from_quarantine] if account else []
    for file in files:
        file.quarantined_by = asked.user_id
    return {"num_quarantined": len(files)}


@route("POST", f"{_ADMIN}/v1/deactivate/{{}}")
async def deactivate(asked: Asked) -> Json:
    asked.server.deactivate(_local(asked), erase=bool(asked.body["erase"]))
    return {"id_server_unbind_result": "success"}


@route("PUT", f"{_ADMIN}/v1/suspend/{{}}")
async def suspend(asked: Asked) -> Json:
    account = _local(asked)
    account.suspended = asked.body["suspend"]
    return {f"user_{account.user_id}_suspended": account.suspended}


@route("POST", f"{_ADMIN}/v1/user/{{}}/redact")
async def redact(asked: Asked) -> Json:
    account = _local(asked)
    rooms = asked.body["rooms"] or asked.server.joined_rooms(account.user_id)
    return {"redact_id": asked.server.start_redaction(account, rooms)}


@route("GET", f"{_ADMIN}/v1/user/redact_status/{{}}")
async def redact_status(asked: Asked) -> Json:
    task = next((task for task in asked.server.tasks if task.task_id == asked.ids[0]), None)
    if task is None:
        raise Refused(404, "M_NOT_FOUND", f"redact id '{asked.ids[0]}' not found")
    shown: Json = {"status": task.status}
    return {**shown, "failed_redactions": task.failed} if task.status == "complete" else shown


@route("GET", f"{_ADMIN}/v1/rooms/{{}}")
async def room_details(asked: Asked) -> Json:
    room = _known(asked)
    joined = room.with_membership("join")
    return {
        "room_id": room.room_id,
        "name": room.content("m.room.name").get("name"),
        "canonical_alias": None,
        "version": room.version,
        "joined_members": len(joined),
        "joined_local_members": sum(each in asked.server.accounts for each in joined),
        "tombstoned": ("m.room.tombstone", "") in room.state,
    }


def _known(asked: Asked) -> Room:
    return asked.server.room(asked.ids[0])


@route("GET", f"{_ADMIN}/v1/rooms/{{}}/members")
async def room_members(asked: Asked) -> Json:
    joined = _known(asked).with_membership("join")
    return {"members": joined, "total": len(joined)}


@route("GET", f"{_ADMIN}/v1/rooms/{{}}/state")
async def room_state(asked: Asked) -> Json:
    wanted = asked.query.get("type")
    found: list[Event] = [e for (kind, _), e in _known(asked).state.items() if wanted in (None, kind)]
    return {"state": [event.shown() for event in found]}


@route("POST", f"{_ADMIN}/v1/rooms/{{}}/make_room_admin")
async def make_room_admin(asked: Asked) -> Any:
    asked.server.make_room_admin(asked.ids[0], asked.body["user_id"])
    return {}
