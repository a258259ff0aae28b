"""The step that redacts an account's messages: started once, followed to its end, and believed only if nothing failed.

Source: AccountBackend admin API, `POST /_synapse/admin/v1/user/{user_id}/redact`, `GET …/redact_status/{redact_id}`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from engine.failures import Problem
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.errors import already_redacting
from homeserver.accounts.models import REDACTION, RedactStatus
from homeserver.client.api import NotFound, Refused
from removal.plan import Step
from removal.request import Failure, Request

PER_ROOM = 1_000_000
"""How many events of each room; Synapse's own default would leave all but the newest 1,000."""
OWN_REDACTIONS_SINCE = 11
"""From this room version on, a suspended account's messages can be redacted (MSC2174 moved `redacts`)."""


async def redact(accounts: AccountBackend, request: Request) -> dict[str, Any]:
    """Redacts the messages in the rooms of the snapshot: all, or those since a time that was asked for.

    In rooms of old versions every redaction fails while the account is suspended, although the task says `complete`:
    there the suspension is lifted meanwhile.

    Raises:
        Problem: somebody else's redaction is running, or entries failed.
        HomeserverError: as in homeserver.client.api.
    """
    snapshot, record = request.record(Step.SNAPSHOT), request.record(Step.REDACT)
    rooms = list(snapshot.answer.get("rooms", [])) if snapshot else []
    if not rooms or record is None:
        return {"redact_id": "", "rooms": 0, "failed": 0}
    before = bool(snapshot and snapshot.answer.get("suspended_before"))
    suspended = request.suspended or (not request.options.removes and before)
    lift = suspended and await _any_old(accounts, rooms)
    others = _others(request)
    redact_id = await _started_before(accounts, request, others)
    if lift:
        await accounts.suspend(request.target_id, False)
    try:
        if redact_id is None:
            redact_id = await _start(accounts, request, rooms, others)
        status = await _until_over(accounts, redact_id)
    finally:
        if lift:
            await accounts.suspend(request.target_id, True)
    failed = len(status.failed_redactions or {})
    answer = {"redact_id": redact_id, "rooms": len(rooms), "failed": failed}
    if not status.succeeded:
        cause = f"{failed} of the messages could not be redacted" if failed else "the redaction failed"
        if status.error:
            cause += f": {status.error[:200]}"
        # Should a person ask for another attempt, this one isn't taken for it.
        answer["others"] = sorted({*others, redact_id})
        raise Problem(Failure.NEEDS_PERSON, cause, "redaction_failed", answer=answer)
    return answer


def _others(request: Request) -> set[str]:
    """The redactions of this account that aren't this attempt's: older ones, somebody else's, and failed ones."""
    snapshot, record = request.record(Step.SNAPSHOT), request.record(Step.REDACT)
    before = snapshot.answer.get("redactions", []) if snapshot else []
    return {*before, *(record.answer.get("others", []) if record else [])}


async def _start(accounts: AccountBackend, request: Request, rooms: list[str], others: set[str]) -> str:
    try:
        return await accounts.redact(
            request.target_id, rooms, reason=request.reason or None, limit=PER_ROOM, since_ts=request.options.since_ts
        )
    except Refused as error:
        if already_redacting(error):
            raise await _somebody_elses(accounts, request, others) from None
        raise


async def _somebody_elses(accounts: AccountBackend, request: Request, others: set[str]) -> Problem:
    known = {task.id for task in await accounts.scheduled_tasks(request.target_id, REDACTION)}
    cause = "another redaction of this account's messages is under way"
    return Problem(Failure.PASSING, cause, answer={"others": sorted(others | known)})


async def _any_old(accounts: AccountBackend, rooms: list[str]) -> bool:
    for room_id in rooms:
        try:
            version = (await accounts.room_details(room_id)).version or "1"
        except NotFound:
            continue  # the room was removed from this server meanwhile
        if version.isdecimal() and int(version) < OWN_REDACTIONS_SINCE:
            return True
    return False


async def _started_before(accounts: AccountBackend, request: Request, others: set[str]) -> str | None:
    """The task that an earlier attempt started; None where ours is still to be started.

    A crash between asking for a redaction and storing its id leaves a task whose id we don't know: on a later attempt
    it's the one that wasn't there before. Clocks aren't compared: the homeserver's may differ from ours.
    """
    record = request.record(Step.REDACT)
    tasks = await accounts.scheduled_tasks(request.target_id, REDACTION)
    ours = [task for task in tasks if task.id not in others]
    if record is not None and record.attempts > 1 and ours:
        return max(ours, key=lambda task: task.timestamp_ms).id
    if any(not task.status.over for task in tasks):
        raise await _somebody_elses(accounts, request, others)
    return None


async def _until_over(accounts: AccountBackend, redact_id: str) -> RedactStatus:
    delay = 0.2
    while True:
        status = await accounts.redact_status(redact_id)
        if status is None:
            raise Problem(Failure.PASSING, f"the homeserver has forgotten the redaction {redact_id}")
        if status.status.over:
            return status
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, 5.0)
