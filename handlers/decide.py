"""A person's decision about a request, applied: where it changes nothing, they hear why."""

from __future__ import annotations

from engine.unit_of_work import UnitOfWork
from removal.incoming import Incoming
from removal.lifecycle import Cancelled, Event
from removal.request import Request
from texts import Template


async def decide_for(unit: UnitOfWork, event: Incoming, request: Request, decided: Event) -> bool:
    """Applies what the sender of `event` decided; whether it changed anything. Where not, that is answered."""
    decision = await unit.apply(request, decided, actor=event.sender)
    if decision.refusal:
        await unit.messages.not_changed(event, request, decision.refusal)
        return False
    in_another_thread = event.room_id == request.room_id and event.thread_root != request.thread_root
    if isinstance(decided, Cancelled) and in_another_thread:
        # What follows is said in the thread where the request was made; who asked elsewhere reads that it was heard.
        await unit.messages.reply(event, Template.SAID_IN_THREAD, r=decision.request)
    return True
