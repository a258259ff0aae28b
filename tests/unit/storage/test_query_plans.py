"""How SQLite answers: nothing that is asked often reads a whole table, or sorts more than it shows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from removal.plan import Kind
from removal.request import State
from removal.wave import WaveState
from storage import (
    alerts,
    audit,
    conversations,
    inbox,
    links,
    log_ins,
    meta,
    outbox,
    requests,
    retention,
    uploads,
    visits,
    waves,
)  # fmt: skip
from storage.database import Database, Row, Transaction


class Explained(Transaction):
    """Asks SQLite for its plan before each statement."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.plans: list[str] = []

    async def _explain(self, sql: str, values: tuple[Any, ...]) -> None:
        self.plans += [str(row["detail"]) for row in await self._tx.all(f"EXPLAIN QUERY PLAN {sql}", *values)]

    async def run(self, sql: str, *values: Any) -> int:
        await self._explain(sql, values)
        return await self._tx.run(sql, *values)

    async def one(self, sql: str, *values: Any) -> Row | None:
        await self._explain(sql, values)
        return await self._tx.one(sql, *values)

    async def all(self, sql: str, *values: Any) -> list[Row]:
        await self._explain(sql, values)
        return await self._tx.all(sql, *values)


WALKS = re.compile(
    # These indexes hold only what is still to be done, however much is done already.
    r"SCAN \w+ USING (COVERING )?INDEX "
    r"(outbox_pending|inbox_waiting|inbox_rooms|requests_open|requests_wake|uploads_delete|waves_wake|waves_open|waves_untold|wave_members_at_work)"
    # A list that was made for the question.
    r"|SCAN (json_each|\w+ VIRTUAL TABLE).*"
)
Ask = Callable[[Transaction], Awaitable[object]]

