"""A person's answers in a direct message: reactions, and their Matrix ID typed."""

from __future__ import annotations

from handlers import yes_no
from handlers.address import LOOKED_AT
from handlers.command import UsageError, read_user
from handlers.context import Context
from handlers.direct import mydata
from handlers.message import Message, read
from handlers.recheck import settle_if_changed
from handlers.yes_no import LOOKS_LIKE_YES, NO, YES, annotation
from removal.ids import UserID
from removal.incoming import Incoming
from removal.lifecycle import Answered, Cancelled, Confirmed, Event, MatrixIDTyped, NoChange, decide
from removal.plan import Kind
from removal.request import Question, Request, State
from storage import conversations, outbox, requests
from texts import Template


def stops(context: Context, event: Incoming) -> bool:
    """Whether this is `!cancel` or ❌."""
    found = annotation(event)
    if found is not None:
        return found[1] in NO
    message = read(event.content, context.settings.command_prefix, context.called)
    if message is None or message.command == "cancel":
        return message is not None
    # Perhaps behind a name that the bot has in this room only. Counted apart, it costs little where it isn't meant so.
    prefix = context.settings.command_prefix
    return any(word.text.casefold().removeprefix(prefix) == "cancel" for word in message.words[:LOOKED_AT])


async def reacted(context: Context, event: Incoming) -> bool:
    """✅ or ❌ by the person. False where it can't be told yet what it stands under."""
    found = annotation(event)
    request, purpose = None, ""
    if found is not None and found[1] in YES | NO | LOOKS_LIKE_YES:
        async with context.units.begin() as unit:
            sent = await outbox.sent_as(unit.tx, found[0])
            if sent is None and await outbox.request_waiting_in(unit.tx, event.room_id):
                return False  # it may belong to a message of ours whose event_id we don't know yet
            if sent is not None and sent[0] is not None:
                request, purpose = await requests.get(unit.tx, sent[0]), sent[1]
    if found is None or request is None or request.kind is not Kind.OWN or request.requester_id != event.sender:
        async with context.units.begin(event):
            return True
    decided = _meant(event, request, purpose, yes=found[1] not in NO)
    if decided is not None and found[1] in LOOKS_LIKE_YES:
        await _only_mark(context, event, request, purpose, decided)
        return True
    asked_now = isinstance(decided, Confirmed) and request.state is State.AWAITING_CONFIRMATION
    if asked_now and await settle_if_changed(context, request, event):
        return True
    if decided is None:
        async with context.units.begin(event) as unit:
            if purpose == "card" and request.state is State.AWAITING_CONFIRMATION:
                await unit.messages.reply(
                    event, Template.ANSWER_IN_WRITING, once_per=f"{request.id}", r=request, approval=False
                )
            return True
    await _apply(context, event, request, decided)
    return True


async def _only_mark(context: Context, event: Incoming, request: Request, purpose: str, meant: Event) -> None:
    """The person reacted with what looks like ✅: they are told once, where ✅ would do something."""
    async with context.units.begin(event) as unit:
        request = await unit.request(request.id)
        if not decide(request, meant, unit.now).refusal:
            await unit.messages.reply(
                event, Template.ONLY_MARK, once_per=f"{request.id} {purpose} {event.sender}", r=request
            )


def _meant(event: Incoming, request: Request, purpose: str, *, yes: bool) -> Event | None:
    """What a reaction under this message says."""
    if purpose.startswith("question."):
        return Answered(Question(purpose.removeprefix("question.")), yes)
    if not yes:
        return Cancelled(event.sender)
    if purpose == "card" and not request.rules.by_reply:
        return Confirmed(event.sender, event.origin_server_ts, event.event_id, event.trust.value)
    return None


async def _apply(context: Context, event: Incoming, request: Request, decided: Event, *, almost: bool = False) -> None:
    """Args: almost: what was typed comes near the person's own Matrix ID."""
    async with context.units.begin(event) as unit:
        request = await unit.request(request.id)
        decision = await unit.apply(request, decided, actor=event.sender)
        if not decision.refusal:
            return
        # A second ✅ does nothing; it needs no comment either.
        late = isinstance(decided, Confirmed | Answered) and request.state is not State.EXPIRED
        if late and decision.refusal is not NoChange.CLOCK_WRONG:
            return
        if almost and decision.refusal is NoChange.WRONG_MATRIX_ID:
            await unit.messages.reply(event, Template.ALMOST_MATRIX_ID, user=event.sender)
        else:
            await unit.messages.not_changed(event, request, decision.refusal)


async def typed(context: Context, event: Incoming, message: Message, *, encrypted: bool) -> bool:
    """A text that is no command: `yes R7`, or the Matrix ID that was asked for. False where nothing was asked."""
    async with context.units.database.transaction() as tx:
        own = [r for r in await requests.open_for(tx, event.sender) if r.kind is Kind.OWN]
        asked_ts = await conversations.data_asked_ts(tx, event.room_id)
    request = own[0] if own else None
    if request is not None and request.rules.by_reply and request.state is State.AWAITING_CONFIRMATION:
        answer = answered(message, request)
        if answer is not None:
            if answer and await settle_if_changed(context, request, event):
                return True
            confirmed = Confirmed(event.sender, event.origin_server_ts, event.event_id, event.trust.value)
            await _apply(context, event, request, confirmed if answer else Cancelled(event.sender))
            return True
    almost = comes_near(message, event.sender, context.server_name)
    # Both the removal and `!mydata` ask for it. The later question is the one that is answered.
    if request is not None and request.state is State.AWAITING_MATRIX_ID and (asked_ts or 0) <= _pressed_ts(request):
        if await settle_if_changed(context, request, event):
            return True
        decided = MatrixIDTyped(matrix_id(message), event.origin_server_ts)
        await _apply(context, event, request, decided, almost=almost)
        return True
    return await mydata.confirmed(context, event, matrix_id(message), almost=almost, encrypted=encrypted)


def _pressed_ts(request: Request) -> int:
    """When the ✅ was given that was followed by the question for the Matrix ID, by the bot's clock."""
    return request.expires_ts - request.rules.expires_after_ms


def answered(message: Message, request: Request) -> bool | None:
    """Whether a message says `yes R7` or `no R7` of this very request; None where it says neither."""
    found = yes_no.typed(message)
    return found[1] if found is not None and found[0] == request.id else None


def matrix_id(message: Message) -> str:
    """The full Matrix ID that a message consists of, as text or as a mention; an empty string where it's none."""
    if len(message.words) != 1:
        return ""
    found = read_user(message.words[0], None)
    return "" if isinstance(found, UsageError) else str(found)


def comes_near(message: Message, user_id: str, server_name: str) -> bool:
    """Whether one of a message's few words is this Matrix ID, or nearly."""
    said = [word.link.target if word.link else word.text for word in message.words[:10]]
    near = [str(UserID.meant_by(text[:1_000], server_name) or text) for text in said]
    return user_id.lower() in map(str.lower, near)
