"""A person on matrix-js-sdk with its Rust crypto: a client that shares no line of code with the bot's.

It runs in Node as a process of its own for each device (`tests/js`); `matrix-js-sdk` itself decides what can be read,
what an edit changes and which shield stands beside a message.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sandbox.watching import PATIENCE

DIRECTORY = Path(__file__).parent.parent / "tests" / "js"
OLDEST_NODE = 20

Isolation = Literal["signed", "all"]
"""From whom a device reads and to whom it gives keys: only devices that their owners signed (MSC4153), or all."""


class JsFailed(Exception):
    """The client refused, did not see what it was to wait for, or ended. `str()` says what it said."""


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


def why_not() -> str | None:
    """Why there can be no such client here, and what to do; None where there can."""
    node = shutil.which("node")
    if node is None:
        return f"matrix-js-sdk needs Node {OLDEST_NODE} or newer, and there is no node here"
    asked = subprocess.run([node, "-p", "process.versions.node"], capture_output=True, text=True, check=False)
    version = asked.stdout.strip()
    if asked.returncode or not version or int(version.split(".")[0]) < OLDEST_NODE:
        return f"matrix-js-sdk needs Node {OLDEST_NODE} or newer, and {node} is {version or 'broken'}"
    if not (DIRECTORY / "node_modules" / "matrix-js-sdk").is_dir():
        return "matrix-js-sdk isn't installed: `make js` does it"
    return None


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
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._others: list[JsPerson] = []

    # Coming and going

    async def login(self, password: str) -> None:
        """Starts the client and logs in as a new device.

        Raises:
            JsFailed: it can't start, or the homeserver refuses.
        """
        self.password = password
        self._process = await asyncio.create_subprocess_exec(
            "node", "driver.mjs", cwd=DIRECTORY, limit=2**24,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen(self._process), name=f"js {self.user_id}")
        self.device_id = await self._do(
            "login", base_url=self.base_url, user_id=self.user_id, password=password, isolation=self.isolation
        )

    async def make_identity(self) -> None:
        """Makes the person's cross-signing identity, with a recovery key, and signs this device by it."""
        self.recovery_key = await self._do("make_identity", password=self.password)

    async def new_device(self) -> JsPerson:
        """The same person on another device; signed by the recovery key, where there is one. Closed together with
        this one."""
        other = JsPerson(self.base_url, self.user_id, self.isolation)
        self._others.append(other)
        await other.login(self.password)
        if self.recovery_key:
            other.recovery_key = self.recovery_key
            await other._do("sign_by_recovery", recovery_key=self.recovery_key)
        return other

    async def restart(self) -> None:
        """Ends the client and starts it again on its own store, as closing and opening an app does."""
        await self._do("restart")

    async def close(self) -> None:
        """Ends the client. The device stays logged in."""
        for other in self._others:
            await other.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # it ends when its input does
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._listening is not None:
            await asyncio.gather(self._listening, return_exceptions=True)
        self._errors.close()

    # Rooms

    async def create_room(self, *, name: str | None = None, invite: Iterable[str] = (), direct: bool = False) -> str:
        """Makes an encrypted room and returns its id."""
        return str(await self._do("create_room", name=name, invite=list(invite), direct=direct))

    async def join(self, room_id: str) -> None:
        """Joins an encrypted room by its id."""
        await self._do("join", room_id=room_id)

    async def member(self, room_id: str, user_id: str, membership: str = "join", timeout: float = PATIENCE) -> None:
        """Waits until the client sees that somebody is (or isn't any more) in the room."""
        await self._do("member", room_id=room_id, user_id=user_id, membership=membership, timeout=timeout)

    async def opinion(self, user_id: str) -> Opinion:
        """What the client thinks of somebody's identity and devices, asked of the homeserver anew."""
        return Opinion(**await self._do("opinion", user_id=user_id))

    # Saying

    async def say(self, room_id: str, body: str, reply_to: str | None = None) -> str:
        """Sends a text and returns the event's id."""
        return str(await self._do("say", room_id=room_id, body=body, reply_to=reply_to))

    async def edit(self, room_id: str, event_id: str, body: str) -> str:
        """Edits a text of its own and returns the edit's id."""
        return str(await self._do("edit", room_id=room_id, event_id=event_id, body=body))

    async def react(self, room_id: str, event_id: str, key: str) -> str:
        """Reacts and returns the reaction's id."""
        return str(await self._do("react", room_id=room_id, event_id=event_id, key=key))

    # Looking

    async def reply_to(self, event_id: str, timeout: float = PATIENCE, *, containing: str = "") -> Shown:
        """Waits for a readable message of somebody else that replies to the event and holds the text."""
        return _shown(await self._do("reply_to", event_id=event_id, containing=containing, timeout=timeout))

    async def said(self, room_id: str, containing: str, *, by: str, timeout: float = PATIENCE) -> Shown:
        """Waits for a readable message of somebody in a room that holds the text, whatever it replies to."""
        return _shown(await self._do("said", room_id=room_id, by=by, containing=containing, timeout=timeout))

    async def reads(self, event_id: str, containing: str = "", timeout: float = PATIENCE) -> Shown:
        """Waits until an event can be read and holds the text, by an edit or from the start."""
        return _shown(await self._do("reads", event_id=event_id, containing=containing, timeout=timeout))

    async def fails(self, event_id: str, because: str, timeout: float = PATIENCE) -> None:
        """Waits until an event can't be read for this reason (the library's `DecryptionFailureCode`)."""
        await self._do("fails", event_id=event_id, because=because, timeout=timeout)

    async def reacted(self, event_id: str, key: str, *, by: str, timeout: float = PATIENCE) -> None:
        """Waits for a reaction on an event."""
        await self._do("reacted", event_id=event_id, key=key, by=by, timeout=timeout)

    # The process

    async def _do(self, order: str, **given: Any) -> Any:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("log in first")
        number = next(self._numbers)
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        if self._listening is None or self._listening.done():
            raise JsFailed(self._epitaph())
        self._process.stdin.write(json.dumps({"id": number, "do": order, "with": given}).encode() + b"\n")
        try:
            # The client's own limits are shorter, and their errors say more.
            async with asyncio.timeout(given.get("timeout", 60.0) + 10):
                return await answer
        except TimeoutError:
            raise JsFailed(f"{order}: no answer from the client; {self._epitaph()}") from None
        finally:
            del self._waiting[number]

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise RuntimeError("started without a pipe")
        async for line in process.stdout:
            reply = json.loads(line)
            waiting = self._waiting.get(reply["id"])
            if waiting is None or waiting.done():
                continue
            if "error" in reply:
                waiting.set_exception(JsFailed(f"{self.user_id}: {reply['error']}"))
            else:
                waiting.set_result(reply["answer"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(JsFailed(self._epitaph()))

    def _epitaph(self) -> str:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        return f"the client of {self.user_id} said on standard error:\n{said[-4000:]}"


def _shown(answer: dict[str, Any]) -> Shown:
    reactions = frozenset((each["sender"], each["key"]) for each in answer.pop("reactions"))
    return Shown(reactions=reactions, **answer)
