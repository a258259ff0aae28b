"""Where a decision becomes rows: the new state, the audit row and the messages are committed together, or not at all.

Handlers and the runner both come here. An `Entry` is one transaction; leaving it commits, and only then do the
outbox sender (messages) and the runner (steps) hear that there is work.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import Enum
from typing import Any

from engine.announcements import YES_NO, To, messages
from removal.facts import Facts
from removal.incoming import Incoming
from removal.lifecycle import Decision, Event, StepStarted, TimePassed, decide
from removal.plan import Kind
from removal.request import ACTING, OPEN, Request, State
from storage import audit, conversations, inbox, meta, outbox, requests
from storage.database import Database, Transaction
from texts import Text, Texts, plain

Clock = Callable[[], int]
"""Gives the time in milliseconds since 1970."""

LEAVE = "lethe.leave"
"""In the outbox, the type of a row that makes the bot leave a room, once all that was to be said there is sent."""
PROGRESS_MS = 1_500
"""How long an edit that shows progress waits for a newer one to take its place."""


class UnknownRequest(Exception):
    """There is no such request."""


class Entry:
    """One transaction. Everything said and changed in it happens together."""

    def __init__(self, ledger: Ledger, tx: Transaction, instance: str, now: int) -> None:
        self.tx = tx
        self.now = now
        self._ledger = ledger
        self._instance = instance

    # --- requests ---
    async def request(self, request_id: int) -> Request:
        """Raises: UnknownRequest."""
        found = await requests.get(self.tx, request_id)
        if found is None:
            raise UnknownRequest(request_id)
        return found

    async def open(self, request: Request, **asked: Any) -> Request:
        """Stores a new request (its `id` is given here) and shows it."""
        request = await requests.add(self.tx, request)
        await audit.append(
            self.tx,
            self.now,
            "Requested",
            request_id=request.id,
            actor=request.requester_id,
            target=request.target_id,
            why=request.reason,
            kind=request.kind.value,
            erase=request.options.erase,
            redact=request.options.redact,
            media=request.options.media.value,
            **asked,
        )
        await self.show_card(request)
        if request.state is State.ASKING:
            await self.announce(request, "question")
        return request

    async def apply(self, request: Request, event: Event, *, actor: str | None = None, why: str = "") -> Decision:
        """Decides, and stores what follows: the request, the audit row, the card, and what people are told.

        A decision with a refusal changes nothing; where a person asked for it, the audit has it all the same.
        """
        decision = decide(request, event, self.now)
        name = type(event).__name__
        why = why or getattr(event, "because", "") or getattr(event, "cause", "")
        if decision.refusal:
            if actor is not None:
                await self.audit(f"{name}Refused", request, actor=actor, why=why, because=decision.refusal)
            return decision
        saved = await requests.save(self.tx, decision.request)
        decision = replace(decision, request=saved)
        # Who begins a step is no news: the request itself holds it, and the audit hears how it went.
        if not isinstance(event, StepStarted) and (not isinstance(event, TimePassed) or decision.say):
            await self.audit(name, saved, actor=actor, why=why, **_public(event, decision))
        await self.show_card(saved)
        for what in decision.say:
            await self.announce(saved, what, event)
        return decision

    async def store_facts(self, request: Request, facts: Facts) -> Request:
        """Keeps what was found out about an account after its prompt was shown, and shows it."""
        saved = await requests.save(self.tx, replace(request, facts=facts))
        await self.show_card(saved)
        return saved

    # --- messages ---
    async def show_card(self, request: Request) -> None:
        """The request's own message: sent once, with its reactions, and edited from then on."""
        card = self._txn(request, "card")
        row = await self.tx.one("SELECT room_id FROM outbox WHERE txn_id = ?", card)
        if row is None:
            if request.state is State.AWAITING_CONFIRMATION:
                content = _message(self._card(request), reply_to=request.command_event_id)
                await self._put(request.room_id, "card", content, request, txn_id=card)
                if not request.rules.by_reply:
                    for key in YES_NO:
                        await self.react(request, "card", key)
            return
        # A person's direct message: it may be another one by now, and nobody reads it once the account is going.
        gone = row["room_id"] != request.room_id or request.state in ACTING or request.touched
        if request.kind is Kind.OWN and gone:
            return
        await outbox.drop_untried(self.tx, request.id, "card.edit.")
        new = _message(self._card(request))
        content = {
            "msgtype": new["msgtype"],
            # For clients that know no edits: the first line only, since the rest stands in the event once more.
            "body": f"* {new['body'].partition(chr(10))[0]}",
            "m.mentions": {},
            "m.new_content": new,
            "m.relates_to": {"rel_type": "m.replace"},
        }
        purpose = f"card.edit.{request.version}"
        # While steps follow each other quickly, only the last of them is worth an edit.
        delay_ms = PROGRESS_MS if request.state in ACTING else 0
        await self._put(request.room_id, purpose, content, request, relates_to=card, delay_ms=delay_ms)

    def _card(self, request: Request) -> Text:
        return self._ledger.texts.render("card" if request.kind is Kind.MODERATION else "own_card", r=request)

    async def react(self, request: Request, purpose: str, key: str, room_id: str | None = None) -> None:
        """Puts a reaction under one of the request's own messages."""
        await self._put(
            room_id or request.room_id,
            f"{purpose}.reaction.{key}",
            {"m.relates_to": {"rel_type": "m.annotation", "key": key}},
            request,
            relates_to=self._txn(request, purpose),
            event_type="m.reaction",
        )

    async def card_event_id(self, request: Request) -> str | None:
        """The event_id of the request's own message, once it was sent."""
        return await outbox.event_id_of(self.tx, self._txn(request, "card"))

    def words(self, group: str, key: str | Enum, /, **values: Any) -> str:
        """The words for an enumeration's value, as plain text."""
        return plain(str(self._ledger.texts.word(group, key, **values)))

    def sentence(self, template: str) -> str:
        """A text without values, as plain text."""
        return self._ledger.texts.render(template).body

    async def done(self, event: Incoming) -> None:
        """The event is handled, where the entry wasn't opened for it."""
        await inbox.handled(self.tx, event.event_id)

    async def announce(self, request: Request, what: str, event: Event | None = None) -> None:
        """Says, as new messages, what became of a request: an edit alone is repainted by some clients only."""
        values: dict[str, Any] = {"changed": getattr(event, "what", ())}
        if what == "done":
            values["head"] = await audit.head(self.tx)
        for said in messages(request, what):
            here = said.to is To.ROOM
            # Moderators may have moved to the admin room's successor meanwhile.
            at_home = here and request.kind is Kind.OWN
            room_id = request.room_id if at_home else self._ledger.admin_room_id()
            text = self._ledger.texts.render(said.template, r=request, what=said.what, **values)
            content = _message(
                text,
                reply_to=request.command_event_id if here and room_id == request.room_id else None,
                mention=request.requester_id if said.rings else None,
            )
            # A question is known by what it asks: other things may happen before it is answered.
            which = request.questions[0] if what == "question" else str(request.version)
            purpose = f"{said.what}.{which}" if here else f"{said.template}.{said.what}.{which}"
            await self._put(room_id, purpose, content, request)
            for key in said.reactions:
                await self.react(request, purpose, key, room_id)
        if what == "done" and request.kind is Kind.OWN:
            await self.leave(request.room_id)

    async def show_again(self, request: Request, to: Incoming) -> Request:
        """Shows where a person's own request stands, in answer to a message of theirs; from then on everything about
        it is said there."""
        if request.room_id != to.room_id and request.kind is Kind.OWN and request.state in OPEN:
            moved = replace(request, room_id=to.room_id, command_event_id=to.event_id)
            request = await requests.save(self.tx, moved)
        content = _message(self._ledger.texts.render("own_status", r=request), reply_to=to.event_id)
        purpose = f"status.{hashlib.sha256(to.event_id.encode()).hexdigest()[:16]}"
        await self._put(to.room_id, purpose, content, request)
        return request

    async def leave(self, room_id: str) -> None:
        """Has the bot leave a room and forget it, once everything that was to be said there is sent."""
        await conversations.close(self.tx, room_id)
        # The bot may be invited into the same room again, and leave it again.
        txn_id = self._txn_for(f"{room_id} {self.now}", "leave")
        await self._put(room_id, "leave", {}, txn_id=txn_id, event_type=LEAVE)

    async def reply(self, to: Incoming, template: str, /, *, once_per: str | None = None, **values: Any) -> None:
        """Answers a person's message. One answer of a kind per message, however often it is handled.

        Args:
            once_per: instead, one answer of a kind per whatever this names.
        """
        content = _message(self._ledger.texts.render(template, **values), reply_to=to.event_id)
        txn_id = self._txn_for(once_per or to.event_id, template)
        await self._put(to.room_id, f"reply.{template}", content, txn_id=txn_id)

    async def not_changed(self, to: Incoming, request: Request, why: str) -> None:
        """Answers with the one clear word why a person's reaction or command changed nothing."""
        over_cap, requester = request.rules.needs_other, request.requester_id
        await self.reply(to, "not_changed", request_id=request.id, why=why, requester=requester, over_cap=over_cap)

    async def reply_file(self, to: Incoming, content: dict[str, Any]) -> None:
        """Answers a person's message with a file that was uploaded."""
        content = {**content, "m.relates_to": {"m.in_reply_to": {"event_id": to.event_id}}}
        await self._put(to.room_id, "reply.file", content, txn_id=self._txn_for(to.event_id, "file"))

    async def post(
        self, room_id: str, template: str, key: str, /, *, mention: str | None = None, **values: Any
    ) -> None:
        """Says something that answers nobody. `key` makes it one message, however often it is asked for."""
        content = _message(self._ledger.texts.render(template, **values), mention=mention)
        await self._put(room_id, f"post.{template}", content, txn_id=self._txn_for(key, template))

    async def _put(
        self,
        room_id: str,
        purpose: str,
        content: dict[str, Any],
        request: Request | None = None,
        *,
        txn_id: str | None = None,
        relates_to: str | None = None,
        event_type: str = "m.room.message",
        delay_ms: int = 0,
    ) -> None:
        if txn_id is None:
            if request is None:
                raise ValueError("a message needs a request or a transaction id of its own")
            txn_id = self._txn(request, purpose)
        await outbox.put(
            self.tx,
            txn_id=txn_id,
            room_id=room_id,
            purpose=purpose,
            content=content,
            now=self.now,
            event_type=event_type,
            request_id=request.id if request else None,
            relates_to=relates_to,
            delay_ms=delay_ms,
        )

    def _txn(self, request: Request, purpose: str) -> str:
        return f"lethe.{self._instance}.{request.reference}.{purpose}"

    def _txn_for(self, key: str, template: str) -> str:
        return f"lethe.{self._instance}.{hashlib.sha256(key.encode()).hexdigest()[:24]}.{template}"

    # --- audit ---
    async def audit(
        self, action: str, request: Request | None = None, *, actor: str | None = None, target: str | None = None,
        why: str = "", **public: Any,
    ) -> None:  # fmt: skip
        """Adds a row. `actor`, `target` and `why` are personal: retention drops them."""
        await audit.append(
            self.tx,
            self.now,
            action,
            request_id=request.id if request else None,
            actor=actor,
            target=target or (request.target_id if request else None),
            why=why,
            **public,
        )


