"""Where a decision becomes rows: the new state, the audit row and the messages are committed together, or not at all.

Handlers and the runner both come here. A `UnitOfWork` is one transaction; leaving it commits, and only then do the
outbox sender (messages) and the runner (steps) hear that there is work.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

from engine.about import about
from engine.messages import CurrentAdminRoom, Messages, Pages
from engine.unbroken import Unbroken
from homeserver.client.clock import REFUSE_MS, HomeserverClock
from removal import audit_action
from removal.audit_action import AuditAction
from removal.facts import Facts
from removal.ids import wave_reference
from removal.incoming import Incoming
from removal.lifecycle import (
    Approved,
    Confirmed,
    ConfirmedByLogIn,
    Decision,
    Event,
    MatrixIDTyped,
    NoChange,
    Notice,
    StepDone,
    StepStarted,
    TimePassed,
    decide,
)
from removal.plan import Kind
from removal.request import Request, State
from storage import audit, inbox, meta, people, requests
from storage.database import Database, Transaction
from texts import Texts

Table = Literal["inbox", "outbox", "receipts", "requests", "uploads", "waves"]
"""A table for which somebody waits."""
_ALL = ""
LONGEST_WAIT = 30.0
"""Seconds after which everybody looks again who waits for a change."""
Clock = Callable[[], int]
"""Gives the time in milliseconds since 1970."""
CONSENT = (Confirmed, MatrixIDTyped, ConfirmedByLogIn, Approved)
"""What brings a removal nearer. Where the clocks differ much, nobody knows whether it was given in time."""


class UnknownRequest(Exception):
    """There is no such request."""


class UnitOfWork:
    """One transaction. All changes and messages in it are committed together."""

    def __init__(
        self, tx: Transaction, now: int, messages: Messages, *, clock_wrong: bool = False, code_missing: bool = False
    ) -> None:
        """
        Args:
            now: in milliseconds since 1970.
            clock_wrong: nobody's consent counts now.
            code_missing: no moderator's consent counts in this unit, since the code of a second factor isn't given.
        """
        self.tx = tx
        self.now = now
        self.clock_wrong = clock_wrong
        self.code_missing = code_missing
        self.messages = messages
        self.changed: list[tuple[Request, Request]] = []
        """Each request that was changed, before and after."""
        self._at_hand: dict[int, Request] = {}
        self._not_stored: set[int] = set()

    @asynccontextmanager
    async def together(self, request_ids: Sequence[int]) -> AsyncIterator[None]:
        """Each of these requests is read once, now, and written once, at the end, however often it changes inside."""
        self._at_hand = {request.id: request for request in await requests.get_all(self.tx, request_ids)}
        yield
        await requests.save_all(self.tx, [self._at_hand[number] for number in sorted(self._not_stored)])
        self._at_hand, self._not_stored = {}, set()

    async def _save(self, request: Request) -> Request:
        if request.id not in self._at_hand:
            return await requests.save(self.tx, request)
        self._at_hand[request.id] = request
        self._not_stored.add(request.id)
        return request

    async def request(self, request_id: int) -> Request:
        """Raises: UnknownRequest."""
        found = self._at_hand.get(request_id) or await requests.get(self.tx, request_id)
        if found is None:
            raise UnknownRequest(request_id)
        about(found.reference)
        return found

    async def open(self, request: Request, **asked: Any) -> Request:
        """Stores a new request (its `id` is given here) and shows it."""
        request = await requests.add(self.tx, request)
        about(request.reference)
        await self.audit(
            AuditAction.REQUESTED,
            request,
            actor=request.requester_id,
            why=request.reason,
            kind=request.kind.value,
            aim=request.options.aim.value,
            erase=request.options.erase,
            redact=request.options.redact,
            media=request.options.media.value,
            **asked,
        )
        await self.messages.show_card(request)
        if request.state is State.ASKING:
            await self.messages.announce(request, Notice.QUESTION)
        return request

    async def apply(self, request: Request, event: Event, *, actor: str | None = None, why: str = "") -> Decision:
        """Decides, and stores what follows: the request, the audit row, the card, and what people are told.

        A decision with a refusal changes nothing; where a person asked for it, the audit has it all the same.
        """
        decision = decide(request, event, self.now)
        if self.clock_wrong and isinstance(event, CONSENT) and not decision.refusal:
            decision = Decision(request, refusal=NoChange.CLOCK_WRONG)
        by_moderator = request.kind is Kind.MODERATION or isinstance(event, Approved)
        if self.code_missing and by_moderator and isinstance(event, CONSENT) and not decision.refusal:
            decision = Decision(request, refusal=NoChange.CODE_MISSING)
        why = why or getattr(event, "because", "") or getattr(event, "cause", "")
        why = self.messages.reason(why, request.target_id)
        if decision.refusal:
            if actor is not None:
                await self.audit(
                    audit_action.without_effect(event), request, actor=actor, why=why, because=decision.refusal
                )
            return decision
        saved = await self._save(decision.request)
        self.changed.append((request, saved))
        decision = replace(decision, request=saved)
        # No row for the start of a step: the request holds it, and the audit gets its outcome.
        news = not isinstance(event, StepStarted) and (not isinstance(event, TimePassed) or bool(decision.say))
        if saved.wave_id is not None and isinstance(event, StepDone):
            news = (
                saved.state is not State.RUNNING
            )  # the last row has all steps: twenty thousand times ten are too many
        if news:
            await self.audit(audit_action.of_change(event), saved, actor=actor, why=why, **_public(event, decision))
        await self.messages.show_card(saved)
        for what in decision.say:
            await self.messages.announce(saved, what, event)
        return decision

    async def store_facts(self, request: Request, facts: Facts) -> Request:
        """Stores facts found after the prompt was shown, and updates the prompt."""
        saved = await requests.save(self.tx, replace(request, facts=facts))
        await self.messages.show_card(saved)
        return saved

    async def done(self, event: Incoming) -> None:
        """The event is handled, where this unit wasn't begun for it."""
        await inbox.handled(self.tx, event.event_id)

    async def audit(
        self,
        action: AuditAction,
        request: Request | None = None,
        *,
        actor: str | None = None,
        target: str | None = None,
        why: str = "",
        **public: Any,
    ) -> None:
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


