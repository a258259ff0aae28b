"""Messages on their way out: in order within a room, and the same message however often it is put or sent."""

from __future__ import annotations

from typing import Any

from storage import outbox
from storage.database import Database, Transaction

NOW = 1_700_000_000_000


async def put(tx: Transaction, txn_id: str, room_id: str = "!one", **more: Any) -> None:
    """Puts a message on its way."""
    values: dict[str, Any] = {"purpose": "card", "content": {"body": txn_id}, "now": NOW, **more}
    await outbox.put(tx, txn_id=txn_id, room_id=room_id, **values)


async def heads(tx: Transaction, now: int = NOW) -> list[str]:
    """What may be sent now, by transaction id."""
    return sorted(message.txn_id for message in await outbox.heads(tx, now))


async def test_a_message_comes_back_as_it_was(database: Database) -> None:
    """With everything that sending it needs."""
    async with database.transaction() as tx:
        await put(tx, "a", request_id=7, event_type="m.reaction", relates_to="b", content={"key": "✅"})
        (message,) = await outbox.heads(tx, NOW)
    assert message == outbox.Outgoing(
        seq=1, txn_id="a", room_id="!one", request_id=7, purpose="card", event_type="m.reaction",
        content={"key": "✅"}, relates_to="b", attempts=0,
    )  # fmt: skip


async def test_the_same_transaction_id_is_the_same_message(database: Database) -> None:
    """Put again, before or after it was sent, it stays as it was and isn't sent again."""
    async with database.transaction() as tx:
        await put(tx, "a", content={"body": "first"})
        await put(tx, "a", content={"body": "second"})
        (message,) = await outbox.heads(tx, NOW)
        assert message.content == {"body": "first"}
        await outbox.sent(tx, message.seq, "$a")
        await put(tx, "a")
        assert await heads(tx) == []
        assert await outbox.event_id_of(tx, "a") == "$a"


async def test_order_holds_within_a_room_and_rooms_do_not_wait_for_each_other(database: Database) -> None:
    """Only the oldest of each room is at the head; the next comes once it was sent or given up."""
    async with database.transaction() as tx:
        for txn_id, room_id in (("a1", "!one"), ("b1", "!two"), ("a2", "!one"), ("b2", "!two")):
            await put(tx, txn_id, room_id)
        assert await heads(tx) == ["a1", "b1"]
        first = {message.txn_id: message.seq for message in await outbox.heads(tx, NOW)}
        await outbox.trying(tx, first["a1"])
        assert await heads(tx) == ["a1", "b1"]
        await outbox.sent(tx, first["a1"], "$a1")
        assert await heads(tx) == ["a2", "b1"]
        await outbox.dropped(tx, first["b1"])
        assert await heads(tx) == ["a2", "b2"]


async def test_a_delayed_message_holds_nobody_up(database: Database) -> None:
    """Until its time it isn't there, and the clock is told when that is."""
    async with database.transaction() as tx:
        await put(tx, "later", delay_ms=1_500)
        await put(tx, "now")
        assert await heads(tx) == ["now"]
        assert await outbox.next_ts(tx, NOW) == NOW + 1_500
        assert await heads(tx, NOW + 1_500) == ["later"]
        assert await outbox.next_ts(tx, NOW + 1_500) is None


async def test_an_edit_that_nobody_tried_gives_way_to_a_newer_one(database: Database) -> None:
    """One that was tried may have arrived and stays; other requests and other messages aren't touched."""
    async with database.transaction() as tx:
        await put(tx, "tried", request_id=7, purpose="card.edit.1")
        await put(tx, "untried", request_id=7, purpose="card.edit.2")
        await put(tx, "card", request_id=7, purpose="card")
        await put(tx, "other", request_id=8, purpose="card.edit.2")
        (message,) = await outbox.heads(tx, NOW)
        await outbox.trying(tx, message.seq)
        await outbox.drop_untried(tx, 7, "card.edit.")
        left = await tx.all("SELECT txn_id FROM outbox WHERE status = 'pending' ORDER BY seq")
    assert [row["txn_id"] for row in left] == ["tried", "card", "other"]


async def test_what_was_sent_is_forgotten_but_not_as_what(database: Database) -> None:
    """The text goes; a reaction under it still finds its request. What was given up keeps no text either."""
    async with database.transaction() as tx:
        await put(tx, "a", request_id=7)
        await put(tx, "b", "!two")
        for message in await outbox.heads(tx, NOW):
            if message.txn_id == "a":
                await outbox.sent(tx, message.seq, "$a")
            else:
                await outbox.dropped(tx, message.seq)
        assert [row["content"] for row in await tx.all("SELECT content FROM outbox")] == [None, None]
        assert await outbox.sent_as(tx, "$a") == (7, "card", "!one")
        assert await outbox.sent_as(tx, "$stranger") is None
        assert await outbox.event_id_of(tx, "b") is None


async def test_a_requests_message_that_is_not_known_to_be_sent_is_waited_for(database: Database) -> None:
    """A reaction may stand under it; answers to nobody's request, edits and reactions are no such message."""
    async with database.transaction() as tx:
        await put(tx, "help")
        await put(tx, "edit", request_id=7, purpose="card.edit.2", relates_to="card")
        assert not await outbox.request_waiting_in(tx, "!one")
        await put(tx, "card", request_id=7)
        assert await outbox.request_waiting_in(tx, "!one")
        assert not await outbox.request_waiting_in(tx, "!two")
        assert await outbox.is_waiting(tx, 7, "card.edit.")
        assert not await outbox.is_waiting(tx, 7, "receipt")


async def test_only_old_answers_that_went_out_are_forgotten(database: Database) -> None:
    """Whatever belongs to a request stays, since reactions refer to it; so does what still waits."""
    async with database.transaction() as tx:
        await put(tx, "of a request", request_id=7)
        await put(tx, "an answer", "!two")
        for message in await outbox.heads(tx, NOW):
            await outbox.sent(tx, message.seq, f"${message.txn_id}")
        await put(tx, "waiting")
        await put(tx, "young", "!three", now=NOW + 1)
        (young,) = [message for message in await outbox.heads(tx, NOW + 1) if message.txn_id == "young"]
        await outbox.dropped(tx, young.seq)
        await outbox.prune(tx, NOW + 1)
        left = await tx.all("SELECT txn_id FROM outbox ORDER BY seq")
    assert [row["txn_id"] for row in left] == ["of a request", "waiting", "young"]
