"""Where a decision becomes rows: state, audit and messages together, each once, and no name where none may be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import pytest_asyncio

from engine.messages import PROGRESS_MS, CurrentAdminRoom
from engine.unit_of_work import Table, UnitOfWork, UnitsOfWork, UnknownRequest
from removal.audit_action import AuditAction
from removal.facts import Facts
from removal.incoming import Incoming
from removal.lifecycle import (
    ApprovalRefused,
    Cancelled,
    Confirmed,
    Declined,
    Event,
    Notice,
    RetryAsked,
    StepDone,
    StepFailed,
    StepStarted,
    TimePassed,
)
from removal.plan import Kind, Options, Step
from removal.request import ENDED, Failure, Request, State
from storage import audit, conversations, inbox, outbox, people, requests
from storage.database import Database
from tests.support.all_decisions import decisions
from tests.support.hostile_texts import HOSTILE, HOSTILE_ID
from tests.support.made_requests import (
    DAY,
    LEAVER,
    MODERATOR,
    NOW,
    SECOND_MODERATOR,
    SPAMMER,
    YES,
    in_state,
    moderation,
    own,
    proofs,
)
from texts import Template, Texts, own_reason

ADMIN_ROOM = "!admin:example.org"
DIRECT = "!direct:example.org"
LARGEST = 47_000
"""Bytes of an event's content that a homeserver still takes encrypted (measured: 47,500 pass, 49,000 don't)."""
COMMAND = Incoming("$command", ADMIN_ROOM, MODERATOR, "m.room.message", {"body": "!deactivate @spammer"}, NOW)


class Book:
    """A units with a clock that stands still, and a look at what it wrote."""

    def __init__(self, database: Database) -> None:
        self.now = NOW
        self.units = UnitsOfWork(database, Texts(), lambda: self.now, CurrentAdminRoom(ADMIN_ROOM))

    async def opened(self, request: Request) -> Request:
        """A request, stored and shown as a new one."""
        async with self.units.begin() as unit:
            return await unit.open(replace(request, id=0, version=0))

    async def stored(self, request: Request) -> Request:
        """A request that is there, of which nothing was said."""
        async with self.units.database.transaction() as tx:
            return await requests.add(tx, replace(request, id=0, version=0))

    async def messages(self) -> list[dict[str, Any]]:
        """Everything in the outbox, in order."""
        async with self.units.database.transaction() as tx:
            rows = await tx.all("SELECT * FROM outbox ORDER BY seq")
        return [{**dict(row), "content": json.loads(row["content"] or "{}")} for row in rows]

    async def purposes(self, status: str = "pending") -> list[str]:
        """What waits to be sent, by purpose."""
        return [message["purpose"] for message in await self.messages() if message["status"] == status]

    async def audit(self) -> list[audit.AuditRow]:
        """Every row of the audit, the oldest first."""
        async with self.units.database.transaction() as tx:
            return await audit.find(tx, after_id=0, limit=10_000)


@pytest_asyncio.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    """An empty units."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    yield Book(database)
    await database.close()


# --- a request's own message -----------------------------------------------------------------------------------------
async def test_a_new_request_is_shown_once_with_its_reactions(book: Book) -> None:
    """As an answer to the command, without ringing; ✅ and ❌ refer to it by its transaction id."""
    await book.opened(moderation())
    card, yes, no = await book.messages()
    assert [card["purpose"], yes["content"], no["content"]] == [
        "card",
        {"m.relates_to": {"rel_type": "m.annotation", "key": "✅"}},
        {"m.relates_to": {"rel_type": "m.annotation", "key": "❌"}},
    ]
    assert yes["relates_to"] == no["relates_to"] == card["txn_id"]
    assert card["content"]["msgtype"] == "m.notice"
    assert card["content"]["m.mentions"] == {}
    assert card["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": "$command"}}


async def test_where_answers_are_written_there_is_nothing_to_press(book: Book) -> None:
    """A reaction would be nothing there, so none is offered."""
    rules = replace(moderation().rules, by_reply=True)
    await book.opened(moderation(rules=rules))
    assert await book.purposes() == ["card"]


