"""The stage of the hostile suite: a real bot in an encrypted room, and people who mean ill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import accounts, answer, read_only
from tests.support.crafted_messages import QUERY, Crafter

HELPED = "!deactivate @user"
"""Stands in the answer to `!help`."""


@dataclass(frozen=True)
class Device:
    """One device of the bot."""

    device_id: str


@dataclass(frozen=True)
class Addressee:
    """The real bot, as messages are crafted for it."""

    user_id: str
    keys: Device


class Hostile(Scene):
    """A moderator, another one, a member without power, and somebody outside; and an account that could be removed."""

    other: Person
    member: Person
    stranger: Person
    target: str

    async def people_come(self) -> None:
        """Everybody is there."""
        self.other = await self.add_moderator()
        self.member = await self.add_moderator("member", level=0)
        self.stranger = await self.person("stranger")
        self.target = await self.account("target")
        await self.other.event(await self.moderator.say(self.room, "welcome"))

    async def crafter(self, person: Person) -> Crafter:
        """Somebody who crafts messages for the bot."""
        found = await person.call("POST", QUERY, json={"device_keys": {self.bot_id: []}})
        (device_id,) = found["device_keys"][self.bot_id]
        return Crafter(person, Addressee(self.bot_id, Device(device_id)))

    async def send_as(self, person: Person, content: Any, event_type: str = "m.room.message") -> str:
        """Sends anything in clear into the admin room."""
        return await person.send_clear(self.room, event_type, content)


@asynccontextmanager
async def hostile_stage(homeserver: Homeserver, **settings: Any) -> AsyncIterator[Hostile]:
    """Sets the stage; arguments as for `Scene.set_up`."""
    stage = Hostile(homeserver)
    try:
        await stage.set_up(**settings)
        await stage.people_come()
        yield stage
    finally:
        await stage.close()


@asynccontextmanager
async def attacked(stage: Hostile, *, new_rooms: bool = False) -> AsyncIterator[None]:
    """Asserts what every attack leaves behind: all accounts as they were, no new request, nothing that the bot failed
    to understand, and a bot that answers.

    Args:
        new_rooms: the attack itself makes people join rooms; how many they are in isn't compared then.
    """
    before, incidents = accounts(stage), _incidents(stage)
    requests = read_only(stage.bot.database, "SELECT id, state FROM requests ORDER BY id")
    yield
    assert HELPED in (await answer(stage, "!help")).body
    after = accounts(stage)
    for user_id, was in before.items():
        compared = slice(-1) if new_rooms else slice(None)  # the last is the number of rooms
        assert after[user_id][compared] == was[compared], user_id
    assert read_only(stage.bot.database, "SELECT id, state FROM requests ORDER BY id") == requests
    assert _incidents(stage) == incidents
    assert "Traceback" not in stage.bot.log


def _incidents(stage: Hostile) -> int:
    return int(read_only(stage.bot.database, "SELECT COUNT(*) FROM audit WHERE action = 'Incident'")[0][0])


def replies(stage: Hostile, event_id: str) -> list[Seen]:
    """What the bot answered to an event so far, as the moderator has seen it."""
    return [
        event
        for event in stage.moderator.timeline.events
        if event.replies_to == event_id and event.sender == stage.bot_id and event.type == "m.room.message"
    ]


def spoken(stage: Hostile, room: str | None = None) -> list[Seen]:
    """Everything the bot has said in a room, the admin room where none is named, as the moderator has seen it."""
    return [
        event
        for event in stage.moderator.timeline.events
        if event.sender == stage.bot_id and event.type == "m.room.message" and event.room_id == (room or stage.room)
    ]
