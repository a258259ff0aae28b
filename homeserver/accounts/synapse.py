"""Synapse's admin API, used here and in the `synapse_…` modules only. A method a request; no retries, no decisions.

All paths begin with `/_synapse/admin/` unless they are spelt out; the token's account has to be a server admin.
Every method raises what homeserver.client.api draws: `Unreachable` and `ServerFault` say that the outcome is unknown,
`Refused` that nothing was done. `Forbidden` means that this account is no server admin (or that a module forbade it),
`BadAnswer` that something else than a homeserver answered, or one of another version.

Source: https://element-hq.github.io/synapse/latest/usage/administration/admin_api/ and Synapse 1.163.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from homeserver.accounts.detection import AuthService, uses_mas
from homeserver.accounts.errors import MovedElsewhere
from homeserver.accounts.models import RatelimitOverride, UserAnswer, read
from homeserver.accounts.synapse_looks import SLOW, USER_V2, USERS, Looks
from homeserver.accounts.synapse_rooms import RoomAdmin
from homeserver.accounts.synapse_traces import Traces
from homeserver.client.api import Api, BadAnswer, Forbidden
from homeserver.client.pace import Pace, PacedApi
from removal.plan import Step

DEACTIVATE_TIMEOUT = 180.0
"""Seconds. A pending invite from a dead server costs 20 s inside the call, a dead identity server 60 s."""

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


class Synapse(Looks, Traces, RoomAdmin):
    """Synapse's admin API; an `AccountBackend`.

    Args:
        api: with the token of a server admin.
    """

    calls = CALLS
    deactivates_later = False
    token_checks_kept = 0
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

    # --- acting on an account ---

    async def has_session(self, user_id: str, device_id: str) -> bool:
        """Whether the account has this session. Raises: NotFound: no such account."""
        return device_id in await self.devices(user_id)

    async def end_session(self, user_id: str, device_id: str) -> None:
        """Ends a session: `DELETE v2/users/{user_id}/devices/{device_id}`; 200 for one that isn't there, too."""
        await self._api.call("DELETE", USER_V2 + "/devices/{}", user_id, device_id)

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
        await self._api.call("DELETE", USERS + "/shadow_ban", user_id)

    async def log_out(self, user_id: str) -> None:
        """Removes all devices, and their tokens with them: `POST v2/users/{user_id}/delete_devices`. Safe to repeat.

        A token without a device, which only another admin can have made, stays.

        Raises:
            NotFound: no such account.
        """
        devices = await self.devices(user_id)
        if devices:
            await self._api.call("POST", USER_V2 + "/delete_devices", user_id, json={"devices": devices}, timeout=SLOW)

    async def scramble_password(self, user_id: str) -> bool:
        """Sets a password that nobody knows, and ends all sessions: `POST v1/reset_password/{user_id}`. Safe to repeat.

        Raises:
            NotFound: no such account.
        """
        body = {"new_password": secrets.token_urlsafe(32), "logout_devices": True}
        try:
            await self._api.call("POST", "/_synapse/admin/v1/reset_password/{}", user_id, json=body, timeout=SLOW)
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
            "POST", USERS + "/override_ratelimit", user_id, json={"messages_per_second": 0, "burst_count": 0}
        )
        read(RatelimitOverride, "the limits of an account", answer)

    # --- inside ---

    async def _change(self, user_id: str, change: dict[str, Any]) -> UserAnswer:
        """Only for accounts that `_user` has just shown: this call creates what isn't there."""
        answer = await self._api.call("PUT", USER_V2, user_id, json=change, timeout=DEACTIVATE_TIMEOUT)
        return read(UserAnswer, "the change of an account", answer)