async def test_a_change_edits_the_message_and_is_said_anew(book: Book) -> None:
    """The edit carries the whole new text, for clients without edits only its first line; the outcome is a reply."""
    request = await book.opened(moderation())
    async with book.units.begin() as unit:
        await unit.apply(request, Declined(SECOND_MODERATOR), actor=SECOND_MODERATOR)
    edit, outcome = (await book.messages())[-2:]
    assert edit["content"]["m.relates_to"] == {"rel_type": "m.replace"}
    assert edit["relates_to"] == (await book.messages())[0]["txn_id"]
    assert "cancelled" in edit["content"]["m.new_content"]["formatted_body"]
    assert edit["content"]["body"].startswith("* R1 · ")
    assert "\n" not in edit["content"]["body"]
    assert outcome["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": "$command"}}


async def test_edits_that_nobody_tried_to_send_become_one(book: Book) -> None:
    """Steps follow each other quickly: only the last is worth a message, and it waits a moment for a newer one."""
    request = await book.opened(moderation())
    async with book.units.begin() as unit:
        request = (await unit.apply(request, YES)).request
    for step in (Step.SNAPSHOT, Step.SUSPEND, Step.THREEPIDS):
        async with book.units.begin() as unit:
            request = (await unit.apply(request, StepStarted(step))).request
            request = (await unit.apply(request, StepDone(step))).request
    assert await book.purposes() == ["card", "card.reaction.✅", "card.reaction.❌", f"card.edit.{request.version}"]
    assert (await book.messages())[-1]["not_before_ts"] == NOW + PROGRESS_MS


async def test_an_edit_that_may_have_arrived_stays(book: Book) -> None:
    """What was tried is sent again as it was, and the newer one comes after it."""
    request = await book.opened(moderation())
    async with book.units.begin() as unit:
        request = await unit.store_facts(request, Facts(rooms=1))
    async with book.units.database.transaction() as tx:
        await outbox.trying(tx, int((await book_row(tx))["seq"]))
    async with book.units.begin() as unit:
        request = await unit.store_facts(request, Facts(rooms=2))
        await unit.store_facts(request, Facts(rooms=3))
    waiting = [m for m in await book.messages() if m["status"] == "pending" and m["purpose"].startswith("card.edit")]
    assert ["1 room ·" in waiting[0]["content"]["m.new_content"]["body"], len(waiting)] == [True, 2]
    assert "3 rooms ·" in waiting[1]["content"]["m.new_content"]["body"]


async def book_row(tx: Any) -> Any:
    """The newest row of the outbox."""
    return await tx.one("SELECT seq FROM outbox ORDER BY seq DESC LIMIT 1")


# --- once ------------------------------------------------------------------------------------------------------------
async def test_a_message_handled_twice_gets_one_answer(book: Book) -> None:
    """One of a kind: another kind of answer to the same message is another message."""
    for _ in range(2):
        async with book.units.begin() as unit:
            await unit.messages.reply(COMMAND, Template.EDITED)
    async with book.units.begin() as unit:
        await unit.messages.reply(COMMAND, Template.NOT_MODERATOR)
        await unit.messages.reply(replace(COMMAND, event_id="$other"), Template.EDITED)
    assert await book.purposes() == ["reply.edited", "reply.not_moderator", "reply.edited"]


async def test_what_is_said_once_for_many_messages_is_said_once(book: Book) -> None:
    """However many messages can't be read, one answer does."""
    for event_id in ("$one", "$two"):
        async with book.units.begin() as unit:
            await unit.messages.reply(replace(COMMAND, event_id=event_id), Template.UNREADABLE, once_per="session")
            await unit.messages.post(ADMIN_ROOM, Template.OWN_GREETING, "key")
    assert await book.purposes() == ["reply.unreadable", "post.own_greeting"]


async def test_the_same_word_later_is_another_message(book: Book) -> None:
    """Being stuck, tried again and stuck again is told twice; transaction ids never meet."""
    request = await book.stored(in_state(State.RUNNING))
    for _ in range(2):
        async with book.units.begin() as unit:
            request = (await unit.apply(request, StepStarted(Step.SNAPSHOT))).request
            request = (await unit.apply(request, StepFailed(Step.SNAPSHOT, Failure.NEEDS_PERSON, "no"))).request
            request = (await unit.apply(request, RetryAsked(MODERATOR))).request
    written = await book.messages()
    assert [message["purpose"].partition(".")[0] for message in written] == ["blocked", "blocked"]
    assert len({message["txn_id"] for message in written}) == 2


