"""Synapse's admin API, used in this module only. One method for each request; no retries, no decisions.

All paths begin with `/_synapse/admin/` unless they are spelt out; the token's account has to be a server admin.
Every method raises what homeserver.client.api draws: `Unreachable` and `ServerFault` say that the outcome is unknown,
`Refused` that nothing was done. `Forbidden` means that this account is no server admin (or that a module forbade it),
`BadAnswer` that something else than a homeserver answered, or one of another version.

Source: https://element-hq.github.io/synapse/latest/usage/administration/admin_api/ and Synapse 1.163.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from homeserver.accounts.detection import AuthService, uses_mas
from homeserver.accounts.errors import MovedElsewhere
from homeserver.accounts.models import (
    AccountData,
    AccountDataAnswer,
    Capabilities,
    Deleted,
    Devices,
    Directory,
    FoundUsers,
    JoinedRooms,
    Media,
    MediaPage,
    Memberships,
    RatelimitOverride,
    RedactStatus,
    RoomDetails,
    RoomMembers,
    ScheduledTask,
    StateEvents,
    Tasks,
    Threepid,
    Total,
    User,
    UserAnswer,
    read,
)
from homeserver.accounts.search import AccountSearch
from homeserver.client.api import Api, BadAnswer, Forbidden, NotFound, Params
from homeserver.client.pace import Pace, PacedApi
from removal.plan import Step

DEACTIVATE_TIMEOUT = 180.0
"""Seconds. A pending invite from a dead server costs 20 s inside the call, a dead identity server 60 s."""
_DIRECTORY_LIMIT = 50
"""So many results are asked for, which is what Synapse gives at most."""
_SLOW = 120.0
_PAGE = 100

_USERS = "/_synapse/admin/v1/users/{}"
_USER_V2 = "/_synapse/admin/v2/users/{}"
_ROOM = "/_synapse/admin/v1/rooms/{}"


CALLS: Mapping[Step, tuple[str, ...]] = {
    Step.SNAPSHOT: (
        "GET /_synapse/admin/v2/users/{user_id}",
        "GET /_synapse/admin/v1/users/{user_id}/joined_rooms",
        "GET /_synapse/admin/v2/users/{user_id}/devices",
        "GET /_synapse/admin/v1/users/{user_id}/media",
    ),
    Step.HANDOVER: (
        "GET /_synapse/admin/v1/rooms/{room_id}/members",
        "POST /_synapse/admin/v1/rooms/{room_id}/make_room_admin",
        "GET /_synapse/admin/v1/rooms/{room_id}/state",
    ),
    Step.SUSPEND: ("PUT /_synapse/admin/v1/suspend/{user_id}", "GET /_synapse/admin/v2/users/{user_id}"),
    Step.THREEPIDS: ("PUT /_synapse/admin/v2/users/{user_id}",),
    Step.REDACT: (
        "POST /_synapse/admin/v1/user/{user_id}/redact",
        "GET /_synapse/admin/v1/user/redact_status/{redact_id}",
    ),
    Step.DEACTIVATE: ("POST /_synapse/admin/v1/deactivate/{user_id}",),
    Step.WAIT: (
        "GET /_synapse/admin/v1/users/{user_id}/joined_rooms",
        "GET /_synapse/admin/v1/scheduled_tasks",
        "GET /_synapse/admin/v1/rooms/{room_id}",
        "GET /_matrix/client/v3/capabilities",
    ),
    Step.MEDIA: (
        "DELETE /_synapse/admin/v1/users/{user_id}/media",
        "POST /_synapse/admin/v1/user/{user_id}/media/quarantine",
    ),
    Step.SSO: ("PUT /_synapse/admin/v2/users/{user_id}",),
    Step.REACTIVATE: ("GET /_synapse/admin/v2/users/{user_id}", "PUT /_synapse/admin/v2/users/{user_id}"),
    Step.RELEASE: (
        "PUT /_synapse/admin/v1/suspend/{user_id}",
        "PUT /_synapse/admin/v2/users/{user_id}",
        "DELETE /_synapse/admin/v1/users/{user_id}/shadow_ban",
        "GET /_synapse/admin/v2/users/{user_id}",
    ),
    Step.VERIFY: (
        "GET /_synapse/admin/v2/users/{user_id}",
        "GET /_synapse/admin/v2/users/{user_id}/devices",
        "GET /_synapse/admin/v1/users/{user_id}/pushers",
        "GET /_synapse/admin/v1/users/{user_id}/joined_rooms",
        "GET /_synapse/admin/v1/users/{user_id}/accountdata",
        "GET /_synapse/admin/v1/users/{user_id}/media",
        "GET /_matrix/client/v3/profile/{user_id}",
        "GET /_synapse/admin/v1/users/{user_id}/memberships",
        "POST /_matrix/client/v3/user_directory/search",
    ),
}
"""Step → the requests it makes; docs/steps.md shows them, and a test holds them to the methods below."""


class Synapse:
    """Synapse's admin API; an `AccountBackend`.

    Args:
        api: with the token of a server admin.
    """

    calls = CALLS
    deactivates_later = False
    service: AuthService | None = None

    def __init__(self, api: Api) -> None:
        self._api = api

    def paced(self, pace: Pace) -> Synapse:
        """The same accounts; each call waits for its turn."""
        return Synapse(PacedApi.beside(self._api, pace))

    # --- the server ---

    async def server_version(self) -> str:
        """Synapse's version, such as `1.163.2`: `GET v1/server_version`."""
        answer = await self._api.call("GET", "/_synapse/admin/v1/server_version")
        version = answer.get("server_version")
        if not isinstance(version, str):
            raise BadAnswer("the homeserver doesn't name its version")
        return version

    async def versions(self) -> Mapping[str, str]:
        """Synapse's version."""
        return {"Synapse": await self.server_version()}

    async def is_admin(self) -> bool:
        """Whether the token's account is a server admin: `GET v1/background_updates/status`, the cheapest question.

        Raises:
            BadToken: the token isn't one.
        """
        try:
            await self._api.call("GET", "/_synapse/admin/v1/background_updates/status")
        except Forbidden:
            return False
        return True

    async def ensure_in_charge(self) -> None:
        """Makes sure that no Matrix Authentication Service keeps the accounts by now: `GET …/auth_metadata`.

        A server can move while requests wait. Its old tokens go on working, and its own deactivation goes on answering
        "done", but the account can log in again.

        Raises:
            MovedElsewhere: one does.
        """
        if await uses_mas(self._api):
            raise MovedElsewhere("the accounts of this homeserver live in a Matrix Authentication Service (MAS) by now")

    async def scheduled_tasks(self, resource_id: str, action_name: str) -> list[ScheduledTask]:
        """The tasks of this kind for this resource, ended ones of the last seven days too: `GET v1/scheduled_tasks`.

        Args:
            resource_id: for REDACTION and JOIN_STATES the account's Matrix ID.
            action_name: REDACTION or JOIN_STATES.
        """
        params = {"resource_id": resource_id, "action_name": action_name}
        answer = await self._api.call("GET", "/_synapse/admin/v1/scheduled_tasks", params=params)
        tasks = read(Tasks, "the scheduled tasks", answer).scheduled_tasks
        if any(task.resource_id != resource_id or task.action != action_name for task in tasks):
            raise BadAnswer("the homeserver lists other scheduled tasks than those asked for")
        return tasks

    async def open_tasks(self, action_name: str) -> frozenset[str]:
        """What there are tasks of this kind for that haven't ended, for all accounts: `GET v1/scheduled_tasks`."""
        open_ones: Params = {"action_name": action_name, "job_status": ["scheduled", "active"]}
        answer = await self._api.call("GET", "/_synapse/admin/v1/scheduled_tasks", params=open_ones)
        tasks = read(Tasks, "the scheduled tasks", answer).scheduled_tasks
        if any(task.action != action_name or task.status.over for task in tasks):
            raise BadAnswer("the homeserver lists other scheduled tasks than those asked for")
        return frozenset(task.resource_id for task in tasks if task.resource_id is not None)

    # --- looking at an account ---

    async def user(self, user_id: str) -> User | None:
        """The account, or None where there never was one with this name: `GET v2/users/{user_id}`.

        Raises:
            Refused: not a Matrix ID of this server.
        """
        try:
            return (await self._user(user_id)).user()
        except NotFound as error:
            if error.errcode != "M_NOT_FOUND":
                raise
            return None

    async def find_users(self, text: str, limit: int = 3) -> list[str]:
        """Matrix IDs whose name or display name contains this, guests left out: `GET v3/users?name=…`.

        For suggestions only: the homeserver takes `_` for any character, and what it can't search for is left out.
        """
        text = text.encode(errors="ignore").decode().replace("\x00", "").replace("%", "")[:255]
        if not text:
            return []
        params: dict[str, str | int | bool] = {"name": text, "limit": limit, "guests": False, "locked": True}
        answer = await self._api.call("GET", "/_synapse/admin/v3/users", params=params)
        return [each.name for each in read(FoundUsers, "the search for accounts", answer).users][:limit]

    async def owner_of(self, medium: str, address: str) -> str | None:
        """The account that has this third-party id: `GET v1/threepid/{medium}/users/{address}`."""
        try:
            answer = await self._api.call("GET", "/_synapse/admin/v1/threepid/{}/users/{}", medium, address)
        except NotFound as error:
            if error.errcode != "M_NOT_FOUND":
                raise
            return None
        user_id = answer.get("user_id")
        if not isinstance(user_id, str):
            raise BadAnswer("the homeserver's answer to a third-party id names no account")
        return user_id

    async def reports_against(self, user_id: str) -> int:
        """How many reports there are: `GET v1/event_reports` (what it wrote), `GET v1/user_reports` (itself)."""
        events = await self._api.call(
            "GET", "/_synapse/admin/v1/event_reports", params={"event_sender_user_id": user_id, "limit": 1}
        )
        users = await self._api.call(
            "GET", "/_synapse/admin/v1/user_reports", params={"target_user_id": user_id, "limit": 1}
        )
        return sum(read(Total, "the list of reports", each).total for each in (events, users))

    async def threepids(self, user_id: str) -> list[Threepid]:
        """E-mail addresses and phone numbers, for their owner only: `GET v2/users/{user_id}`.

        Raises:
            NotFound: no such account.
        """
        return (await self._user(user_id)).threepids

    async def devices(self, user_id: str) -> list[str]:
        """The ids of the account's devices: `GET v2/users/{user_id}/devices`.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("GET", _USER_V2 + "/devices", user_id)
        return [each.device_id for each in read(Devices, "the list of devices", answer).devices]

    async def has_session(self, user_id: str, device_id: str) -> bool:
        """Whether the account has this session. Raises: NotFound: no such account."""
        return device_id in await self.devices(user_id)

    async def owner_of_session(self, device_id: str) -> str | None:
        """Whose session this is: asks for each account in turn, the newest first, since Synapse has no other way."""
        search, start = AccountSearch(self._api), "0"
        while True:
            page = await search.page(start)
            for each in page.users:
                with suppress(NotFound):
                    if await self.has_session(each.name, device_id):
                        return each.name
            if page.next_token is None or not page.users:
                return None
            start = page.next_token

    async def end_session(self, user_id: str, device_id: str) -> None:
        """Ends a session: `DELETE v2/users/{user_id}/devices/{device_id}`; 200 for one that isn't there, too."""
        await self._api.call("DELETE", _USER_V2 + "/devices/{}", user_id, device_id)

    async def sessions(self, user_id: str) -> Mapping[str, int]:
        """How many devices there are: whoever is logged in has one.

        Raises:
            NotFound: no such account.
        """
        return {"devices": len(await self.devices(user_id))}

    async def device_records(self, user_id: str) -> list[dict[str, Any]]:
        """The devices with all that the homeserver knows of them (names, addresses), for their owner only."""
        answer = await self._api.call("GET", _USER_V2 + "/devices", user_id)
        read(Devices, "the list of devices", answer)
        return list(answer["devices"])

    async def joined_rooms(self, user_id: str) -> list[str]:
        """The rooms where this account is joined: `GET v1/users/{user_id}/joined_rooms`.

        Empty for unknown accounts too.
        """
        answer = await self._api.call("GET", _USERS + "/joined_rooms", user_id, timeout=_SLOW)
        return read(JoinedRooms, "the list of joined rooms", answer).joined_rooms

    async def in_directory(self, user_id: str) -> bool:
        """Whether the user directory shows the account: `POST /_matrix/client/v3/user_directory/search`.

        It shows what the bot may find, which is every account in a public room or in one of the bot's.
        """
        body = {"search_term": user_id, "limit": _DIRECTORY_LIMIT}
        answer = await self._api.call("POST", "/_matrix/client/v3/user_directory/search", json=body, timeout=_SLOW)
        return any(each.user_id == user_id for each in read(Directory, "the user directory", answer).results)

    async def memberships(self, user_id: str) -> dict[str, str]:
        """Room → membership, rooms left or banned from too: `GET v1/users/{user_id}/memberships`."""
        answer = await self._api.call("GET", _USERS + "/memberships", user_id, timeout=_SLOW)
        return read(Memberships, "the list of memberships", answer).memberships

    async def pushers(self, user_id: str) -> int:
        """How many pushers the account has: `GET v1/users/{user_id}/pushers`.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("GET", _USERS + "/pushers", user_id)
        return read(Total, "the list of pushers", answer).total

    async def account_data(self, user_id: str) -> AccountData:
        """The account's data, for their owner only; `.count` is for everybody: `GET v1/users/{user_id}/accountdata`.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("GET", _USERS + "/accountdata", user_id, timeout=_SLOW)
        return read(AccountDataAnswer, "the account data", answer).account_data

    async def profile(self, user_id: str) -> dict[str, Any] | None:
        """The profile as everybody sees it, None where there is none: `GET /_matrix/client/v3/profile/{userId}`."""
        try:
            return await self._api.call("GET", "/_matrix/client/v3/profile/{}", user_id)
        except NotFound as error:
            if error.errcode not in ("M_NOT_FOUND", "M_UNKNOWN"):  # the latter once an account is erased
                raise
            return None

    async def override_ratelimit(self, user_id: str) -> RatelimitOverride | None:
        """The account's own limits for messages, None for the usual: `GET v1/users/{user_id}/override_ratelimit`."""
        answer = await self._api.call("GET", _USERS + "/override_ratelimit", user_id)
        return read(RatelimitOverride, "the limits of an account", answer) if answer else None

    # --- acting on an account ---

    async def deactivate(self, user_id: str, erase: bool) -> str:
        """Deactivates the account: `POST v1/deactivate/{user_id}`. Safe to repeat; plain never undoes an erasure.

        The answer isn't the end: rooms are left in the background (see `joined_rooms`). Where accounts live in a Matrix
        Authentication Service this doesn't reach it.

        Returns:
            What became of the third-party ids at identity servers: `success` or `no-support`.

        Raises:
            NotFound: no such account.
            Forbidden: a module of the homeserver forbade it, or this account is no server admin.
            Refused: not a Matrix ID of this server, or see `errors.identity_server_failed`.
        """
        answer = await self._api.call(
            "POST",
            "/_synapse/admin/v1/deactivate/{}",
            user_id,
            json={"erase": erase},
            timeout=DEACTIVATE_TIMEOUT,
        )
        unbound = answer.get("id_server_unbind_result")
        if not isinstance(unbound, str):
            raise BadAnswer("the homeserver's answer to a deactivation doesn't say what became of third-party ids")
        return unbound

    async def reactivate(self, user_id: str) -> None:
        """Takes a deactivation back, with a password that nobody knows: `GET`, then `PUT v2/users/{user_id}`.

        Looks first, since the `PUT` creates an account where there is none. Safe to repeat: nothing is asked where the
        account is active.

        Raises:
            NotFound: no such account; nothing was done.
        """
        if not (await self._user(user_id)).deactivated:
            return
        body: dict[str, Any] = {"deactivated": False}
        try:
            await self._change(user_id, {**body, "password": secrets.token_urlsafe(32)})
        except Forbidden:
            if not await self.is_admin():
                raise
            await self._change(user_id, body)  # log-in by password is switched off

    async def suspend(self, user_id: str, suspended: bool) -> None:
        """Sets or clears the account's suspension: `PUT v1/suspend/{user_id}`. Safe to repeat.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("PUT", "/_synapse/admin/v1/suspend/{}", user_id, json={"suspend": suspended})
        if answer.get(f"user_{user_id}_suspended") is not suspended:
            raise BadAnswer("the homeserver's answer to a suspension doesn't confirm it")

    async def lock(self, user_id: str, locked: bool) -> None:
        """Locks or unlocks the account: `GET`, then `PUT v2/users/{user_id}`. Safe to repeat.

        Looks first, since the `PUT` creates an active account where there is none.

        Raises:
            NotFound: no such account; nothing was done.
        """
        if (await self._user(user_id)).locked is not locked:
            await self._change(user_id, {"locked": locked})

    async def lift_shadow_ban(self, user_id: str) -> None:
        """Lifts a shadow-ban: `DELETE v1/users/{user_id}/shadow_ban`. Safe to repeat.

        Raises:
            NotFound: no such account.
        """
        await self._api.call("DELETE", _USERS + "/shadow_ban", user_id)

    async def log_out(self, user_id: str) -> None:
        """Removes all devices, and their tokens with them: `POST v2/users/{user_id}/delete_devices`. Safe to repeat.

        A token without a device, which only another admin can have made, stays.

        Raises:
            NotFound: no such account.
        """
        devices = await self.devices(user_id)
        if devices:
            await self._api.call(
                "POST", _USER_V2 + "/delete_devices", user_id, json={"devices": devices}, timeout=_SLOW
            )

    async def scramble_password(self, user_id: str) -> bool:
        """Sets a password that nobody knows, and ends all sessions: `POST v1/reset_password/{user_id}`. Safe to repeat.

        Raises:
            NotFound: no such account.
        """
        body = {"new_password": secrets.token_urlsafe(32), "logout_devices": True}
        try:
            await self._api.call("POST", "/_synapse/admin/v1/reset_password/{}", user_id, json=body, timeout=_SLOW)
        except Forbidden:
            if not await self.is_admin():
                raise
            return False  # log-in by password is switched off
        return True

    async def remove_threepids(self, user_id: str) -> tuple[str, ...]:
        """Takes all third-party ids off, at identity servers too: `GET`, then `PUT v2/users/{user_id}`. Safe to repeat.

        Looks first, since the `PUT` creates an active account where there is none.

        Returns:
            The kinds of what was taken off.

        Raises:
            NotFound: no such account; nothing was done.
            ServerFault: see `errors.identity_server_failed`; some of the ids may be off already.
        """
        before = (await self._user(user_id)).threepids
        if not before:
            return ()
        if (await self._change(user_id, {"threepids": []})).threepids:
            raise BadAnswer("third-party ids are still there after they were taken off")
        return tuple(each.medium for each in before)

    async def remove_external_ids(self, user_id: str) -> tuple[str, ...]:
        """Takes all single sign-on links off: `GET`, then `PUT v2/users/{user_id}`. Safe to repeat.

        Returns:
            The providers' names.

        Raises:
            NotFound: no such account; nothing was done.
        """
        before = (await self._user(user_id)).external_ids
        if not before:
            return ()
        if (await self._change(user_id, {"external_ids": []})).external_ids:
            raise BadAnswer("single sign-on links are still there after they were taken off")
        return tuple(each.auth_provider for each in before)

    async def lift_ratelimit(self, user_id: str) -> None:
        """Lets this account send messages as fast as it likes: `POST v1/users/{user_id}/override_ratelimit`.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call(
            "POST", _USERS + "/override_ratelimit", user_id, json={"messages_per_second": 0, "burst_count": 0}
        )
        read(RatelimitOverride, "the limits of an account", answer)

    # --- what an account left behind ---

    async def redact(
        self,
        user_id: str,
        rooms: Sequence[str],
        reason: str | None = None,
        limit: int | None = None,
        since_ts: int | None = None,
    ) -> str:
        """Starts to redact messages, encrypted events and joins of this account: `POST v1/user/{user_id}/redact`.

        NOT safe to repeat blindly: look for a REDACTION in `scheduled_tasks` first. Done in the account's own name, so
        it fails in rooms below version 11 while the account is suspended.

        Args:
            user_id: the account.
            rooms: at least one; the homeserver would take "none" for "where the account is joined now".
            reason: shown to everybody in these rooms.
            limit: the newest so many events of each room; None is the homeserver's default of 1000.
            since_ts: only what was sent after this time, milliseconds since 1970.

        Returns:
            The id to ask `redact_status` with.

        Raises:
            ValueError: no rooms.
            Refused: see `errors.already_redacting`.
        """
        if not rooms:
            raise ValueError("a redaction needs rooms")
        body: dict[str, Any] = {"rooms": list(rooms)}
        if reason:
            body["reason"] = reason
        if limit is not None:
            body["limit"] = limit
        if since_ts is not None:
            body["after_ts"] = since_ts
        answer = await self._api.call("POST", "/_synapse/admin/v1/user/{}/redact", user_id, json=body, timeout=_SLOW)
        redact_id = answer.get("redact_id")
        if not isinstance(redact_id, str) or not redact_id:
            raise BadAnswer("the homeserver's answer to a redaction has no id")
        return redact_id

    async def redact_status(self, redact_id: str) -> RedactStatus | None:
        """How far a redaction is; None once forgotten (after seven days): `GET v1/user/redact_status/{redact_id}`."""
        try:
            answer = await self._api.call("GET", "/_synapse/admin/v1/user/redact_status/{}", redact_id)
        except NotFound as error:
            if error.errcode != "M_NOT_FOUND":
                raise
            return None
        return read(RedactStatus, "the status of a redaction", answer)

    async def media_total(self, user_id: str) -> int:
        """How many files the account uploaded that are still here: `GET v1/users/{user_id}/media`.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("GET", _USERS + "/media", user_id, params={"limit": 1}, timeout=_SLOW)
        return read(MediaPage, "the list of media", answer).total

    async def media(self, user_id: str) -> list[Media]:
        """All files the account uploaded, oldest first: `GET v1/users/{user_id}/media`, all pages.

        Raises:
            NotFound: no such account.
        """
        found: dict[str, Media] = {}
        start: int | None = 0
        while start is not None:
            params: dict[str, str | int | bool] = {"from": start, "limit": _PAGE, "order_by": "created_ts", "dir": "f"}
            answer = await self._api.call("GET", _USERS + "/media", user_id, params=params, timeout=_SLOW)
            page = read(MediaPage, "the list of media", answer)
            found.update((each.media_id, each) for each in page.media)
            following = page.next_token
            start = following if page.media and following is not None and following > start else None
        return list(found.values())

    async def delete_media(self, user_id: str) -> int:
        """Deletes up to 100 of the account's files: `DELETE v1/users/{user_id}/media`. Repeat until it gives 0.

        Returns:
            How many this call deleted.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("DELETE", _USERS + "/media", user_id, params={"limit": _PAGE}, timeout=_SLOW)
        return read(Deleted, "the deletion of media", answer).total

    async def quarantine_media(self, user_id: str) -> int:
        """Makes the account's files inaccessible, but keeps them: `POST v1/user/{user_id}/media/quarantine`.

        Protected files and those in quarantine already are passed over. Says 0 for unknown accounts too.

        Returns:
            How many this call put into quarantine.
        """
        answer = await self._api.call("POST", "/_synapse/admin/v1/user/{}/media/quarantine", user_id, timeout=_SLOW)
        number = answer.get("num_quarantined")
        if type(number) is not int:
            raise BadAnswer("the homeserver's answer to a quarantine has no number")
        return number

    # --- rooms ---

    async def room_details(self, room_id: str) -> RoomDetails:
        """Name, version and sizes of a room: `GET v1/rooms/{room_id}`.

        Raises:
            NotFound: this homeserver doesn't know the room.
        """
        return read(RoomDetails, "the details of a room", await self._api.call("GET", _ROOM, room_id))

    async def room_versions(self) -> frozenset[str]:
        """The room versions that this homeserver knows: `GET /_matrix/client/v3/capabilities`."""
        answer = await self._api.call("GET", "/_matrix/client/v3/capabilities")
        return read(Capabilities, "the capabilities", answer).room_versions

    async def room_members(self, room_id: str) -> list[str]:
        """Who is joined, from here and elsewhere: `GET v1/rooms/{room_id}/members`.

        Raises:
            NotFound: this homeserver doesn't know the room.
        """
        answer = await self._api.call("GET", _ROOM + "/members", room_id, timeout=_SLOW)
        return read(RoomMembers, "the members of a room", answer).members

    async def room_state(self, room_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
        """The state of any room this homeserver is in, joined or not: `GET v1/rooms/{room_id}/state?type=…`.

        For `homeserver.client.rooms.RoomState.from_events` (all types) or removal.power.

        Args:
            room_id: the room.
            event_type: only state events of this type; None for all.

        Raises:
            NotFound: this homeserver doesn't know the room.
        """
        params = {"type": event_type} if event_type else None
        answer = await self._api.call("GET", _ROOM + "/state", room_id, params=params, timeout=_SLOW)
        return read(StateEvents, "the state of a room", answer).state

    async def make_room_admin(self, room_id: str, user_id: str) -> None:
        """Gives a user the power of the room's most powerful local member: `POST v1/rooms/{room_id}/make_room_admin`.

        INVITES whoever isn't in the room: look at the members first. Read the power back afterwards. In room version 12
        a creator passes on 100 at most.

        Raises:
            Forbidden: the local admin is suspended (`M_USER_SUSPENDED`), or may not do it.
            Refused: no local member has any power, or the homeserver isn't in the room.
        """
        await self._api.call("POST", _ROOM + "/make_room_admin", room_id, json={"user_id": user_id}, timeout=_SLOW)

    # --- inside ---

    async def _user(self, user_id: str) -> UserAnswer:
        answer = read(UserAnswer, "the look at an account", await self._api.call("GET", _USER_V2, user_id))
        if answer.name != user_id:
            raise BadAnswer("the homeserver describes another account than the one asked for")
        return answer

    async def _change(self, user_id: str, change: dict[str, Any]) -> UserAnswer:
        """Only for accounts that `_user` has just shown: this call creates what isn't there."""
        answer = await self._api.call("PUT", _USER_V2, user_id, json=change, timeout=DEACTIVATE_TIMEOUT)
        return read(UserAnswer, "the change of an account", answer)
