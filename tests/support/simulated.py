"""A life of the bot on the model of a homeserver, as a test's script wants it: minutes pass at once, without a socket.

The model is held to the real Synapse by tests/synapse/simulation.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import config
from simulation.encryption import SEALED, seal
from simulation.loop import SimulatedLoop
from simulation.machine import Machine
from simulation.model.server import Server
from simulation.model.state import Event, Room
from simulation.network import Network
from storage import audit

NAME = "model.test"
BOT, MOD, MOD2, GUEST, PERSON, FRIEND = (
    f"@{name}:{NAME}" for name in ("lethe", "mod", "mod2", "guest", "person", "friend")
)
FAR = "@mod:far.test"
"""A moderator of another server."""
MANY = 6
"""So many events that they take longer than `Life.answers` waits where each is tried again, one after the other."""
BEGIN_MS = 1_800_000_000_000
ENCRYPTION: dict[str, Any] = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}


class Life:
    """The bot, at work in its admin room, with the moderators MOD and MOD2 and with GUEST, who is none.

    Args:
        disk: an empty directory.
        encrypted: whether the admin room is.
        settings: what the settings file says besides.
    """

    def __init__(self, disk: Path, loop: SimulatedLoop, *, encrypted: bool = False, **settings: Any) -> None:
        self._loop = loop
        self._number = 0
        self.ahead_ms = 0
        """How far the wall's clock was moved."""
        self.server = server = Server(NAME, self.now, _chance("server"))
        server.register("lethe", admin=True)
        for user_id in (MOD, MOD2, GUEST, PERSON, FRIEND):
            server.register(user_id[1:].partition(":")[0])
        self.room = server.create_room(
            MOD, name="Admins", invite=[BOT, MOD2, GUEST, FAR], initial_state=[ENCRYPTION] if encrypted else [],
            power_levels={"users": {MOD: 100, BOT: 50, MOD2: 50, FAR: 50}},
        )  # fmt: skip
        server.aliases[f"#admins:{NAME}"] = self.room.room_id
        for user_id in (MOD2, GUEST, FAR):
            server.join(user_id, self.room.room_id)
        home = {"url": "http://model", "user_id": BOT, "access_token": "token", "device_id": "DEVICE"}
        raw = {"homeserver": home, "admin_room": f"#admins:{NAME}", "data_dir": str(disk), **settings}
        self.network = Network(server, _chance("network"), lambda *asked: self.asked.append(asked[:2]))
        self.asked: list[tuple[str, str]] = []
        """What the homeserver has handled for the bot: method and path."""
        self.machine = Machine(config.validate(raw, {}), self.network, self.now, _chance("disk"), "script")

    def now(self) -> int:
        return BEGIN_MS + self.ahead_ms + int(self._loop.time() * 1000)

    # --- what people do ---

    def send(self, room: Room, sender: str, event_type: str, content: dict[str, Any], *, sealed: bool) -> str:
        self._number += 1
        if sealed:
            event_type, content = "m.room.encrypted", seal(event_type, content)
        return self.server.send(sender, room.room_id, event_type, content, f"{sender} {self._number}")

    async def say(
        self, body: str, *, by: str = MOD, to: Room | None = None, sealed: bool | None = None, **more: Any
    ) -> list[str]:
        """Somebody says something; returns what the bot answers to it within ten seconds.

        Args:
            to: the room; by default the admin room.
            sealed: encrypted; by default where the room is.
            more: of the event's content.
        """
        room = to or self.room
        sealed = ("m.room.encryption", "") in room.state if sealed is None else sealed
        return await self.answers(lambda: self.send(
            room, by, "m.room.message", {"msgtype": "m.text", "body": body, **more}, sealed=sealed
        ), room)  # fmt: skip

    async def at_once(
        self, *bodies: str, times: int = 1, by: str = MOD, sealed: bool = False, **more: Any
    ) -> list[str]:
        """Somebody says several things in the admin room in one moment; returns what the bot says within ten seconds.

        Args:
            times: how often each is said.
            more: of each event's content.
        """

        def said() -> None:
            for body in bodies * times:
                self.send(self.room, by, "m.room.message", {"msgtype": "m.text", "body": body, **more}, sealed=sealed)

        return await self.answers(said)

    async def react(self, key: str, *, by: str = MOD, to: str, room: Room | None = None) -> list[str]:
        """Somebody reacts to an event; returns what the bot says then. Args: to: the event."""
        room = room or self.room
        relation = {"rel_type": "m.annotation", "event_id": to, "key": key}
        return await self.answers(
            lambda: self.send(room, by, "m.reaction", {"m.relates_to": relation}, sealed=False), room
        )

    async def direct(self, *, by: str = PERSON, encrypted: bool = False) -> Room:
        """A direct message of somebody with the bot, who has come and said what it says at first."""
        state = [ENCRYPTION] if encrypted else []
        room = self.server.create_room(by, invite=[BOT], direct=True, initial_state=state)
        await self.pass_time(20)
        assert room.membership(BOT) == "join"
        return room

    async def answers(self, done: Callable[[], object], room: Room | None = None) -> list[str]:
        """What the bot says in a room within ten seconds after something was done; edits count, reactions don't."""
        room = room or self.room
        before = len(room.timeline)
        done()
        await self.pass_time(10)
        return [text for event in room.timeline[before:] if (text := text_of(event)) is not None]

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def newest(self, room: Room | None = None) -> str:
        """The bot's newest message that is no edit: its event id."""
        said = [event for event in (room or self.room).timeline if text_of(event) is not None and not _is_edit(event)]
        return said[-1].event_id

    # --- what became of it ---

    async def audited(self) -> list[audit.AuditRow]:
        """The audit's entries, in their order. The bot is stopped for it."""
        await self.machine.stop()
        database = self.machine.look()
        await database.open()
        try:
            async with database.transaction() as tx:
                return list(reversed(await audit.find(tx, limit=1_000)))
        finally:
            await database.close()


def text_of(event: Event) -> str | None:
    """What the bot says in an event as text; None where it isn't the bot's, or says nothing."""
    content = event.content.get(SEALED, {}).get("content", event.content)
    return content.get("body") if event.sender == BOT and event.type in ("m.room.message", "m.room.encrypted") else None


def _is_edit(event: Event) -> bool:
    return bool(event.content.get("m.relates_to", {}).get("rel_type") == "m.replace")


def _chance(what: str) -> random.Random:
    return random.Random(what)  # noqa: S311 - always the same


def simulated(**options: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Makes a test of a script: `async def test_…(life: Life)`, with the bot at work in its admin room.

    Args:
        options: of `Life`.
    """

    def decorate(script: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(script)
        def test(tmp_path: Path, **arguments: Any) -> None:
            loop = SimulatedLoop(_chance("order"))
            try:
                loop.run_until_complete(_played(script, Life(tmp_path, loop, **options), arguments))
            finally:
                loop.end()

        given = inspect.signature(script)
        others = [each for name, each in given.parameters.items() if name != "life"]
        path = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        test.__signature__ = given.replace(parameters=[path, *others])  # type: ignore[attr-defined] # pytest reads it
        return test

    return decorate


async def _played(script: Callable[..., Awaitable[None]], life: Life, arguments: dict[str, Any]) -> None:
    await life.machine.start()
    await life.pass_time(30)
    assert life.room.membership(BOT) == "join"
    await script(life, **arguments)
    await life.machine.stop()
    assert life.machine.ended == []
