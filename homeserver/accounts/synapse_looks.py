"""Looks at accounts by Synapse's admin API: a part of `homeserver.accounts.synapse.Synapse`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.accounts.models import (
    AccountData,
    AccountDataAnswer,
    Devices,
    Directory,
    FoundUsers,
    JoinedRooms,
    Memberships,
    RatelimitOverride,
    Threepid,
    Total,
    User,
    UserAnswer,
    read,
)
from homeserver.accounts.search import AccountSearch
from homeserver.client.api import Api, BadAnswer, NotFound

USERS = "/_synapse/admin/v1/users/{}"
USER_V2 = "/_synapse/admin/v2/users/{}"
SLOW = 120.0
"""Seconds, for what goes over many rooms or files."""
_DIRECTORY_LIMIT = 50
"""So many results are asked for, which is what Synapse gives at most."""


class Looks:
    """Looks at accounts. Nothing here changes anything."""

    _api: Api

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

    async def server_admins(self) -> frozenset[str]:
        """Every server admin: `GET v3/users?admins=true`, all pages."""
        return await AccountSearch(self._api).admins()

    async def reports_against(self, user_id: str) -> int:
        """How many reports there are: `GET v1/event_reports` (what it wrote), `GET v1/user_reports` (itself).

        An older Synapse keeps no list of the latter: then there are none.
        """
        events = await self._api.call(
            "GET", "/_synapse/admin/v1/event_reports", params={"event_sender_user_id": user_id, "limit": 1}
        )
        total = read(Total, "the list of reports", events).total
        try:
            users = await self._api.call(
                "GET", "/_synapse/admin/v1/user_reports", params={"target_user_id": user_id, "limit": 1}
            )
        except NotFound as error:
            if error.errcode != "M_UNRECOGNIZED":
                raise
            return total
        return total + read(Total, "the list of reports", users).total

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
        answer = await self._api.call("GET", USER_V2 + "/devices", user_id)
        return [each.device_id for each in read(Devices, "the list of devices", answer).devices]

    async def sessions(self, user_id: str) -> Mapping[str, int]:
        """How many devices there are: whoever is logged in has one.

        Raises:
            NotFound: no such account.
        """
        return {"devices": len(await self.devices(user_id))}

    async def device_records(self, user_id: str) -> list[dict[str, Any]]:
        """The devices with all that the homeserver knows of them (names, addresses), for their owner only."""
        answer = await self._api.call("GET", USER_V2 + "/devices", user_id)
        read(Devices, "the list of devices", answer)
        return list(answer["devices"])

    async def joined_rooms(self, user_id: str) -> list[str]:
        """The rooms where this account is joined: `GET v1/users/{user_id}/joined_rooms`.

        Empty for unknown accounts too.
        """
        answer = await self._api.call("GET", USERS + "/joined_rooms", user_id, timeout=SLOW)
        return read(JoinedRooms, "the list of joined rooms", answer).joined_rooms

    async def in_directory(self, user_id: str) -> bool:
        """Whether the user directory shows the account: `POST /_matrix/client/v3/user_directory/search`.

        It shows what the bot may find, which is every account in a public room or in one of the bot's.
        """
        body = {"search_term": user_id, "limit": _DIRECTORY_LIMIT}
        answer = await self._api.call("POST", "/_matrix/client/v3/user_directory/search", json=body, timeout=SLOW)
        return any(each.user_id == user_id for each in read(Directory, "the user directory", answer).results)

    async def memberships(self, user_id: str) -> dict[str, str]:
        """Room → membership, rooms left or banned from too: `GET v1/users/{user_id}/memberships`."""
        answer = await self._api.call("GET", USERS + "/memberships", user_id, timeout=SLOW)
        return read(Memberships, "the list of memberships", answer).memberships

    async def pushers(self, user_id: str) -> int:
        """How many pushers the account has: `GET v1/users/{user_id}/pushers`.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("GET", USERS + "/pushers", user_id)
        return read(Total, "the list of pushers", answer).total

    async def account_data(self, user_id: str) -> AccountData:
        """The account's data, for their owner only; `.count` is for everybody: `GET v1/users/{user_id}/accountdata`.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("GET", USERS + "/accountdata", user_id, timeout=SLOW)
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
        answer = await self._api.call("GET", USERS + "/override_ratelimit", user_id)
        return read(RatelimitOverride, "the limits of an account", answer) if answer else None

    # --- inside ---

    async def _user(self, user_id: str) -> UserAnswer:
        answer = read(UserAnswer, "the look at an account", await self._api.call("GET", USER_V2, user_id))
        if answer.name != user_id:
            raise BadAnswer("the homeserver describes another account than the one asked for")
        return answer