class Ledger:
    """Opens entries, and tells the outbox sender and the runner when one was committed."""

    def __init__(self, database: Database, texts: Texts, clock: Clock, admin_room_id: Callable[[], str]) -> None:
        self.database = database
        self.admin_room_id = admin_room_id
        self.texts = texts
        self.clock = clock
        self.changed = asyncio.Condition()
        self.changes = 0
        """How many entries were committed; with `changed`, nobody misses one."""

    @asynccontextmanager
    async def entry(self, event: Incoming | None = None) -> AsyncIterator[Entry]:
        """One transaction. With `event`, the event counts as handled once it is committed.

        Raises:
            StorageError: it couldn't be committed, and so nothing of it happened.
        """
        async with self.database.transaction() as tx:
            yield Entry(self, tx, await meta.instance(tx), self.clock())
            if event is not None:
                await inbox.handled(tx, event.event_id)
        await self.notify()

    async def notify(self) -> None:
        """Wakes everybody who waits for work."""
        async with self.changed:
            self.changes += 1
            self.changed.notify_all()

    async def wait_for_change(self, seen: int, timeout: float | None) -> int:
        """Waits until more than `seen` entries were committed, or `timeout` seconds; returns how many there are."""
        try:
            async with asyncio.timeout(timeout), self.changed:
                await self.changed.wait_for(lambda: self.changes > seen)
        except TimeoutError:
            pass
        return self.changes


def _message(text: Text, *, reply_to: str | None = None, mention: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "msgtype": "m.text" if mention else "m.notice",
        "body": text.body,
        "format": "org.matrix.custom.html",
        "formatted_body": text.formatted_body,
        "m.mentions": {"user_ids": [mention]} if mention else {},
    }
    if reply_to:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
    return content


def _public(event: Event, decision: Decision) -> dict[str, Any]:
    """What the audit keeps of an event beside who and why: never a name, never a message's content."""
    public: dict[str, Any] = {"state": decision.request.state.value}
    for name in ("step", "failure", "trust", "question", "yes", "event_id"):
        value = getattr(event, name, None)
        if value not in (None, ""):
            public[name] = value
    answer = getattr(event, "answer", None) or {}
    public.update({key: value for key, value in answer.items() if isinstance(value, bool | int | str)})
    if "proofs" in answer:
        public["proofs"] = answer["proofs"]
    return public
