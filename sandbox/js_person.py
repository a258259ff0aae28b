"""A person on matrix-js-sdk with its Rust crypto: a client that shares no line of code with the bot's.

It runs in Node as a process of its own for each device (`tests/js`); `matrix-js-sdk` itself decides what can be read,
what an edit changes and which shield stands beside a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.node import NodeProgram
from sandbox.watching import PATIENCE

Isolation = Literal["signed", "all"]
"""From whom a device reads and to whom it gives keys: only devices that their owners signed (MSC4153), or all."""


@dataclass(frozen=True)
class Shown:
    """A message as matrix-js-sdk shows it, with its last edit applied.

    `shield` and `edit_shield` (of the last edit, None without one) are `none` where nothing is amiss; else colour and
    reason, `clear` for what wasn't encrypted, or `unreadable`. `failure` is why it can't be decrypted.
    """

    event_id: str
    room_id: str
    sender: str
    body: str
    encrypted: bool
    failure: str | None
    shield: str
    edit_shield: str | None
    reactions: frozenset[tuple[str, str]]
    """(sender, key) of those that stand."""


@dataclass(frozen=True)
class Opinion:
    """What the client thinks of another person: whether it knows an identity, whether that one replaced another, and
    by device_id whether its owner signed it."""

    known: bool
    identity_changed: bool
    signed: dict[str, bool]


class JsPerson:
    """One device of one person.

    Args:
        base_url: the homeserver's address.
        user_id: the full Matrix ID of an account that exists.
        isolation: see `Isolation`.
    """

    def __init__(self, base_url: str, user_id: str, isolation: Isolation = "signed") -> None:
        self.base_url = base_url
        self.user_id = user_id
        self.isolation = isolation
        self.device_id = ""
        self.password = ""
        self.recovery_key = ""
        self._program = NodeProgram("client.mjs", f"the client of {user_id}")
        self._others: list[JsPerson] = []

    # Coming and going

    async def login(self, password: str) -> None:
        """Starts the client and logs in as a new device.

        Raises:
            NodeFailed: it can't start, or the homeserver refuses.
        """
        self.password = password
        await self._program.start()
        self.device_id = await self._program.do(
            "login", base_url=self.base_url, user_id=self.user_id, password=password, isolation=self.isolation
        )

    async def make_identity(self) -> None:
        """Makes the person's cross-signing identity, with a recovery key, and signs this device by it."""
        self.recovery_key = await self._program.do("make_identity", password=self.password)

    async def new_device(self) -> JsPerson:
        """The same person on another device; signed by the recovery key, where there is one. Closed together with
        this one."""
        other = JsPerson(self.base_url, self.user_id, self.isolation)
        self._others.append(other)
        await other.login(self.password)
        if self.recovery_key:
            other.recovery_key = self.recovery_key
            await other._program.do("sign_by_recovery", recovery_key=self.recovery_key)
        return other

    async def restart(self) -> None:
        """Ends the client and starts it again on its own store, as closing and opening an app does."""
        await self._program.do("restart")

    async def close(self) -> None:
        """Ends the client. The device stays logged in."""
        for other in self._others:
            await other.close()
        await self._program.close()

    # Rooms

    async def create_room(self, *, name: str | None = None, invite: Iterable[str] = (), direct: bool = False) -> str:
        """Makes an encrypted room and returns its id."""
        return str(await self._program.do("create_room", name=name, invite=list(invite), direct=direct))

    async def join(self, room_id: str) -> None:
        """Joins an encrypted room by its id."""
        await self._program.do("join", room_id=room_id)

    async def member(self, room_id: str, user_id: str, membership: str = "join", timeout: float = PATIENCE) -> None:
        """Waits until the client sees that somebody is (or isn't any more) in the room."""
        await self._program.do("member", room_id=room_id, user_id=user_id, membership=membership, timeout=timeout)

    async def opinion(self, user_id: str) -> Opinion:
        """What the client thinks of somebody's identity and devices, asked of the homeserver anew."""
        return Opinion(**await self._program.do("opinion", user_id=user_id))

    # Saying

    async def say(self, room_id: str, body: str, reply_to: str | None = None) -> str:
        """Sends a text and returns the event's id."""
        return str(await self._program.do("say", room_id=room_id, body=body, reply_to=reply_to))

    async def edit(self, room_id: str, event_id: str, body: str) -> str:
        """Edits a text of its own and returns the edit's id."""
        return str(await self._program.do("edit", room_id=room_id, event_id=event_id, body=body))

    async def react(self, room_id: str, event_id: str, key: str) -> str:
        """Reacts and returns the reaction's id."""
        return str(await self._program.do("react", room_id=room_id, event_id=event_id, key=key))

    # Looking

    async def reply_to(self, event_id: str, timeout: float = PATIENCE, *, containing: str = "") -> Shown:
        """Waits for a readable message of somebody else that replies to the event and holds the text."""
        return _shown(await self._program.do("reply_to", event_id=event_id, containing=containing, timeout=timeout))

    async def said(self, room_id: str, containing: str, *, by: str, timeout: float = PATIENCE) -> Shown:
        """Waits for a readable message of somebody in a room that holds the text, whatever it replies to."""
        return _shown(await self._program.do("said", room_id=room_id, by=by, containing=containing, timeout=timeout))

    async def reads(self, event_id: str, containing: str = "", timeout: float = PATIENCE) -> Shown:
        """Waits until an event can be read and holds the text, by an edit or from the start."""
        return _shown(await self._program.do("reads", event_id=event_id, containing=containing, timeout=timeout))

    async def fails(self, event_id: str, because: str, timeout: float = PATIENCE) -> None:
        """Waits until an event can't be read for this reason (the library's `DecryptionFailureCode`)."""
        await self._program.do("fails", event_id=event_id, because=because, timeout=timeout)

    async def reacted(self, event_id: str, key: str, *, by: str, timeout: float = PATIENCE) -> None:
        """Waits for a reaction on an event."""
        await self._program.do("reacted", event_id=event_id, key=key, by=by, timeout=timeout)


def _shown(answer: dict[str, Any]) -> Shown:
    reactions = frozenset((each["sender"], each["key"]) for each in answer.pop("reactions"))
    return Shown(reactions=reactions, **answer)
