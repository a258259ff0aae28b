"""A person's side of the conversation with the bot, shared by the tests of self-service."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from sandbox.client import Person
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import read_only

MakeScene = Callable[..., Awaitable[Scene]]

SHOWN = "Nobody can use your Matrix ID again"
"""Stands in the message that explains everything and asks."""
TYPE_IT = "type your full Matrix ID"
SCHEDULED = "will be removed on"
BEGINS = "begins now"


class Talk:
    """One direct message between a person and the bot. What was read once isn't found again."""

    def __init__(self, stage: Scene, person: Person, room: str) -> None:
        self.stage, self.person, self.room = stage, person, room
        self._read: set[str] = set()

    @classmethod
    async def begin(cls, stage: Scene, person: Person, *, encrypted: bool = True, greeting: str = "I am Lethe") -> Talk:
        """The person opens a direct message, as Element does, and is greeted."""
        talk = cls(stage, person, await person.dm(stage.bot_id, encrypted=encrypted))
        await talk.hears(greeting)
        return talk

    async def hears(self, containing: str, timeout: float = 30.0) -> Seen:
        """The next message of the bot here that holds this text."""

        def found(event: Seen) -> bool:
            return (
                event.room_id == self.room
                and event.sender == self.stage.bot_id
                and event.type == "m.room.message"
                and event.replaces is None
                and event.event_id not in self._read
                and containing in event.body
            )

        seen = await self.person.wait_for(found, timeout, f"{containing!r} in the direct message")
        self._read.add(seen.event_id)
        return seen

    async def say(self, body: str, **options: Any) -> str:
        """The person says something."""
        return await self.person.say(self.room, body, **options)

    async def ask(self, body: str, containing: str = "", **options: Any) -> Seen:
        """The person says something and is answered."""
        said = await self.say(body, **options)
        answer = await self.person.reply_to(said, containing=containing)
        self._read.add(answer.event_id)
        return answer

    async def react(self, to: Seen, key: str) -> str:
        """The person reacts, once the bot's own reactions stand there."""
        await self.person.reacted(to.event_id, key, by=self.stage.bot_id)
        return await self.person.react(self.room, to.event_id, key)

    async def shown(self, command: str = "!deactivate --erase --keep-media") -> Seen:
        """The person asks for the removal, and sees the explanation."""
        await self.say(command)
        return await self.hears(SHOWN)

    async def agreed(self, command: str = "!deactivate --erase --keep-media") -> Seen:
        """… and presses ✅; returns the question for the Matrix ID."""
        await self.react(await self.shown(command), "✅")
        return await self.hears(TYPE_IT)

    async def confirmed(self, command: str = "!deactivate --erase --keep-media", then: str = SCHEDULED) -> Seen:
        """… and types the Matrix ID; returns what the bot says then."""
        await self.agreed(command)
        await self.say(self.person.user_id)
        return await self.hears(then)


def requests(stage: Scene) -> list[dict[str, Any]]:
    """All requests, from the bot's own database."""
    return [json.loads(data) for (data,) in read_only(stage.bot.database, "SELECT data FROM requests ORDER BY id")]


def states(stage: Scene) -> list[str]:
    """Where all requests stand, in the order in which they were made."""
    return [request["state"] for request in requests(stage)]
