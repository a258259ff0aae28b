"""Many who wait for a homeserver that is away: one of them asks, less and less often, and all go on once it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.messages import CurrentAdminRoom
from engine.sender import OutboxSender
from engine.unit_of_work import UnitsOfWork
from homeserver.client.api import HomeserverError, NotFound, ServerFault, Unreachable
from homeserver.client.backoff import Outage
from storage import outbox
from storage.database import Database
from texts import Texts

AWAY = Unreachable("nobody is there")
ROOMS = 20


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("error", [AWAY, ServerFault("502", 502, "", ""), ServerFault("503", 503, "", "")], ids=str)
def test_each_failure_makes_the_next_wait_longer(error: HomeserverError) -> None:
    """Waits double up to the limit; those who fail together count once; an answer ends it."""
    clock = Hand()
    outage = Outage(2.0, 60.0, clock)
    assert not outage.on and outage.seconds() == 0
    waits = []
    for _ in range(8):
        for _ in range(4):
            outage.failed(error)
        waits.append(outage.seconds())
        clock.now += outage.seconds()
    assert outage.on
    assert all(0.7 * full <= wait <= full for wait, full in zip(waits, (2, 4, 8, 16, 32, 60, 60, 60), strict=True))
    outage.answered()
    assert not outage.on and outage.seconds() == 0


@pytest.mark.parametrize("error", [ServerFault("500", 500, "", ""), NotFound("404", 404, "", "")], ids=str)
def test_an_error_that_the_homeserver_gave_is_an_answer(error: HomeserverError) -> None:
    """It is there, whatever it says."""
    outage = Outage(2.0, 60.0, Hand())
    outage.failed(AWAY)
    outage.failed(error)
    assert not outage.on


class Sender:
    """A Matrix that is away until it is back."""

    def __init__(self, last: str = "") -> None:
        self.away = True
        self._last = last
        self.asked = 0
        self.sent: list[str] = []
        self.all_sent = asyncio.Event()

    async def send(self, room_id: str, _type: str, _content: dict[str, Any], txn_id: str) -> str:
        self.asked += 1
        if self.away:
            raise AWAY
        self.sent.append(room_id)
        if (len(self.sent) == ROOMS and not self._last) or txn_id == self._last:
            self.all_sent.set()
        return f"${len(self.sent)}"

    async def redact(self, room_id: str, event_id: str, txn_id: str) -> str:
        raise NotImplementedError

    async def leave(self, room_id: str) -> None:
        raise AssertionError(room_id)

    async def forget(self, room_id: str) -> None:
        raise AssertionError(room_id)


@pytest_asyncio.fixture
async def units(tmp_path: Path) -> AsyncIterator[UnitsOfWork]:
    """A units with one message for each of many rooms."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    async with database.transaction() as tx:
        for number in range(ROOMS):
            await outbox.put(tx, txn_id=f"t{number}", room_id=f"!{number}", purpose="reply", content={}, now=0)
    yield UnitsOfWork(database, Texts(), lambda: 1, CurrentAdminRoom("!0"))
    await database.close()


async def test_an_edit_that_a_newer_one_replaced_is_not_sent(units: UnitsOfWork) -> None:
    """Dropped after the sender had taken it up and before it was tried, a message stays unsent: nobody would know of
    it after a crash."""
    sender = Sender(last="next")
    sender.away = False
    async with units.database.transaction() as tx:
        for txn_id, purpose in (("edit", "card.edit.1"), ("next", "done.2")):
            await outbox.put(tx, txn_id=txn_id, room_id="!edits", purpose=purpose, content={}, now=0, request_id=1)

    async def where(message: outbox.Outgoing) -> str:
        if message.txn_id == "edit":
            async with units.database.transaction() as tx:
                await outbox.drop_untried(tx, 1, "card.edit.")
        return message.room_id

    running = asyncio.create_task(OutboxSender(units, sender, CurrentAdminRoom("!0"), where).run())
    try:
        async with asyncio.timeout(5):
            await sender.all_sent.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert sender.sent.count("!edits") == 1


async def test_messages_for_many_rooms_do_not_each_ask_a_dead_homeserver(units: UnitsOfWork) -> None:
    """Of twenty rooms with a message each, one asks at a time, with pauses; once it is back, all are sent."""
    sender = Sender()
    outbox_sender = OutboxSender(units, sender, CurrentAdminRoom("!0"), outage=Outage(0.2, 0.2))
    running = asyncio.create_task(outbox_sender.run())
    try:
        async with asyncio.timeout(10):
            while sender.asked < ROOMS:  # noqa: ASYNC110 - those that were on their way; nothing tells when
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)  # the time in which is counted
        assert sender.asked <= ROOMS + 8  # and then one every 0.14 to 0.2 s
        sender.away = False
        outbox_sender.nudge()
        units.notify()
        async with asyncio.timeout(5):
            await sender.all_sent.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert sorted(sender.sent) == sorted(f"!{number}" for number in range(ROOMS))
