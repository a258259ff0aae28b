"""A prompt and what becomes of it: shared by the tests of confirmations, restarts and outages."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from sandbox.client import Person
from sandbox.scene import Scene
from sandbox.timeline import Seen
from sandbox.watching import PATIENCE

MakeScene = Callable[..., Awaitable[Scene]]

OPEN = "waiting for ✅"
"""What `!status` says of a prompt that nobody has answered."""


class Prompt:
    """A prompt in the admin room, with ✅ and ❌ under it."""

    def __init__(self, scene: Scene, event: Seen, target: str) -> None:
        self.scene = scene
        self.event = event
        self.event_id = event.event_id
        self.target = target
        found = re.match(r"R\d+", event.body)
        assert found, event.body
        self.reference = found.group()

    @property
    def body(self) -> str:
        """As it first read."""
        return self.event.body

    async def react(self, key: str, by: Person | None = None) -> str:
        """Puts a reaction under it; returns the reaction's event_id."""
        return await (by or self.scene.moderator).react(self.scene.room, self.event_id, key)

    async def reads(self, containing: str) -> str:
        """Waits until it reads so, by edit; returns its text."""
        return (await self.scene.moderator.edited(self.event_id, containing)).body

    async def status(self) -> str:
        """What `!status` says of it. By then all that was said in the admin room before has been handled."""
        event_id = await self.scene.moderator.say(self.scene.room, f"!status {self.reference}")
        return (await self.scene.moderator.reply_to(event_id)).body

    def said(self) -> list[str]:
        """What the bot has said of it as the moderator has seen it, beside the prompt itself and `!status`."""
        about = re.compile(rf"{self.reference}( ·|:)")
        return [event.body for event in said(self.scene) if about.match(event.body) and event.event_id != self.event_id]

    async def hears(self, containing: str, timeout: float = PATIENCE) -> str:
        """Waits until the bot has said something of it; returns that."""
        return await self.scene.moderator.until(
            lambda: next((body for body in self.said() if containing in body), None),
            timeout,
            f"{containing!r} of {self.reference}",
        )

    async def gone(self) -> bool:
        """Whether the homeserver says that the account is deactivated."""
        return bool((await self.scene.user(self.target))["deactivated"])

    async def stays_open(self, before: list[str]) -> None:
        """Asserts that all that came since `before` (of `said`) was handled, changed nothing, and got no answer."""
        assert OPEN in await self.status()
        assert self.said() == before
        assert not await self.gone()


async def prompted(scene: Scene, target: str, options: str = "", by: Person | None = None) -> Prompt:
    """Asks for a removal and returns the prompt, once ✅ and ❌ stand under it and the moderator has seen it."""
    event_id = await (by or scene.moderator).say(scene.room, f"!deactivate {target} {options}".strip())
    return await shown(scene, lambda e: e.replies_to == event_id, target)


async def shown(scene: Scene, is_it: Callable[[Seen], object], target: str) -> Prompt:
    """Waits for a prompt, with ✅ and ❌ under it."""
    prompt = await scene.moderator.wait_for(
        lambda e: e.sender == scene.bot_id and "to go on" in e.body and not e.replaces and is_it(e), what="the prompt"
    )
    for key in ("✅", "❌"):
        await scene.moderator.reacted(prompt.event_id, key, by=scene.bot_id)
    return Prompt(scene, prompt, target)


def said(scene: Scene) -> list[Seen]:
    """What the bot has said in the admin room as the moderator has seen it, without edits and answers to `!status`."""
    seen = scene.moderator.timeline
    return [
        event
        for event in seen.events
        if event.sender == scene.bot_id
        and event.type == "m.room.message"
        and event.room_id == scene.room
        and event.replaces is None
        and not ((asked := seen.get(event.replies_to or "")) and asked.body.startswith("!status"))
    ]


def line(output: str, mark: str, containing: str) -> str:
    """The one finding with that mark, of what `check` printed, that holds the text; its remedy belongs to it."""
    findings = output.replace("\n  → ", " ").splitlines()
    found = [each for each in findings if each.startswith(mark) and containing in each]
    assert len(found) == 1, output
    return found[0]
