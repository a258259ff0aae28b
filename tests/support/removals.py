"""Removals from the first word to the last, and accounts with everything that can go: shared by the tests of steps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from sandbox.client import Person
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import prompt, read_only

RECEIPT = "Read back from the homeserver"
"""Stands in every receipt, and nowhere else."""


@dataclass(frozen=True)
class Removal:
    """One request of the moderator, and what is seen of it."""

    stage: Scene
    command_id: str
    card: Seen

    @property
    def reference(self) -> str:
        """Such as `R7`."""
        return self.card.body.split()[0]

    @property
    def stored(self) -> dict[str, Any]:
        """The request as the bot's database has it."""
        (row,) = read_only(
            self.stage.bot.database, "SELECT data FROM requests WHERE id = ?", int(self.reference.lstrip("R"))
        )
        return dict(json.loads(row[0]))

    @property
    def state(self) -> str:
        """Where it stands."""
        return str(self.stored["state"])

    def step(self, name: str) -> dict[str, Any]:
        """One step's record."""
        return next(dict(step) for step in self.stored["steps"] if step["step"] == name)

    async def confirm(self) -> None:
        """The moderator presses ✅."""
        await self.stage.moderator.react(self.stage.room, self.card.event_id, "✅")

    async def says(self, containing: str, timeout: float = 60.0) -> str:
        """What the bot says of it, in a message of its own."""
        return (await self.stage.moderator.reply_to(self.command_id, timeout, containing=containing)).body

    async def done(self, timeout: float = 90.0) -> str:
        """The receipt."""
        return await self.says(RECEIPT, timeout)

    async def command(self, name: str, containing: str = "") -> str:
        """The answer to `!status R7`, `!retry R7`, `!cancel R7`."""
        asked = await self.stage.moderator.say(self.stage.room, f"!{name} {self.reference}")
        return (await self.stage.moderator.reply_to(asked, containing=containing)).body

    async def cancel(self) -> None:
        """`!cancel R7`, which answers only where it comes too late."""
        await self.stage.moderator.say(self.stage.room, f"!cancel {self.reference}")

    async def retry(self) -> None:
        """`!retry R7`."""
        await self.command("retry", "trying again")


async def asked(stage: Scene, command: str, *, by: Person | None = None) -> Removal:
    """Gives a command and returns the removal that its prompt shows."""
    card = await prompt(stage, command, by=by)
    assert card.replies_to is not None
    return Removal(stage, card.replies_to, card)


async def begun(stage: Scene, command: str) -> Removal:
    """Gives a command and confirms it."""
    removal = await asked(stage, command)
    await removal.confirm()
    return removal


async def furnished(stage: Scene, user_id: str, **change: Any) -> dict[str, Any]:
    """Gives an account third-party ids, single sign-on links and so on: `PUT v2/users/{user_id}`."""
    return await stage.admin("PUT", f"v2/users/{quote(user_id)}", json=change)


def email(user_id: str) -> dict[str, str]:
    """An e-mail address that nobody else has."""
    return {"medium": "email", "address": f"{user_id[1:].partition(':')[0]}@example.org"}


async def upload(stage: Scene, token: str, files: int) -> None:
    """Uploads so many small files."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for number in range(files):
            url = f"{stage.homeserver.base_url}/_matrix/media/v3/upload?filename=f{number}.txt"
            async with session.post(url, data=f"{token} {number}", headers={"Content-Type": "text/plain"}) as answer:
                answer.raise_for_status()


async def media_total(stage: Scene, user_id: str) -> int:
    """How many files of an account there are."""
    return int((await stage.admin("GET", f"v1/users/{quote(user_id)}/media"))["total"])


async def call_as(stage: Scene, user_id: str, method: str, path: str, *ids: str, json: Any = None) -> dict[str, Any]:
    """Calls the client API in the name of an account without a client."""
    filled = path.format(*(quote(each, safe="") for each in ids))
    return await stage.homeserver.call(method, filled, token=stage.tokens[user_id], json=json)


async def talk(stage: Scene, user_id: str, version: str, messages: int = 2, members: tuple[str, ...] = ()) -> str:
    """A public room of this version by this account, with its messages, and these members."""
    body = {"room_version": version, "preset": "public_chat"}
    room = str((await call_as(stage, user_id, "POST", "/_matrix/client/v3/createRoom", json=body))["room_id"])
    for member in members:
        await call_as(stage, member, "POST", "/_matrix/client/v3/join/{}", room, json={})
    for number in range(messages):
        content = {"msgtype": "m.text", "body": f"spam {number}"}
        path = "/_matrix/client/v3/rooms/{}/send/m.room.message/{}"
        await call_as(stage, user_id, "PUT", path, room, f"t{number}", json=content)
    return room


async def readable(stage: Scene, reader: str, room: str, sender: str) -> int:
    """How many messages of the sender still have a text, read by somebody who is in the room."""
    found: int = 0
    start = ""
    while True:
        path = f"/_matrix/client/v3/rooms/{{}}/messages?dir=b&limit=500{start}"
        page = await call_as(stage, reader, "GET", path, room)
        texts = [e for e in page["chunk"] if e["type"] == "m.room.message" and "body" in e["content"]]
        found += len([event for event in texts if event["sender"] == sender])
        if not page["chunk"] or "end" not in page:
            return found
        start = f"&from={page['end']}"


async def redactions(stage: Scene, user_id: str) -> list[dict[str, Any]]:
    """The redactions of this account's messages that the homeserver was ever asked for."""
    params = {"resource_id": user_id, "action_name": "redact_all_events"}
    return list((await stage.admin("GET", "v1/scheduled_tasks", params=params))["scheduled_tasks"])


@asynccontextmanager
async def unchanged(stage: Scene, user_id: str) -> AsyncIterator[None]:
    """Asserts that an account is at the end what it was at the beginning."""

    async def look() -> dict[str, Any]:
        keys = ("deactivated", "erased", "suspended", "locked", "threepids", "external_ids", "displayname")
        user = await stage.user(user_id)
        return {**{key: user[key] for key in keys}, "media": await media_total(stage, user_id)}

    before = await look()
    yield
    assert await look() == before
