"""What must be true at the end of a run, when the weather has been fine for hours."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from removal.request import ACTING, Request, State
from removal.wave import ENDED, WaveState
from simulation.model.server import Server
from simulation.witness import NO, YES, Witness
from storage import audit, requests, waves
from storage.database import Database

_MAY_STAY_OPEN = frozenset({State.BLOCKED, State.SCHEDULED, State.AWAITING_APPROVAL})
_SHOWN = ("!cancel", "!pause", "!resume", "!exclude")
"""Commands that the request's or the wave's own message answers."""
_NOT_HEARD = frozenset({State.EXPIRED, State.AWAITING_CONFIRMATION})


async def check(witness: Witness, server: Server, store: Database, now: int) -> None:
    """Adds what isn't as it has to be to the witness's faults."""
    await store.open()
    try:
        async with store.transaction() as tx:
            verdict = await audit.verify(tx)
            known = await requests.listing(tx, only_open=False, limit=10_000)
            together = [requests.read(row) for row in await tx.all("SELECT data FROM requests WHERE wave_id NOTNULL")]
            asked = await waves.in_states(tx, tuple(WaveState))
    finally:
        await store.close()
    if verdict.broken_at is not None:
        witness.fault(f"the audit's chain is broken at row {verdict.broken_at}")
    _nothing_waits(witness, store.path)
    for request in known:
        _ended_or_open(witness, server, request, now)
        _heard(witness, server, request)
    paused = {wave.id for wave in asked if wave.state is WaveState.PAUSED}
    for request in together:
        if request.wave_id not in paused:
            _ended_or_open(witness, server, request, now)
    for wave in asked:
        later = wave.state is WaveState.SCHEDULED and (wave.due_ts or 0) >= now - 3_600_000
        if wave.state not in ENDED and wave.id not in paused and not later:
            witness.fault(f"{wave.reference} waits for ever: {wave.state}")
    known += together
    done_for = {request.target_id for request in known if request.began_final_step}
    for account in server.accounts.values():
        if account.deactivated and account.user_id not in done_for | witness.gone_by_others:
            witness.fault(f"{account.user_id} is gone, and no request says so")
        ours = [request for request in known if request.target_id == account.user_id]
        at_work = any(request.state in ACTING for request in ours)
        if account.suspended and account.user_id in witness.suspended_by_bot and not at_work:
            witness.fault(f"{account.user_id} was left suspended")
    _commands_answered(witness, server)


def _nothing_waits(witness: Witness, database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as db:
        for table in ("inbox", "outbox"):
            sql = f"SELECT * FROM {table} WHERE status NOT IN ('handled', 'sent', 'dropped')"  # noqa: S608 - names of ours
            for row in db.execute(sql).fetchall():
                witness.fault(f"waits for ever in the {table}: {str(row)[:300]}")


def _ended_or_open(witness: Witness, server: Server, request: Request, now: int) -> None:
    account = server.accounts[request.target_id]
    if request.state is State.DONE and not account.deactivated:
        witness.fault(f"{request.reference} is done, and {account.user_id} is there")
    if request.state in (State.CANCELLED, State.EXPIRED, State.REFUSED) and request.began_final_step:
        witness.fault(f"{request.reference} is {request.state} after its final step")
    open_ = request.state in (State.RUNNING, State.RELEASING) and request.open_said
    waits = request.state is State.SCHEDULED and (request.due_ts or 0) < now - 3_600_000
    from_of_old = request.state not in _MAY_STAY_OPEN and request.ended_ts is None and not open_
    if waits or from_of_old:
        witness.fault(f"{request.reference} waits for ever: {request.state}, {request.current_step}")


def _heard(witness: Witness, server: Server, request: Request) -> None:
    """A ✅ that counted, in time, was heard."""
    card = witness.cards.get(request.id)
    if card is None or card.own or request.state not in _NOT_HEARD:
        return
    reactions = server.reactions(server.rooms[card.event.room_id], card.event.event_id)
    keys = [event.content["m.relates_to"]["key"] for event in reactions]
    always = witness.always_moderators(card.seen_ms)
    for event, key in zip(reactions, keys, strict=True):
        in_time = event.ts < request.expires_ts - 5_000
        counts = event.sender in always and event.sender != request.target_id and in_time
        if key in YES and counts and not request.rules.needs_other and not set(keys) & set(NO):
            witness.fault(f"{request.reference} is {request.state} in spite of a ✅ of {event.sender}")


def _commands_answered(witness: Witness, server: Server) -> None:
    """Whoever was moderator all the time had an answer to each command."""
    always = witness.always_moderators(0)
    for event in server.rooms[witness.admin_room_id].timeline:
        command = witness.words.get(event.event_id, "")
        silent = command.startswith(_SHOWN)
        if event.sender in always and command[:1] == "!" and not silent and event.event_id not in witness.answered:
            witness.fault(f"no answer to {command!r} of {event.sender}")
