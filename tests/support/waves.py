"""Waves from the first word to the last, for the tests that play them on a real homeserver."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from nio.crypto.attachments import decrypt_attachment, encrypt_attachment

from sandbox.client import Person
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import read_only

ASKED = "to go on"
ENDED = "It took"


async def spammers(stage: Scene, count: int) -> list[str]:
    """So many accounts."""
    return sorted([await stage.account("spam") for _ in range(count)])


@dataclass(frozen=True)
class Asked:
    """A wave that somebody is asked about."""

    stage: Scene
    command_id: str
    prompt: Seen
    by: Person

    @property
    def reference(self) -> str:
        """Such as `B3`."""
        return self.prompt.body.split()[0]

    async def press(self, key: str = "✅", by: Person | None = None) -> None:
        """A reaction under the prompt."""
        await (by or self.by).react(self.stage.room, self.prompt.event_id, key)

    async def says(self, containing: str, timeout: float = 60.0) -> Seen:
        """What the bot says of it, in a message of its own that answers the command."""
        return await self.by.reply_to(self.command_id, timeout, containing=containing)

    async def ended(self, timeout: float = 120.0) -> str:
        """The last three lines."""
        return (await self.says(ENDED, timeout)).body

    async def answer(self, text: str, by: Person | None = None) -> str:
        """The bot's answer to a command or message; `{}` is the wave's reference."""
        person = by or self.by
        said = await person.say(self.stage.room, text.format(self.reference))
        return (await person.reply_to(said)).body

    @property
    def state(self) -> str:
        """Where it stands, in the bot's database."""
        return str(self.row["state"])

    @property
    def row(self) -> dict[str, Any]:
        """The wave in the bot's database."""
        question = "SELECT data FROM waves WHERE id = ?"
        ((data,),) = read_only(self.stage.bot.database, question, int(self.reference[1:]))
        return dict(json.loads(data))

    def members(self) -> dict[str, str]:
        """Each account's state, in the bot's database."""
        question = "SELECT user_id, state FROM wave_members WHERE wave_id = ?"
        return dict(read_only(self.stage.bot.database, question, int(self.reference[1:])))

    async def file(self, name: str) -> list[dict[str, str]]:
        """The rows of the CSV file that the bot sent last whose name holds this."""

        def shown() -> list[Seen]:
            events = [e for e in self.by.timeline.events if e.room_id == self.stage.room]
            return [event for event in events if name in str(event.content.get("filename"))]

        event = (await self.by.until(shown, what=f"a file {name}"))[-1]
        return list(csv.DictReader(io.StringIO((await downloaded(self.by, event.content)).decode())))


async def ask(stage: Scene, command: str, *, by: Person | None = None, **content: Any) -> Asked:
    """Gives a command that names many accounts, and waits for the prompt."""
    person = by or stage.moderator
    said = await person.say(stage.room, command, **content)
    return await asked(stage, said, by=person)


async def asked(stage: Scene, command_id: str, *, by: Person | None = None) -> Asked:
    """The prompt that answers a command which was given."""
    person = by or stage.moderator
    return Asked(stage, command_id, await person.reply_to(command_id, containing=ASKED), person)


async def upload(person: Person, data: bytes, name: str, *, encrypted: bool = True) -> dict[str, Any]:
    """Uploads a file and returns the content of the message that would show it."""
    body, keys = encrypt_attachment(data) if encrypted else (data, {})
    headers = {"Authorization": f"Bearer {person.access_token}", "Content-Type": "application/octet-stream"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{person.base_url}/_matrix/media/v3/upload", data=body) as answer,
    ):
        answer.raise_for_status()
        uri = (await answer.json())["content_uri"]
    where = {"file": {**keys, "url": uri}} if encrypted else {"url": uri}
    return {"msgtype": "m.file", "body": name, "filename": name, "info": {"size": len(data)}, **where}


async def downloaded(person: Person, content: dict[str, Any]) -> bytes:
    """What a file's message shows."""
    sealed = content.get("file")
    uri = str(sealed["url"] if sealed else content["url"]).removeprefix("mxc://")
    headers = {"Authorization": f"Bearer {person.access_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{person.base_url}/_matrix/client/v1/media/download/{uri}") as answer,
    ):
        answer.raise_for_status()
        data = await answer.read()
    if not sealed:
        return data
    return bytes(decrypt_attachment(data, sealed["key"]["k"], sealed["hashes"]["sha256"], sealed["iv"]))


async def gone(stage: Scene, user_ids: list[str]) -> dict[str, bool]:
    """Whether each account is deactivated, by the homeserver itself."""
    return {user_id: bool((await stage.user(user_id))["deactivated"]) for user_id in user_ids}