async def test_transaction_ids_of_two_databases_never_meet(book: Book, tmp_path: Path) -> None:
    """A new database starts at R1 again; its messages are no repeats of the old ones'."""
    database = Database(tmp_path / "new.db")
    await database.open()
    other = Book(database)
    for each in (book, other):
        await each.opened(moderation())
        async with each.units.begin() as unit:
            await unit.messages.reply(COMMAND, Template.EDITED)
    here, there = [{message["txn_id"] for message in await each.messages()} for each in (book, other)]
    await database.close()
    assert len(here) == len(there) == 4
    assert not here & there
    assert all(len(txn_id) < 255 for txn_id in here)


async def test_a_room_can_be_left_again(book: Book) -> None:
    """A person who invites the bot anew into the same room gets it out again, too."""
    for day in range(2):
        book.now = NOW + day * DAY
        async with book.units.begin() as unit:
            await unit.messages.leave(DIRECT)
    assert await book.purposes() == ["leave", "leave"]


# --- together or not at all ------------------------------------------------------------------------------------------
async def test_an_error_in_an_entry_leaves_nothing_of_it(book: Book) -> None:
    """Neither state, audit nor message, and the event that caused it isn't handled."""
    request = await book.opened(moderation())
    before = (await book.messages(), await book.audit(), book.units.changes())
    async with book.units.database.transaction() as tx:
        await inbox.add(tx, COMMAND, NOW)
    with pytest.raises(ZeroDivisionError):
        async with book.units.begin(COMMAND) as unit:
            await unit.apply(request, YES, actor=MODERATOR)
            raise ZeroDivisionError
    assert (await book.messages(), await book.audit(), book.units.changes()) == before
    async with book.units.database.transaction() as tx:
        assert await requests.get(tx, request.id) == request
        assert [event for _, event in await inbox.pending(tx)] == [COMMAND]


async def test_an_event_counts_as_handled_with_what_followed(book: Book) -> None:
    """In the same transaction."""
    async with book.units.database.transaction() as tx:
        await inbox.add(tx, COMMAND, NOW)
    async with book.units.begin(COMMAND) as unit:
        await unit.messages.reply(COMMAND, Template.EDITED)
    async with book.units.database.transaction() as tx:
        assert await inbox.caught_up(tx)


async def test_whoever_waits_for_work_hears_of_every_change(book: Book) -> None:
    """Also of one that was committed just before; a unit that only looked is none. A wait ends by itself."""
    async with book.units.begin():
        pass  # the first one gives the database its name
    seen = book.units.changes()
    waiting = asyncio.create_task(book.units.wait_for_change(seen, 30))
    await asyncio.sleep(0)
    async with book.units.begin() as unit:
        await requests.get(unit.tx, 1)
    assert book.units.changes() == seen
    async with book.units.begin() as unit:
        await unit.audit(AuditAction.LOOKED)
    assert await waiting == seen + 1
    assert await book.units.wait_for_change(seen, 30) == seen + 1
    assert await book.units.wait_for_change(seen + 1, 0.01) == seen + 1


@pytest.mark.parametrize("table", ["requests", "waves"])
async def test_whoever_waits_for_a_table_is_left_alone_by_the_others(book: Book, table: Table) -> None:
    """Each answer and each sync changes something: not everybody needs to look what it was."""
    await book.opened(moderation())
    seen, answers = book.units.changes(table), book.units.changes("outbox")
    waiting = asyncio.create_task(book.units.wait_for_change(seen, 30, table))
    await asyncio.sleep(0)
    async with book.units.begin() as unit:
        await unit.messages.reply(COMMAND, Template.EDITED)
    assert await book.units.wait_for_change(answers, 30, "outbox", table) == answers + seen + 1
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    book.units.notify()  # as when the homeserver is back: everybody looks
    assert await waiting == seen + 1