ASKED: dict[str, Ask] = {
    "audit.shorten": lambda tx: audit.shorten(tx, 0, None, 0, 100),
    "retention.forget_requests": lambda tx: retention.forget_requests(tx, 0, 1),
    "retention.forget_waves": lambda tx: retention.forget_waves(tx, 0, 1),
    "meta.get": lambda tx: meta.get(tx, "since"),
    "inbox.pending": inbox.pending,
    "inbox.pending in a room": lambda tx: inbox.pending(tx, 1, room_id="!1"),
    "inbox.rooms_waiting": inbox.rooms_waiting,
    "inbox.undecryptable": inbox.undecryptable,
    "inbox.caught_up": inbox.caught_up,
    "inbox.handled": lambda tx: inbox.handled(tx, "$1"),
    "inbox.prune": lambda tx: inbox.prune(tx, 0),
    "outbox.heads": lambda tx: outbox.heads(tx, 0),
    "outbox.next_ts": lambda tx: outbox.next_ts(tx, 0),
    "outbox.trying": lambda tx: outbox.trying(tx, 1),
    "outbox.sent": lambda tx: outbox.sent(tx, 1, "$1"),
    "outbox.drop_untried": lambda tx: outbox.drop_untried(tx, 1, "card.edit."),
    "outbox.move": lambda tx: outbox.move(tx, 1, "!1", "!2"),
    "outbox.event_id_of": lambda tx: outbox.event_id_of(tx, "t"),
    "outbox.sent_as": lambda tx: outbox.sent_as(tx, "$1"),
    "outbox.request_waiting_in": lambda tx: outbox.request_waiting_in(tx, "!r"),
    "outbox.is_waiting": lambda tx: outbox.is_waiting(tx, 1, "card"),
    "outbox.prune": lambda tx: outbox.prune(tx, 0),
    "requests.get": lambda tx: requests.get(tx, 1),
    "requests.open_for": lambda tx: requests.open_for(tx, "@spammer:example.org"),
    "requests.due": lambda tx: requests.due(tx, 0),
    "requests.next_wake": lambda tx: requests.next_wake(tx, 0),
    "requests.next_expiry": requests.next_expiry,
    "requests.listing open": lambda tx: requests.listing(tx, only_open=True, limit=20),
    "requests.listing of a room": lambda tx: requests.listing(tx, only_open=False, limit=20, room_id="!r"),
    "requests.listing open of a room": lambda tx: requests.listing(tx, only_open=True, limit=20, room_id="!r"),
    "requests.confirmed_since": lambda tx: requests.confirmed_since(tx, "@moderator:example.org", 0),
    "requests.in_state": lambda tx: requests.in_state(tx, State.RUNNING),
    "links.use": lambda tx: links.use(tx, "secret", 0),
    "links.prune": lambda tx: links.prune(tx, 0),
    "visits.get": lambda tx: visits.get(tx, "secret", 0),
    "visits.prune": lambda tx: visits.prune(tx, 0),
    "log_ins.left": lambda tx: log_ins.left(tx, 0),
    "log_ins.gone": lambda tx: log_ins.gone(tx, "DEVICE"),
    "log_ins.prune": lambda tx: log_ins.prune(tx, 0),
    "audit.find by person": lambda tx: audit.find(tx, user_id="@spammer:example.org"),
    "audit.find by person since": lambda tx: audit.find(tx, user_id="@spammer:example.org", since_ts=0),
    "audit.find by request": lambda tx: audit.find(tx, request_id=1),
    "audit.find by request since": lambda tx: audit.find(tx, request_id=1, since_ts=0),
    "audit.find since": lambda tx: audit.find(tx, since_ts=0),
    "audit.find walking": lambda tx: audit.find(tx, after_id=0),
    "audit.find walking since": lambda tx: audit.find(tx, after_id=0, since_ts=0),
    "audit.find walking by person": lambda tx: audit.find(tx, after_id=0, user_id="@spammer:example.org"),
    "audit.forget_before": lambda tx: audit.forget_before(tx, 0),
    "conversations.with_whom": lambda tx: conversations.with_whom(tx, "!r"),
    "conversations.rooms_with": lambda tx: conversations.rooms_with(tx, "@leaver:example.org"),
    "uploads.due": lambda tx: uploads.due(tx, 0),
    "uploads.reserved_for": lambda tx: uploads.reserved_for(tx, "@leaver:example.org"),
    "waves.in_states": lambda tx: waves.in_states(tx, [WaveState.RUNNING]),
    "waves.untold": waves.untold,
    "waves.due": lambda tx: waves.due(tx, 0),
    "waves.next_wake": lambda tx: waves.next_wake(tx, 0),
    "waves.at_work": lambda tx: waves.at_work(tx, 1),
    "waves.counts": lambda tx: waves.counts(tx, 1),
    "waves.members": lambda tx: waves.members(tx, 1, limit=10),
    "waves.member": lambda tx: waves.member(tx, 1, "@spammer:example.org"),
    "waves.requests_of": lambda tx: waves.requests_of(tx, 1, "", 10),
    "outbox.drop_untried_in": lambda tx: outbox.drop_untried_in(tx, "!r", "wave."),
    "alerts.get": lambda tx: alerts.get(tx, 1),
    "alerts.close": lambda tx: alerts.close(tx, 1),
    "alerts.unseen": lambda tx: alerts.unseen(tx, "user_reports", ["1"]),
    "alerts.keys_of": lambda tx: alerts.keys_of(tx, "policy !r"),
    "uploads.last_for": lambda tx: uploads.last_for(tx, "@leaver:example.org"),
}  # fmt: skip


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
async def test_no_question_reads_a_whole_table(database: Database, ask: Ask) -> None:
    """Each is answered by an index, in the order in which it stands there."""
    async with database.transaction() as tx:
        explained = Explained(tx)
        await ask(explained)
    assert explained.plans
    slow = [plan for plan in explained.plans if plan.startswith("SCAN") and not WALKS.match(plan)]
    assert not slow
    assert not [plan for plan in explained.plans if "TEMP B-TREE" in plan]


@pytest.mark.parametrize(
    "ask",
    [lambda tx: requests.listing(tx, only_open=False, limit=20), audit.find, audit.head],
    ids=["requests.listing", "audit.find", "audit.head"],
)
async def test_the_newest_of_all_are_read_from_the_end(database: Database, ask: Ask) -> None:
    """A walk along the table by number that stops at the limit, without sorting."""
    async with database.transaction() as tx:
        explained = Explained(tx)
        await ask(explained)
    # The head looks further only where the table is empty, as it is here.
    assert set(explained.plans[1:]) <= {"SEARCH meta USING PRIMARY KEY (key=?)"}
    assert re.fullmatch(r"SCAN (requests USING INDEX requests_single|audit)", explained.plans[0])


async def test_a_persons_own_requests_are_found_among_everybodys(database: Database) -> None:
    """What one person asked for is little, so sorting it is no harm; reading everybody's would be."""
    async with database.transaction() as tx:
        explained = Explained(tx)
        await requests.of_requester(explained, "@leaver:example.org", 0, Kind.OWN)
    assert explained.plans[0].startswith("SEARCH requests USING INDEX requests_requester")
