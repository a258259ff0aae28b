"""What people are told, as rows in the outbox: a request's card, announcements, answers. Written in the transaction of
the unit of work that they belong to, and sent by the outbox sender once that is committed.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from engine.announcements import YES_NO, To, messages
from removal.incoming import Incoming
from removal.lifecycle import Event, NoChange, Notice
from removal.plan import Kind
from removal.request import ACTING, OPEN, ProvedBy, Request, State
from storage import audit, conversations, links, outbox, people, requests
from storage.database import Transaction
from texts import Group, Template, Text, Texts, is_own_reason, plain

LEAVE = "lethe.leave"
"""In the outbox, the type of a row that makes the bot leave a room, once all that was to be said there is sent."""
REDACT = "lethe.redact"
"""In the outbox, the type of a row that redacts the message that it refers to."""
THREAD = "m.thread"
_OUTSIDE_THREADS = frozenset({Notice.APPROVAL_ASKED, Notice.SCHEDULED, Notice.REMINDER, Notice.DEPARTURE})
LINK_MS = 15 * 60_000
"""Milliseconds for which a link to the page is good."""
PROGRESS_MS = 1_500
"""Milliseconds for which a progress edit is held back, so that a newer one can replace it."""


@dataclass(slots=True)
class CurrentAdminRoom:
    """The room that the bot obeys now. It changes when the admin room is upgraded."""

    room_id: str


@dataclass(frozen=True, slots=True)
class Pages:
    """Addresses for people's browsers, None where there are none."""

    log_in: str | None = None
    """The page where people log in to prove that an account is theirs."""
    account: str | None = None
    """Where the server has them deactivate their account by themselves."""


