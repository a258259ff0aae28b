"""Searches the homeserver's own list of accounts. Reads only; MAS or not, Synapse knows them all.

Every method raises `homeserver.client.api.HomeserverError`.
Source: Synapse admin API, user_admin_api (paths stand with each method).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from pydantic import Field

from homeserver.accounts.models import Answer, Memberships, read
from homeserver.client.api import Api, NotFound, Params, Refused

PAGE = 500
"""Accounts asked for at once."""
_SLOW = 120.0
_MESSAGES = ("m.room.message", "m.room.encrypted", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start")


class Listed(Answer):
    """One line of the list. `creation_ts` is in milliseconds since 1970."""

    name: str
    creation_ts: int
    admin: bool


class Page(Answer):
    """`GET v3/users`."""

    users: list[Listed]
    total: int
    next_token: str | None = None


class _Joined(Answer):
    cumulative_joined_room_count: int


class _Connection(Answer):
    ip: str | None = None


class _Session(Answer):
    connections: list[_Connection] = Field(default_factory=list)


class _Device(Answer):
    sessions: list[_Session] = Field(default_factory=list)


class _Whois(Answer):
    devices: dict[str, _Device]


class _Messages(Answer):
    chunk: list[object] = Field(default_factory=list)


class AccountSearch:
    """The list and what can be filtered by.

    Args:
        api: with the token of a server admin.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._without_guests = False

    async def page(self, start: str, containing: str = "") -> Page:
        """Accounts that aren't deactivated, the newest first: `GET v3/users`.

        Args:
            start: the page before's `next_token`, "0" for the first.
            containing: only those whose Matrix ID or display name holds this.
        """
        return await self._list({"from": start, "limit": PAGE}, containing)

    async def total(self) -> int:
        """How many accounts there are that aren't deactivated."""
        return (await self._list({"from": "0", "limit": 1})).total

    async def admins(self) -> frozenset[str]:
        """Every server admin."""
        found: set[str] = set()
        start: str | None = "0"
        while start is not None:
            page = await self._list({"from": start, "limit": PAGE, "admins": True})
            found.update(user.name for user in page.users)
            start = page.next_token if page.users else None
        return frozenset(found)

    async def _list(self, params: Params, containing: str = "") -> Page:
        asked: dict[str, str | int | bool | Sequence[str]] = {
            **params, "deactivated": False, "locked": True, "order_by": "creation_ts", "dir": "b"
        }  # fmt: skip
        if containing:
            asked["name"] = containing
        if self._without_guests:
            asked["guests"] = False
        try:
            answer = await self._api.call("GET", "/_synapse/admin/v3/users", params=asked, timeout=_SLOW)
        except Refused as error:
            if error.status != 400 or self._without_guests:
                raise
            self._without_guests = True  # with MAS there are none, and Synapse refuses a list that could hold them
            return await self._list(params, containing)
        return read(Page, "the list of accounts", answer)

    async def rooms_ever_joined(self, user_id: str) -> int:
        """How many rooms the account ever joined: `GET v1/users/{user_id}/cumulative_joined_room_count`."""
        path = "/_synapse/admin/v1/users/{}/cumulative_joined_room_count"
        answer = await self._api.call("GET", path, user_id, params={"from_ts": 0})
        return read(_Joined, "the count of rooms", answer).cumulative_joined_room_count

    async def addresses(self, user_id: str) -> frozenset[str]:
        """The addresses that the account was seen at: `GET v1/whois/{user_id}`."""
        answer = await self._api.call("GET", "/_synapse/admin/v1/whois/{}", user_id)
        devices = read(_Whois, "the addresses of an account", answer).devices.values()
        seen = (
            connection.ip for device in devices for session in device.sessions for connection in session.connections
        )
        return frozenset(ip for ip in seen if ip)

    async def has_sent(self, user_id: str) -> bool:
        """Whether the account ever sent a message into a room that this server knows.

        `GET v1/users/{user_id}/memberships`, then `GET v1/rooms/{room_id}/messages` with a filter by sender.
        """
        answer = await self._api.call("GET", "/_synapse/admin/v1/users/{}/memberships", user_id, timeout=_SLOW)
        return await self._any_message(user_id, read(Memberships, "the memberships", answer).memberships)

    async def _any_message(self, user_id: str, rooms: Iterable[str]) -> bool:
        wanted = json.dumps({"senders": [user_id], "types": list(_MESSAGES)})
        for room_id in rooms:
            params: Params = {"dir": "b", "limit": 1, "filter": wanted}
            try:
                answer = await self._api.call(
                    "GET", "/_synapse/admin/v1/rooms/{}/messages", room_id, params=params, timeout=_SLOW
                )
            except NotFound:
                continue  # the room was removed meanwhile
            if read(_Messages, "the messages of a room", answer).chunk:
                return True
        return False
