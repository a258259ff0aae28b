"""Encrypted messages whose key is missing, on a real database file: kept, read later, or asked for again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import pytest_asyncio

from engine.messages import CurrentAdminRoom
from engine.receiver import Receiver
from engine.unit_of_work import UnitsOfWork
from handlers.context import Context
from handlers.undecryptable import Undecryptable
from removal.incoming import Incoming, SyncBatch
from storage import inbox
from storage.database import Database
from texts import Texts

ROOM = "!admins"
LOCKED = Incoming(
    "$locked", ROOM, "@moderator:example.org", "m.room.encrypted", {"ciphertext": "…"}, 1, undecryptable=True
)
OPENED = replace(LOCKED, type="m.room.message", content={"body": "!help"}, encrypted=True, undecryptable=False)


class Stage:
    """An inbox, and what looks after its unreadable events; `opens_to` is what decrypting gives."""

    def __init__(self, units: UnitsOfWork) -> None:
        self.units = units
        self.receiver = Receiver(units, "@lethe:example.org")
        self.opens_to: Incoming | None = LOCKED

    async def brings(self, *events: Incoming, keys: bool = False) -> None:
        """A sync brings these events, or keys."""
        sessions = [(ROOM, "session")] if keys else []
        await self.receiver.store(SyncBatch("s1", events=list(events), new_sessions=sessions))

    @asynccontextmanager
    async def watched(self, patience_ms: int = 60_000) -> AsyncIterator[None]:
        """While somebody looks after the unreadable ones."""

        async def decrypt(event: Incoming) -> Incoming | None:
            return self.opens_to

        context = cast(Context, SimpleNamespace(units=self.units, authority=SimpleNamespace(admin_room_id=ROOM)))
        running = asyncio.create_task(Undecryptable(context, self.receiver, decrypt, patience_ms).run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def until(self, *, pending: int = 0, locked: int = 0, answers: int = 0) -> list[Incoming]:
        """Waits until so many events wait to be handled or to be read, and so many answers to be sent."""
        seen = -1
        async with asyncio.timeout(5):
            while True:
                async with self.units.database.transaction() as tx:
                    readable = [event for _, event in await inbox.pending(tx)]
                    unread = await inbox.undecryptable(tx)
                    sending = await tx.one("SELECT COUNT(*) FROM outbox")
                if (len(readable), len(unread), sending and sending[0]) == (pending, locked, answers):
                    return readable
                seen = await self.units.wait_for_change(seen, None)


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    database = Database(tmp_path / "lethe.db")
    await database.open()
    clock = itertools.count(1_000)
    yield Stage(UnitsOfWork(database, Texts(), lambda: next(clock), CurrentAdminRoom(ROOM)))
    await database.close()


async def test_it_is_handled_once_its_key_comes(stage: Stage) -> None:
    """A message without a key is kept, and waits to be handled, decrypted, as soon as keys arrive."""
    async with stage.watched():
        await stage.brings(LOCKED)
        await stage.until(locked=1)
        stage.opens_to = OPENED
        await stage.brings(keys=True)
        (event,) = await stage.until(pending=1)
    assert event == OPENED


async def test_whose_key_never_comes_is_asked_to_send_it_again(stage: Stage) -> None:
    """After a while its sender is asked, once however many messages there are, although no key ever woke anybody."""
    async with stage.watched(patience_ms=0):
        await stage.brings(LOCKED, replace(LOCKED, event_id="$another"))
        await stage.until(answers=1)


@pytest.mark.parametrize("patience_ms", [0, 60_000])
async def test_a_forgery_is_dropped_without_a_word(stage: Stage, patience_ms: int) -> None:
    """What turns out forged is neither handled nor answered."""
    stage.opens_to = None
    async with stage.watched(patience_ms):
        await stage.brings(LOCKED)
        await stage.until()
