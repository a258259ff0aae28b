"""What is asked in a thread is answered there: answers, prompts and outcomes, but never an edit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.messages import CurrentAdminRoom, out_of_thread
from engine.unit_of_work import UnitsOfWork
from removal.incoming import Incoming
from removal.lifecycle import Cancelled, Declined
from removal.request import Request, State
from storage import outbox
from storage.database import Database
from tests.support.made_requests import LEAVER, MODERATOR, NOW, SECOND_MODERATOR, moderation, own
from texts import Template, Texts

ROOM = "!admin:example.org"
ROOT = "$root"
IN_THREAD = {"rel_type": "m.thread", "event_id": ROOT, "is_falling_back": True, "m.in_reply_to": {"event_id": "$last"}}


def said(relation: object, kind: str = "m.room.message") -> Incoming:
    """Somebody's event with such a relation."""
    return Incoming("$command", ROOM, MODERATOR, kind, {"body": "!help", "m.relates_to": relation}, NOW)


def answer_in_thread(to: str) -> dict[str, Any]:
    """The relation of an answer there."""
    answered = {"event_id": to}
    return {"rel_type": "m.thread", "event_id": ROOT, "is_falling_back": False, "m.in_reply_to": answered}


@pytest_asyncio.fixture
async def units(tmp_path: Path) -> AsyncIterator[UnitsOfWork]:
    """An empty database."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    yield UnitsOfWork(database, Texts(), lambda: NOW, CurrentAdminRoom(ROOM))
    await database.close()


async def relations(units: UnitsOfWork) -> dict[str, Any]:
    """What each message waiting belongs to, by purpose."""
    async with units.database.transaction() as tx:
        rows = await tx.all("SELECT * FROM outbox WHERE status = 'pending' ORDER BY seq")
    return {row["purpose"]: outbox._outgoing(row).content.get("m.relates_to") for row in rows}


async def opened(units: UnitsOfWork, request: Request) -> Request:
    """A new request, its prompt waiting to be sent."""
    async with units.begin() as unit:
        return await unit.open(replace(request, id=0, version=0))


@pytest.mark.parametrize(
    "relation",
    [None, 7, {}, {"rel_type": "m.thread"}, {"rel_type": "m.replace", "event_id": ROOT},
     {"rel_type": "m.thread", "event_id": ["$x"]}, {"rel_type": "m.thread", "event_id": "x"},
     {"rel_type": "m.thread", "event_id": "$" + "x" * 255}],
)  # fmt: skip
async def test_what_is_no_thread_is_none(units: UnitsOfWork, relation: object) -> None:
    """Whatever stands there, the answer is an ordinary one."""
    async with units.begin() as unit:
        await unit.messages.reply(said(relation), Template.EDITED)
    assert list((await relations(units)).values()) == [{"m.in_reply_to": {"event_id": "$command"}}]


async def test_answers_prompts_and_outcomes_stay_in_the_thread(units: UnitsOfWork) -> None:
    """As real replies; the edit of the card replaces and carries no thread, reactions annotate."""
    request = await opened(units, moderation(room_id=ROOM, thread_root=ROOT))
    async with units.begin() as unit:
        await unit.messages.reply(said(IN_THREAD), Template.EDITED)
        await unit.messages.post(ROOM, Template.EDITED, "key", about=said(IN_THREAD))
        await unit.apply(request, Declined(SECOND_MODERATOR), actor=SECOND_MODERATOR)
    found = await relations(units)
    assert found["card"] == found["reply.edited"] == answer_in_thread("$command")
    (outcome,) = [value for purpose, value in found.items() if purpose.startswith("cancelled")]
    assert outcome == answer_in_thread("$command")
    assert found["post.edited"] == {**IN_THREAD, "m.in_reply_to": {"event_id": ROOT}}
    (edit,) = [value for purpose, value in found.items() if purpose.startswith("card.edit")]
    assert edit == {"rel_type": "m.replace"}
    assert found["card.reaction.✅"] == {"rel_type": "m.annotation", "key": "✅"}


async def test_an_answer_to_a_reaction_stands_where_the_prompt_does(units: UnitsOfWork) -> None:
    """A reaction itself can't say in which thread it is."""
    await opened(units, moderation(room_id=ROOM, thread_root=ROOT))
    async with units.database.transaction() as tx:
        (card,) = await outbox.heads(tx, NOW)
        await outbox.sent(tx, card.seq, "$card")
    reaction = said({"rel_type": "m.annotation", "event_id": "$card", "key": "✔"}, "m.reaction")
    async with units.begin() as unit:
        await unit.messages.reply(reaction, Template.EDITED)
    assert (await relations(units))["reply.edited"] == answer_in_thread("$command")


async def test_a_thread_of_the_old_room_does_not_follow_into_the_new_one(units: UnitsOfWork) -> None:
    """After an upgrade the outcome is said outside threads."""
    request = await opened(units, moderation(room_id="!old:example.org", thread_root=ROOT))
    async with units.begin() as unit:
        await unit.apply(request, Cancelled(MODERATOR), actor=MODERATOR)
    (outcome,) = [value for purpose, value in (await relations(units)).items() if purpose.startswith("cancelled")]
    assert outcome is None


async def test_a_persons_request_moves_to_where_they_ask_for_it(units: UnitsOfWork) -> None:
    """From the thread into the room as a whole, and back."""
    request = await opened(units, own(state=State.SCHEDULED, room_id=ROOM, thread_root=ROOT))
    for relation, root in (({}, ""), (IN_THREAD, ROOT)):
        async with units.begin() as unit:
            event = replace(said(relation), sender=LEAVER)
            request = await unit.messages.show_again(request, event)
        assert request.thread_root == root


def test_out_of_its_thread_a_message_is_the_same() -> None:
    """It still answers what it answered; what is in no thread is left alone."""
    assert out_of_thread({"body": "x", "m.relates_to": answer_in_thread("$command")}) == {
        "body": "x", "m.relates_to": {"m.in_reply_to": {"event_id": "$command"}},
    }  # fmt: skip
    assert out_of_thread({"body": "x", "m.relates_to": IN_THREAD}) == {"body": "x"}
    others: tuple[dict[str, Any], ...]
    others = ({}, {"m.relates_to": {"rel_type": "m.replace"}}, {"m.relates_to": {"m.in_reply_to": {}}})
    for content in others:
        assert out_of_thread(content) is None


async def test_a_request_without_a_thread_in_the_database_has_none() -> None:
    """Those of older versions."""
    data = moderation().to_dict()
    del data["thread_root"]
    assert Request.from_dict(data).thread_root == ""
