"""Waiting for what a client will see, without fixed sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sandbox.timeline import Message, Reaction, Seen, Timeline

Result = TypeVar("Result")

PATIENCE = 30.0
"""Seconds that a wait takes by default before it fails: far more than needed, so a loaded machine is no failure."""


class Watching:
    """What one client has seen, and waiting for more.

    Args:
        user_id: whose client.

    Attributes:
        timeline: every timeline event seen, of all rooms.
        invites: who invited us, by room.
    """

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.timeline = Timeline()
        self.invites: dict[str, str] = {}
        self._changed = asyncio.Condition()

    async def _notify(self) -> None:
        """Have everybody who waits look again."""
        async with self._changed:
            self._changed.notify_all()

    async def until(
        self, condition: Callable[[], Result | None], timeout: float = PATIENCE, what: str = "what it waits for"
    ) -> Result:
        """Wait until the condition gives something true, looked at again whenever a sync brought something.

        Args:
            condition: asked without arguments; it looks at `timeline`, `invites`, `messages(…)` …
            timeout: seconds.
            what: named in the error.

        Raises:
            AssertionError: not in time; the message lists the last events seen.
        """
        try:
            async with asyncio.timeout(timeout), self._changed:
                while True:
                    if result := condition():
                        return result
                    await self._changed.wait()
        except TimeoutError:
            last = "\n".join(f"  {event}" for event in self.timeline.events[-12:])
            raise AssertionError(
                f"{self.user_id} did not see {what} within {timeout:g} s; the last events seen:\n{last}"
            ) from None

    async def wait_for(
        self, predicate: Callable[[Seen], object], timeout: float = PATIENCE, what: str = "the event"
    ) -> Seen:
        """Return the first event of all seen and to come for which the predicate is true."""
        return await self.until(
            lambda: next((event for event in self.timeline.events if predicate(event)), None), timeout, what
        )

    async def event(self, event_id: str, timeout: float = PATIENCE) -> Seen:
        """Return the event of that id once it was seen and can be read."""
        return await self.wait_for(
            lambda event: event.event_id == event_id and not event.undecryptable, timeout, f"{event_id}, readable"
        )

    async def reply_to(self, event_id: str, timeout: float = PATIENCE, *, containing: str = "") -> Seen:
        """Return the first message of somebody else that replies to the event (and holds the text)."""
        return await self.wait_for(
            lambda event: (
                event.replies_to == event_id
                and event.type == "m.room.message"
                and event.sender != self.user_id
                and containing in event.body
            ),
            timeout,
            f"a reply to {event_id} containing {containing!r}",
        )

    async def invited_to(self, *, by: str | None = None, timeout: float = PATIENCE) -> str:
        """Return the id of a room that we are invited to (by somebody)."""
        return await self.until(
            lambda: next((room for room, inviter in self.invites.items() if by in (None, inviter)), None),
            timeout,
            f"an invitation by {by or 'anybody'}",
        )

    async def edited(self, event_id: str, containing: str, timeout: float = PATIENCE) -> Message:
        """Return a message once it reads so that it holds the text, by edit or from the start."""

        def reads() -> Message | None:
            message = self.message(event_id)
            return message if message is not None and containing in message.body else None

        return await self.until(reads, timeout, f"{event_id} edited to contain {containing!r}")

    async def reacted(self, event_id: str, key: str, *, by: str | None = None, timeout: float = PATIENCE) -> Reaction:
        """Return the reaction with that key on the event (by somebody) once it was seen."""
        return await self.until(
            lambda: next((r for r in self.reactions_on(event_id) if r.key == key and by in (None, r.sender)), None),
            timeout,
            f"{key} on {event_id} by {by or 'anybody'}",
        )

    def messages(self, room_id: str) -> list[Message]:
        """Return a room's readable messages in the order of session, with edits applied."""
        return self.timeline.messages(room_id)

    def message(self, event_id: str) -> Message | None:
        """Return a message as it reads now."""
        return self.timeline.message(event_id)

    def reactions_on(self, event_id: str) -> list[Reaction]:
        """Return the reactions on an event that stand now."""
        return self.timeline.reactions_on(event_id)