class Messages:
    """The messages of one unit of work."""

    def __init__(
        self,
        tx: Transaction,
        now: int,
        instance: str,
        texts: Texts,
        admin_room: CurrentAdminRoom,
        pages: Pages | None = None,
    ) -> None:
        """
        Args:
            now: in milliseconds since 1970.
            instance: this installation's mark in transaction ids, so that a new database never repeats an old one's.
            admin_room: where moderators are told; whoever moves the bot to another room sets that one.
            pages: what people can open in a browser.
        """
        self._tx = tx
        self._now = now
        self._instance = instance
        self._texts = texts
        self.admin_room = admin_room
        self._pages = pages or Pages()

    async def show_card(self, request: Request) -> None:
        """The request's own message: sent once, with its reactions, and edited from then on."""
        if request.from_page:
            return  # the page shows it
        if request.wave_id is not None:
            return  # one message shows the whole wave
        card = self._txn(request, "card")
        room_id = await outbox.room_of(self._tx, card)
        if room_id is None:
            if request.state is State.AWAITING_CONFIRMATION:
                content = message_content(
                    await self._card(request), request.command_event_id, thread=request.thread_root
                )
                await self._put(request.room_id, "card", content, request, txn_id=card)
                if not request.rules.by_reply:
                    for key in YES_NO:
                        await self.react(request, "card", key)
            return
        # The direct message may be another room by now, and nobody can read it once the account is being removed.
        gone = room_id != request.room_id or request.state in ACTING or request.touched
        if request.kind is Kind.OWN and gone:
            return
        await outbox.drop_untried(self._tx, request.id, "card.edit.")
        content = edit_content(await self._card(request))
        purpose = f"card.edit.{request.version}"
        # While steps follow each other quickly, only the last one is shown.
        delay_ms = PROGRESS_MS if request.state in ACTING else 0
        await self._put(request.room_id, purpose, content, request, relates_to=card, delay_ms=delay_ms)

    async def _card(self, request: Request) -> Text:
        if request.kind is Kind.MODERATION:
            return self._texts.render(Template.CARD, r=request)
        texts = await self._to(request.requester_id)
        return texts.render(Template.OWN_CARD, r=request, account_page=self._pages.account)

    async def _to(self, user_id: str) -> Texts:
        """What is said to a person, in the language that they chose."""
        return self._texts.speaking(await people.language_of(self._tx, user_id))

    async def _in(self, room_id: str) -> Texts:
        """What is said in a room: in a direct message in its person's language, elsewhere in this installation's."""
        if room_id == self.admin_room.room_id:
            return self._texts
        person = await conversations.with_whom(self._tx, room_id)
        return self._texts if person is None else await self._to(person)

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
        return await outbox.event_id_of(self._tx, self._txn(request, "card"))

    def words(self, group: Group, key: str | Enum, /, **values: Any) -> str:
        """The words for an enumeration's value, as plain text."""
        return plain(str(self._texts.word(group, key, **values)))

    def reason(self, because: str, user_id: str) -> str:
        """Why something ended, in the language of this installation: see `Texts.reason`."""
        return plain(str(self._texts.reason(because, user_id))) if is_own_reason(because) else because

    def sentence(self, template: Template) -> str:
        """A text without values, as plain text."""
        return self._texts.render(template).body

    async def announce(self, request: Request, what: Notice, event: Event | None = None) -> None:
        """Sends new messages about a change of a request: some clients don't notify about an edit of the card."""
        if request.wave_id is not None:
            return  # what became of a wave's accounts is said together
        values: dict[str, Any] = {"changed": getattr(event, "what", ()), "link": ""}
        if what in (Notice.DONE, Notice.CLOSED):
            values["head"] = await audit.head(self._tx)
        either = request.rules.proved_by is ProvedBy.EITHER
        if what is Notice.LOG_IN_ASKED or (either and what is Notice.MATRIX_ID_ASKED):
            values["link"] = await self._link(request)
        for said in messages(request, what):
            here = said.to is To.ROOM
            # The admin room may have been upgraded since the request was made.
            at_home = here and request.kind is Kind.OWN
            room_id = request.room_id if at_home else self.admin_room.room_id
            texts = await self._to(request.requester_id) if at_home else self._texts
            text = texts.render(said.template, r=request, what=said.what, **values)
            there = here and room_id == request.room_id
            # A stolen session could ask in a thread that nobody looks at: what warns the person isn't hidden there.
            in_thread = there and not (request.kind is Kind.OWN and what in _OUTSIDE_THREADS)
            content = message_content(
                text,
                request.command_event_id if there else None,
                thread=request.thread_root if in_thread else "",
                mention=request.requester_id if said.rings else None,
            )
            # The purpose holds the question itself: the request's version may change before it is answered.
            which = request.questions[0] if what is Notice.QUESTION else str(request.version)
            purpose = f"{said.what}.{which}" if here else f"{said.template}.{said.what}.{which}"
            await self._put(room_id, purpose, content, request)
            for key in said.reactions:
                await self.react(request, purpose, key, room_id)
        if what in (Notice.DONE, Notice.CLOSED) and request.kind is Kind.OWN:
            await self.leave(request.room_id)
            await people.forget(self._tx, request.requester_id)

    async def show_again(self, request: Request, to: Incoming) -> Request:
        """Shows where a person's own request stands, in answer to a message of theirs; from then on everything about
        it is said there."""
        elsewhere = (request.room_id, request.thread_root) != (to.room_id, to.thread_root)
        if elsewhere and request.kind is Kind.OWN and request.state in OPEN:
            moved = replace(request, room_id=to.room_id, command_event_id=to.event_id, thread_root=to.thread_root)
            request = await requests.save(self._tx, moved)
        on_page = request.from_page and request.state is State.AWAITING_CONFIRMATION
        either = request.state is State.AWAITING_MATRIX_ID and request.rules.proved_by is ProvedBy.EITHER
        link = await self._link(request) if on_page or either or request.state is State.AWAITING_LOG_IN else ""
        text = (await self._to(request.requester_id)).render(Template.OWN_STATUS, r=request, link=link)
        content = message_content(text, to.event_id, thread=to.thread_root)
        purpose = f"status.{hashlib.sha256(to.event_id.encode()).hexdigest()[:16]}"
        await self._put(to.room_id, purpose, content, request)
        return request

    async def _link(self, request: Request) -> str:
        """A new link to the page, good for once; empty where there is no page."""
        if self._pages.log_in is None:
            return ""
        secret = secrets.token_urlsafe(32)
        link = links.Link(request.id, request.requester_id)
        await links.add(self._tx, secret, link, self._now + LINK_MS)
        return f"{self._pages.log_in}/link/{secret}"

    async def leave(self, room_id: str) -> None:
        """Has the bot leave a room and forget it, once everything that was to be said there is sent."""
        await conversations.close(self._tx, room_id)
        # The bot may be invited into the same room again, and leave it again.
        txn_id = self._txn_for(f"{room_id} {self._now}", "leave")
        await self._put(room_id, "leave", {}, txn_id=txn_id, event_type=LEAVE)

    async def reply(self, to: Incoming, template: Template, /, *, once_per: str | None = None, **values: Any) -> None:
        """Answers a person's message. A message handled twice gets one answer of a kind.

        Args:
            once_per: limits it to one answer of this kind for each value of this, instead of for each message.
        """
        text = (await self._in(to.room_id)).render(template, **values)
        content = message_content(text, to.event_id, thread=await self._thread_of(to))
        txn_id = self._txn_for(once_per or to.event_id, template)
        await self._put(to.room_id, f"reply.{template}", content, txn_id=txn_id)

    async def not_changed(self, to: Incoming, request: Request, why: NoChange | State) -> None:
        """Answers why a person's reaction or command changed nothing."""
        over_cap, requester = request.rules.needs_other, request.requester_id
        await self.reply(
            to, Template.NOT_CHANGED, request_id=request.id, why=why, requester=requester, over_cap=over_cap
        )

    async def reply_file(self, to: Incoming, content: dict[str, Any]) -> None:
        """Answers a person's message with a file that was uploaded."""
        content = {**content, **_relation(to.event_id, to.thread_root)}
        await self._put(to.room_id, "reply.file", content, txn_id=self._txn_for(to.event_id, "file"))

    async def post(
        self,
        room_id: str,
        template: Template,
        key: str,
        /,
        *,
        mention: str | None = None,
        about: Incoming | None = None,
        **values: Any,
    ) -> None:
        """Sends a message that isn't an answer. The same `key` and template never make a second message.

        Args:
            about: what somebody said in this room, in whose thread the message belongs.
        """
        thread = await self._thread_of(about) if about is not None else ""
        content = message_content((await self._in(room_id)).render(template, **values), thread=thread, mention=mention)
        await self._put(room_id, f"post.{template}", content, txn_id=self._txn_for(key, template))

    async def post_to_redact(self, room_id: str, template: Template, key: str, /, **values: Any) -> None:
        """Sends a message that `redact` takes away again, by the same `key` and template."""
        content = message_content(self._texts.render(template, **values))
        await self._put(room_id, f"post.{template}", content, txn_id=self._txn_for(key, template))

    async def redact(self, room_id: str, key: str, template: Template) -> None:
        """Redacts a message that was sent by `post_to_redact`."""
        txn_id = self._txn_for(key, template)
        await self._put(
            room_id, f"redact.{template}", {}, txn_id=f"{txn_id}.redact", relates_to=txn_id, event_type=REDACT
        )

    async def _thread_of(self, said: Incoming) -> str:
        """The thread where something was said. A reaction is where the message is that it stands under."""
        relation = said.content.get("m.relates_to")
        target = relation.get("event_id") if said.type == "m.reaction" and isinstance(relation, dict) else None
        sent = await outbox.sent_as(self._tx, target) if isinstance(target, str) else None
        request = await requests.get(self._tx, sent[0]) if sent is not None and sent[0] is not None else None
        here = request is not None and request.room_id == said.room_id
        return request.thread_root if request is not None and here else said.thread_root

    def render(self, template: Template, /, **values: Any) -> Text:
        """A text, in the language of this installation."""
        return self._texts.render(template, **values)

    def txn_id(self, key: str) -> str:
        """The transaction id that `put` gives to the message of this key."""
        return f"lethe.{self._instance}.{key}"

    async def put(
        self,
        room_id: str,
        purpose: str,
        content: dict[str, Any],
        *,
        key: str,
        relates_to: str | None = None,
        event_type: str = "m.room.message",
        delay_ms: int = 0,
    ) -> None:
        """Puts an event on its way that belongs to no single request.

        Args:
            key: makes it one event, however often it is put.
            relates_to: the key of the one that it refers to.
        """
        await self._put(
            room_id,
            purpose,
            content,
            txn_id=self.txn_id(key),
            relates_to=None if relates_to is None else self.txn_id(relates_to),
            event_type=event_type,
            delay_ms=delay_ms,
        )

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
            self._tx,
            txn_id=txn_id,
            room_id=room_id,
            purpose=purpose,
            content=content,
            now=self._now,
            event_type=event_type,
            request_id=request.id if request else None,
            relates_to=relates_to,
            delay_ms=delay_ms,
        )

    def _txn(self, request: Request, purpose: str) -> str:
        return f"lethe.{self._instance}.{request.reference}.{purpose}"

    def _txn_for(self, key: str, kind: str) -> str:
        return f"lethe.{self._instance}.{hashlib.sha256(key.encode()).hexdigest()[:24]}.{kind}"


