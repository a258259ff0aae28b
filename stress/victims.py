"""Accounts to be removed and accounts that must not change, for the crash matrix: made quickly, and checked whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

from sandbox.mas_scene import MasScene
from sandbox.scene import Scene

VERSIONS = ("10", "11")
"""Room versions on both sides of the change that decides whether a suspended account's messages can be redacted."""
FILES = 3


@dataclass
class Victim:
    """One account, with everything that a removal can take away."""

    user_id: str
    token: str
    rooms: list[str] = field(default_factory=list)
    messages: dict[str, list[str]] = field(default_factory=dict)


class Accounts:
    """Makes and looks at accounts on a stage's homeserver, without clients."""

    def __init__(self, stage: Scene) -> None:
        self._stage = stage
        self.successor: Victim
        self.bystanders: list[Victim] = []
        self._before: list[dict[str, Any]] = []

    async def set_up(self) -> None:
        """A successor for rooms, and two bystanders; how they are now is how they have to stay."""
        self.successor = await self._new("successor")
        self.bystanders = [await self._new("bystander") for _ in range(2)]
        for each in self.bystanders:
            await self._furnish(each)
        self._before = [await self._look(each) for each in self.bystanders]

    async def victim(self) -> Victim:
        """An account with an e-mail address, a single sign-on link, files, messages, and a room where it alone is
        admin and the successor is a member."""
        victim = await self._new("target")
        await self._furnish(victim)
        for room in victim.rooms:
            await self._call(self.bystanders[0], "POST", "/_matrix/client/v3/join/{}", room, json={})
        return victim

    async def _new(self, role: str) -> Victim:
        user_id = await self._stage.account(role)
        return Victim(user_id, self._stage.tokens[user_id])

    async def _furnish(self, account: Victim) -> None:
        localpart = account.user_id[1:].partition(":")[0]
        await self._stage.admin(
            "PUT",
            f"v2/users/{quote(account.user_id)}",
            json={
                "threepids": [{"medium": "email", "address": f"{localpart}@example.org"}],
                "external_ids": [{"auth_provider": "oidc-sandbox", "external_id": localpart}],
            },
        )
        if isinstance(self._stage, MasScene):
            await self._stage.furnish(account.user_id)
        for version in VERSIONS:
            body = {"room_version": version, "preset": "public_chat"}
            room = str((await self._call(account, "POST", "/_matrix/client/v3/createRoom", json=body))["room_id"])
            account.rooms.append(room)
            await self._call(self.successor, "POST", "/_matrix/client/v3/join/{}", room, json={})
            for number in range(2):
                path = "/_matrix/client/v3/rooms/{}/send/m.room.message/{}"
                content = {"msgtype": "m.text", "body": f"spam {number}"}
                sent = await self._call(account, "PUT", path, room, f"{localpart}{number}", json=content)
                account.messages.setdefault(room, []).append(str(sent["event_id"]))
        async with aiohttp.ClientSession() as session:
            for number in range(FILES):
                url = f"{self._stage.homeserver.base_url}/_matrix/media/v3/upload?filename={number}.txt"
                headers = {"Authorization": f"Bearer {account.token}", "Content-Type": "text/plain"}
                async with session.post(url, data=f"{localpart} {number}", headers=headers) as answer:
                    answer.raise_for_status()

    async def _call(self, account: Victim, method: str, path: str, *ids: str, json: Any = None) -> dict[str, Any]:
        filled = path.format(*(quote(each, safe="") for each in ids))
        return await self._stage.homeserver.call(method, filled, token=account.token, json=json)

    async def _look(self, account: Victim) -> dict[str, Any]:
        """Everything of an account that a removal would change."""
        stage, quoted = self._stage, quote(account.user_id)
        user = await stage.user(account.user_id)
        joined = await stage.admin("GET", f"v1/users/{quoted}/joined_rooms")
        media = await stage.admin("GET", f"v1/users/{quoted}/media")
        tasks = await stage.admin(
            "GET", "v1/scheduled_tasks", params={"resource_id": account.user_id, "action_name": "redact_all_events"}
        )
        bodies = []
        for room, messages in account.messages.items():
            for event_id in messages:
                # Read by somebody who was in the room when it was sent: from them, erasing hides nothing.
                path = "/_matrix/client/v3/rooms/{}/event/{}"
                event = await self._call(self.successor, "GET", path, room, event_id)
                bodies.append(event["content"].get("body"))
        keys = ("deactivated", "erased", "suspended", "displayname", "threepids", "external_ids", "locked")
        return {
            **{key: user[key] for key in keys},
            "rooms": joined["total"],
            "media": media["total"],
            "redactions": len(tasks["scheduled_tasks"]),
            "bodies": bodies,
            **(await _in_mas(stage, account) if isinstance(stage, MasScene) else {}),
        }

    async def wrong_with(self, victim: Victim) -> list[str]:
        """What of a removal that is said to be done isn't true on the homeserver."""
        found = await self._look(victim)
        expected = {
            "deactivated": True, "erased": True, "suspended": False, "displayname": None, "threepids": [],
            "external_ids": [], "locked": False, "rooms": 0, "media": 0, "redactions": 1,
            "bodies": [None] * 2 * len(VERSIONS),
        }  # fmt: skip
        if isinstance(self._stage, MasScene):
            expected |= {"gone in MAS": True, "addresses in MAS": 0, "links in MAS": 0, "sessions in MAS": 0}
        wrong = [f"{key} is {found[key]!r}" for key in expected if found[key] != expected[key]]
        for room in victim.rooms:
            path = "/_matrix/client/v3/rooms/{}/state/m.room.power_levels/"
            levels = await self._call(self.successor, "GET", path, room)
            if levels.get("users", {}).get(self.successor.user_id) != 100:
                wrong.append(f"the successor is not admin of {room}")
        return wrong

    async def bystanders_changed(self) -> list[str]:
        """What happened to accounts that nobody confirmed anything about."""
        wrong = []
        for each, before in zip(self.bystanders, self._before, strict=True):
            now = await self._look(each)
            now["rooms"] = (
                before["rooms"] if now["rooms"] >= before["rooms"] else now["rooms"]
            )  # it joins victims' rooms
            wrong += [f"{each.user_id}: {key} is {now[key]!r}" for key in before if now[key] != before[key]]
        return wrong

    async def deactivated(self) -> set[str]:
        """Every deactivated account of the homeserver."""
        answer = await self._stage.admin(
            "GET", "v3/users", params={"deactivated": "true", "guests": "false", "limit": "5000"}
        )
        return {each["name"] for each in answer["users"]}


async def _in_mas(stage: MasScene, account: Victim) -> dict[str, Any]:
    """What MAS itself says of an account that a removal would change."""
    found = await stage.in_mas(account.user_id)
    return {
        "gone in MAS": found["deactivated_at"] is not None,
        "addresses in MAS": found["emails"],
        "links in MAS": found["links"],
        "sessions in MAS": sum(found["sessions"].values()),
    }