async def test_every_table_that_is_waited_for_is_there(book: Book) -> None:
    """A name that no statement writes would be waited for in vain."""
    async with book.units.database.transaction() as tx:
        tables = {row["name"] for row in await tx.all("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert set(get_args(Table)) <= tables


async def test_a_request_that_is_not_there_is_an_error(book: Book) -> None:
    """Nobody decides on nothing."""
    async with book.units.begin() as unit:
        with pytest.raises(UnknownRequest):
            await unit.request(7)


# --- who hears it ----------------------------------------------------------------------------------------------------
async def test_a_receipt_rings_and_carries_the_audits_head(book: Book) -> None:
    """The one that stands when its own row is written, so that it can be looked for later."""
    request = await book.stored(in_state(State.DONE))
    running = replace(request, state=State.RUNNING, ended_ts=None)
    last = running.steps[-1]
    running = running.with_step(replace(last, state=last.state.STARTED))
    async with book.units.begin() as unit:
        await unit.apply(running, StepDone(Step.VERIFY, proofs(running)))
        head = await audit.head(unit.tx)
    (receipt,) = [m for m in await book.messages() if m["purpose"].startswith("done")]
    assert head in receipt["content"]["body"]
    assert receipt["content"]["msgtype"] == "m.text"
    assert receipt["content"]["m.mentions"] == {"user_ids": [MODERATOR]}


async def test_a_persons_own_request_is_theirs_and_the_moderators_hear_their_part(book: Book) -> None:
    """The person is told in the direct message, ringing; the moderators in their room, without a mention."""
    request = await book.stored(in_state(State.AWAITING_MATRIX_ID))
    async with book.units.begin() as unit:
        await unit.apply(request, Cancelled(MODERATOR, "not now"), actor=MODERATOR)
    heard = {m["room_id"]: m["content"] for m in await book.messages()}
    assert heard[DIRECT]["m.mentions"] == {"user_ids": [LEAVER]}
    assert heard[ADMIN_ROOM]["m.mentions"] == {}
    assert all("not now" in content["body"] for content in heard.values())


async def test_a_persons_question_is_asked_once_with_its_reactions(book: Book) -> None:
    """Whatever else happens before it is answered."""
    await book.opened(own(state=State.ASKING, questions=("erase",)))
    assert await book.purposes() == ["question.erase", "question.erase.reaction.✅", "question.erase.reaction.❌"]


# --- the audit -------------------------------------------------------------------------------------------------------
async def test_a_refused_wish_is_in_the_audit_and_changes_nothing(book: Book) -> None:
    """Where a person wished it: who, what, and why not. The clock's questions aren't worth a row."""
    request = await book.stored(in_state(State.DONE))
    async with book.units.begin() as unit:
        await unit.apply(request, Cancelled(MODERATOR, "please"), actor=MODERATOR)
        await unit.apply(request, TimePassed(0))
    (row,) = await book.audit()
    assert (row.action, row.actor, row.target, row.public) == (
        "CancelledRefused", MODERATOR, SPAMMER, {"because": "done"},
    )  # fmt: skip
    assert await book.messages() == []


async def test_the_audit_has_who_what_when_and_why(book: Book) -> None:
    """With what the device was worth, and each step's answer."""
    request = await book.opened(moderation(reason="spam", options=Options(erase=True)))
    async with book.units.begin() as unit:
        decision = await unit.apply(request, Confirmed(SECOND_MODERATOR, NOW, "$yes", "signed"), actor=SECOND_MODERATOR)
        request = (await unit.apply(decision.request, StepStarted(Step.SNAPSHOT))).request
        await unit.apply(request, StepDone(Step.SNAPSHOT, {"room_count": 3, "rooms": ["!secret:example.org"]}))
    asked, confirmed, done = await book.audit()
    assert (asked.ts, asked.actor, asked.target, (asked.personal or {})["why"]) == (NOW, MODERATOR, SPAMMER, "spam")
    assert asked.public == {"kind": "moderation", "aim": "remove", "erase": True, "redact": False, "media": "keep"}
    assert (confirmed.action, confirmed.actor) == ("Confirmed", SECOND_MODERATOR)
    assert confirmed.public == {"state": "running", "trust": "signed", "event_id": "$yes"}
    assert done.public == {"state": "running", "step": "snapshot", "room_count": 3}


def outspoken(event: Event) -> Event:
    """The same event, with personal words where a person or a server may say something."""
    match event:
        case Cancelled() | ApprovalRefused():
            return replace(event, because="personal words")
        case StepFailed():
            return replace(event, cause=f"personal words of {SPAMMER}")
        case _:
            return event


@pytest.mark.parametrize("kind", Kind)
async def test_nothing_personal_is_public_whatever_happens(book: Book, kind: Kind) -> None:
    """Of everything that can happen: no Matrix ID, no reason and no cause stands where retention doesn't reach."""
    tried = set()
    for before, event, _ in decisions():
        what = (before.state, type(event))
        if before.kind is kind and what not in tried:
            tried.add(what)
            request = await book.stored(replace(before, reason="personal words"))
            async with book.units.begin() as unit:
                await unit.apply(request, outspoken(event), actor=request.requester_id)
    rows = await book.audit()
    assert {row.action for row in rows} > {"Cancelled", "CancelledRefused", "StepDone", "StepFailed", "TimePassed"}
    for row in rows:
        text = json.dumps(row.public)
        assert not any(each in text for each in ("@", "personal words", "example.org")), row
        assert (row.personal or {})["target"] in (SPAMMER, LEAVER)


# --- size ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", HOSTILE)
async def test_no_name_makes_a_message_that_no_homeserver_takes(book: Book, name: str) -> None:
    """Prompt, edit and outcome of an account that is called anything fit into an encrypted event."""
    h = HOSTILE[name]
    facts = Facts(displayname=h, sso_providers=(h,), threepids=(h,), only_admin_in=(h,) * 30, suspended=True)
    asked = moderation(facts=facts, target_id=HOSTILE_ID)
    request = await book.opened(asked)
    async with book.units.begin() as unit:
        request = await unit.store_facts(request, replace(facts, rooms=3))
        written = await book_of(unit)
        request = (await unit.apply(request, YES)).request
        request = (await unit.apply(request, StepStarted(Step.SNAPSHOT))).request
        request = (await unit.apply(request, StepFailed(Step.SNAPSHOT, Failure.IMPOSSIBLE, h))).request
        written += await book_of(unit)
    assert request.state in ENDED
    assert any("m.new_content" in content for content in written)
    for content in written:
        assert len(json.dumps(content)) < LARGEST


async def book_of(unit: UnitOfWork) -> list[str]:
    """The contents that wait to be sent."""
    rows = await unit.tx.all("SELECT content FROM outbox WHERE status = 'pending'")
    return [row["content"] for row in rows]


# --- the language that a person chose ---------------------------------------------------------------------------------
async def test_a_person_reads_their_language_and_the_moderators_theirs(book: Book) -> None:
    """The explanation, the answers, and what is said later; the admin room hears of the same in its own."""
    async with book.units.begin() as unit:
        await people.choose_language(unit.tx, LEAVER, "de")
        await conversations.open_with(unit.tx, DIRECT, LEAVER, NOW)
    request = await book.opened(own())
    said = Incoming("$said", DIRECT, LEAVER, "m.room.message", {"body": "x"}, NOW)
    async with book.units.begin() as unit:
        await unit.messages.announce(request, Notice.CANCELLED)
        await unit.messages.announce(replace(request, confirmed_ts=NOW), Notice.CANCELLED)
        await unit.messages.reply(said, Template.OWN_HINT)
        await unit.messages.show_again(request, said)
        await unit.messages.reply(COMMAND, Template.OWN_HINT)
    bodies = {(m["room_id"], m["purpose"]): m["content"].get("body", "") for m in await book.messages()}
    direct = [body for (room, _), body in bodies.items() if room == DIRECT and body]
    admin = [body for (room, _), body in bodies.items() if room == ADMIN_ROOM and body]
    assert len(direct) >= 4 and all("Konto" in body or "gestoppt" in body for body in direct), direct
    assert admin and not any("Konto" in body for body in admin), admin
    assert any("cancelled" in body for body in admin)


async def test_our_reason_is_in_each_readers_language(book: Book) -> None:
    """The bot stops a person's own removal: the reason isn't the key, neither in the room nor in the audit."""
    async with book.units.begin() as unit:
        await people.choose_language(unit.tx, LEAVER, "de")
    request = await book.opened(own())
    async with book.units.begin() as unit:
        await unit.apply(request, Cancelled("@lethe:example.org", own_reason(Template.OWN_THIRD_PERSON)))
    bodies = [m["content"].get("body", "") for m in await book.messages()]
    assert any("Noch jemand war in der Unterhaltung" in body for body in bodies)
    assert ((await book.audit())[-1].personal or {})["why"].startswith("Someone else was")


async def test_a_language_is_forgotten_with_the_account(book: Book) -> None:
    """And not before: the last message is in it."""
    async with book.units.begin() as unit:
        await people.choose_language(unit.tx, LEAVER, "fr")
        await people.choose_language(unit.tx, LEAVER, "de", unless_chosen=True)
        assert await people.language_of(unit.tx, LEAVER) == "fr"
    request = await book.stored(replace(own(), state=State.DONE, started_ts=NOW, ended_ts=NOW))
    async with book.units.begin() as unit:
        await unit.messages.announce(request, Notice.DONE)
        assert await people.language_of(unit.tx, LEAVER) is None