def message_content(
    text: Text, reply_to: str | None = None, *, thread: str = "", mention: str | None = None
) -> dict[str, Any]:
    """The content of an `m.room.message`; with a mention, it rings."""
    return {
        "msgtype": "m.text" if mention else "m.notice",
        "body": text.body,
        "format": "org.matrix.custom.html",
        "formatted_body": text.formatted_body,
        "m.mentions": {"user_ids": [mention]} if mention else {},
        **_relation(reply_to, thread),
    }


def edit_content(text: Text) -> dict[str, Any]:
    """The content of an `m.room.message` that another one is replaced with; which one, the sender puts in.

    Source: Matrix client-server API, "Event replacements".
    """
    return {
        "msgtype": "m.notice",
        # For clients that know no edits: the first line only, since the rest stands in the event once more.
        "body": f"* {text.body.partition(chr(10))[0]}",
        "m.mentions": {},
        "m.new_content": message_content(text),
        "m.relates_to": {"rel_type": "m.replace"},
    }


def _relation(reply_to: str | None, thread: str) -> dict[str, Any]:
    """What a message belongs to: the message that it answers, and the thread.

    Source: Matrix client-server API, "Threading", "Replies inside of threads".
    """
    if not thread:
        return {"m.relates_to": {"m.in_reply_to": {"event_id": reply_to}}} if reply_to else {}
    relation = {"rel_type": THREAD, "event_id": thread, "is_falling_back": not reply_to}
    return {"m.relates_to": {**relation, "m.in_reply_to": {"event_id": reply_to or thread}}}


def out_of_thread(content: dict[str, Any]) -> dict[str, Any] | None:
    """The same message outside the thread that it belongs to, None where it belongs to none."""
    relation = content.get("m.relates_to") or {}
    if relation.get("rel_type") != THREAD:
        return None
    bare = {key: value for key, value in content.items() if key != "m.relates_to"}
    answered = None if relation["is_falling_back"] else relation["m.in_reply_to"]["event_id"]
    return {**bare, **_relation(answered, "")}
