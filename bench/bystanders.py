"""Two people who talk while others are removed: how long a message takes until the other one has it."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from sandbox.client import Person
from sandbox.homeserver import Homeserver

EVERY = 0.5
"""Seconds between two messages."""


@dataclass
class Bystanders:
    """Somebody who writes and somebody who reads, in a room of their own, unencrypted: only the server is measured."""

    writer: Person
    reader: Person
    room: str
    took: list[float] = field(default_factory=list)

    @classmethod
    async def on(cls, homeserver: Homeserver) -> Bystanders:
        """Makes them."""
        people = []
        for name in ("writer", "reader"):
            await homeserver.register(name, name)
            person = Person(homeserver.base_url, homeserver.user_id(name))
            await person.login(name)
            people.append(person)
        room = await people[0].create_room(preset="public_chat")
        await people[1].join(room)
        return cls(people[0], people[1], room)

    async def talk(self) -> None:
        """Writes until cancelled."""
        number = 0
        while True:
            began = time.monotonic()
            number += 1
            text = f"{number} {began}"
            await self.writer.say(self.room, text)
            await self.reader.wait_for(lambda event, text=text: event.body == text, 60)  # type: ignore[misc]
            self.took.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, EVERY - (time.monotonic() - began)))

    def figures(self) -> tuple[float, float]:
        """Median and 95th percentile of all since the last call, in seconds."""
        took, self.took = sorted(self.took), []
        if not took:
            return 0.0, 0.0
        return statistics.median(took), took[min(len(took) - 1, int(len(took) * 0.95))]

    async def close(self) -> None:
        """Ends both."""
        await self.writer.close()
        await self.reader.close()