class UnitsOfWork:
    """Begins units of work, and tells the outbox sender and the runner when one was committed."""

    def __init__(
        self,
        database: Database,
        texts: Texts,
        clock: Clock,
        admin_room: CurrentAdminRoom,
        compared: HomeserverClock | None = None,
        observe: Callable[[Request, Request], None] | None = None,
        pages: Pages | None = None,
        *,
        code_wanted: bool = False,
    ) -> None:
        """
        Args:
            clock: by which everything goes.
            compared: knows how far this machine's clock is from the homeserver's; None where nothing is compared.
            observe: told of each request's change (before, after) once it is committed.
            pages: what people can open in a browser.
            code_wanted: moderators confirm with a second factor.
        """
        self._code_wanted = code_wanted
        self._compared = compared
        self._observe = observe
        self._pages = pages
        self.database = database
        self.texts = texts
        self.clock = clock
        self._admin_room = admin_room
        self._waiting: dict[asyncio.Future[None], tuple[Table, ...]] = {}
        self._changes: Counter[str] = Counter()
        self.unbroken = Unbroken()
        """What is begun there is ended, even when the bot is told to stop."""

    async def texts_for(self, user_id: str) -> Texts:
        """The texts in the language that a person chose; where they chose none, in this installation's."""
        async with self.database.transaction(only_reading=True) as tx:
            return self.texts.speaking(await people.language_of(tx, user_id))

    @property
    def clock_wrong(self) -> bool:
        """Whether this machine's clock and the homeserver's differ so much that nobody's consent counts."""
        return self._compared is not None and abs(self._compared.offset_ms) >= REFUSE_MS

    def reached(self, ts: int) -> bool:
        """Whether it is so late by both clocks: a removal doesn't begin early because one of them is wrong."""
        return self.clock() >= ts and (self._compared is None or self._compared.local() >= ts)

    @asynccontextmanager
    async def begin(
        self, event: Incoming | None = None, *, quiet: bool = False, coded: bool = False
    ) -> AsyncIterator[UnitOfWork]:
        """One transaction. With `event`, the event counts as handled once it is committed.

        Args:
            quiet: wakes nobody: there is work for nobody else in it.
            coded: what a moderator confirms in it was confirmed by the code of a second factor, where one is wanted.

        Raises:
            StorageError: it couldn't be committed, and so nothing of it happened.
        """
        async with self.database.transaction() as tx:
            now = self.clock()
            messages = Messages(tx, now, await meta.instance(tx), self.texts, self._admin_room, self._pages)
            code_missing = self._code_wanted and not coded
            unit = UnitOfWork(tx, now, messages, clock_wrong=self.clock_wrong, code_missing=code_missing)
            yield unit
            if event is not None:
                await inbox.handled(tx, event.event_id)
        if self._observe is not None:
            for before, after in unit.changed:
                self._observe(before, after)
        # A unit that changed nothing wakes nobody: the runner looks in units, and would wake itself without end.
        if tx.changed and not quiet:
            self.notify(*tx.changed)

    def notify(self, *tables: str) -> None:
        """Wakes the tasks in `wait_for_change` that wait for one of these tables; without any, all of them."""
        self._changes.update(dict.fromkeys(tables or (_ALL,), 1))
        for waiting, wanted in self._waiting.items():
            if not waiting.done() and (not tables or not wanted or not set(wanted).isdisjoint(tables)):
                waiting.set_result(None)

    def changes(self, *tables: Table) -> int:
        """How often one of these tables changed, or any where none is named; compared in `wait_for_change`, so that
        no change is missed."""
        if not tables:
            return self._changes.total()
        return self._changes[_ALL] + sum(self._changes[table] for table in tables)

    async def wait_for_change(self, seen: int, timeout: float | None, *tables: Table) -> int:
        """Waits until one of the tables has changed more than `seen` times, or `timeout` seconds; returns how often it
        has.

        Args:
            timeout: None where nothing else is waited for. After `LONGEST_WAIT` it is looked again all the same: a
                clock that was set, or a task that was cancelled right after its commit, wakes nobody.
            tables: what whoever waits reads. None: every change matters.
        """
        timeout = LONGEST_WAIT if timeout is None else min(timeout, LONGEST_WAIT)
        if self.changes(*tables) <= seen:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[waiting] = tables
            try:
                async with asyncio.timeout(timeout):
                    await waiting
            except TimeoutError:
                pass
            finally:
                del self._waiting[waiting]
        return self.changes(*tables)


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
    if decision.request.wave_id is not None:
        public["wave"] = wave_reference(decision.request.wave_id)
        public["steps"] = [[record.step, record.state, record.ended_ts] for record in decision.request.steps]
    return public
