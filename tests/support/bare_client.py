"""A bot's door to Matrix with nothing behind it: what it hears is kept in a list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homeserver.client.api import BadToken
from homeserver.client.backoff import Backoff
from homeserver.client.matrix_client import MatrixClient
from removal.incoming import Incoming, Invite, SyncBatch
from sandbox.client import Person
from tests.conftest import Account

PATIENCE = 30.0


@dataclass
class Bot:
    """A Matrix that can be started, stopped and started again on the same directory.

    `heard` and `since` are what a database would hold.
    """

    url: str
    account: Account
    data_dir: Path
    password: str | None = None
    access_token: str | None = None
    device_id: str | None = None
    heard: list[Incoming] = field(default_factory=list)
    invites: list[Invite] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    new_sessions: list[tuple[str, str]] = field(default_factory=list)
    since: str | None = None
    batches: int = 0
    fail: Exception | None = None

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self._matrix: MatrixClient | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @property
    def user_id(self) -> str:
        return self.account.user_id

    @property
    def matrix(self) -> MatrixClient:
        assert self._matrix is not None, "not started"
        return self._matrix

    @property
    def keys(self) -> Any:
        """nio's machine inside, for looking at."""
        return self.matrix._started().machine

    def make(self) -> MatrixClient:
        """A Matrix of these settings, not started."""
        return MatrixClient(
            self.url,
            self.user_id,
            self.data_dir,
            self.password,
            self.access_token,
            self.device_id,
            backoff=lambda: Backoff(first=0.02, limit=0.2),
        )

    async def start(self, *, listen: bool = True) -> MatrixClient:
        """Start, and hear."""
        self._matrix = self.make()
        await self._matrix.start()
        if listen:
            self.listen()
        return self._matrix

    def listen(self) -> None:
        """Hear from now on."""
        self._stop = asyncio.Event()
        self._syncing = asyncio.create_task(self.matrix.sync_forever(self.since, self._store, self._stop))

    async def _store(self, batch: SyncBatch) -> None:
        if self.fail is not None:
            raise self.fail
        self.since = batch.since
        self.heard += batch.events
        self.invites += batch.invites
        self.left += batch.left_rooms
        self.new_sessions += batch.new_sessions
        self.batches += 1
        async with self._changed:
            self._changed.notify_all()

    async def ended(self) -> None:
        """Wait until the sync loop ends by itself; raises what ended it."""
        assert self._syncing is not None
        async with asyncio.timeout(PATIENCE):
            await self._syncing

    async def stop(self) -> None:
        """Stop hearing, and let go of the directory."""
        self._stop.set()
        if self._syncing is not None:
            await asyncio.gather(self._syncing, return_exceptions=True)
            self._syncing = None
        if self._matrix is not None:
            await self._matrix.close()
            self._matrix = None

    async def until(self, condition: Callable[[], Any], what: str = "what it waits for") -> Any:
        """Wait until the condition, looked at after each batch, gives something true."""
        try:
            async with asyncio.timeout(PATIENCE), self._changed:
                while True:
                    if result := condition():
                        return result
                    if self._syncing is not None and self._syncing.done():
                        await self._syncing
                        raise AssertionError(f"the sync ended before {what}")
                    try:
                        await asyncio.wait_for(self._changed.wait(), 0.5)  # or the end of the sync isn't seen
                    except TimeoutError:
                        continue
        except TimeoutError:
            raise AssertionError(f"the bot did not hear {what}; it heard {self.heard[-5:]}") from None

    def find(self, event_id: str) -> Incoming | None:
        return next((event for event in self.heard if event.event_id == event_id), None)

    async def hears(self, event_id: str) -> Incoming:
        """Wait for an event of that id."""
        event: Incoming = await self.until(lambda: self.find(event_id), event_id)
        return event

    async def joined(self, person: Person, *, encrypted: bool = False, **options: Any) -> str:
        """A room of this person that the bot was invited to and has joined."""
        room_id = await person.create_room(invite=[self.user_id], encrypted=encrypted, **options)
        await self.until(lambda: any(invite.room_id == room_id for invite in self.invites), f"the invitation {room_id}")
        await self.matrix.join(room_id)
        await self.until(lambda: self._is_in(room_id), f"its own join of {room_id}")
        return room_id

    def _is_in(self, room_id: str) -> bool:
        return any(
            event.room_id == room_id
            and event.type == "m.room.member"
            and event.state_key == self.user_id
            and event.content.get("membership") == "join"
            for event in self.heard
        )


async def is_dead(matrix: MatrixClient) -> bool:
    """Whether the token of a started Matrix is dead."""
    try:
        await matrix.api.call("GET", "/_matrix/client/v3/account/whoami")
    except BadToken:
        return True
    return False
