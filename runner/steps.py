"""The steps themselves: each is safe to repeat, and gives back what the homeserver answered.

A step that can't succeed raises `Problem`, or lets the door's own errors through; `classify` says what kind of failure
each is. Nothing in here believes that a 200 means it happened: what matters is read back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from homeserver.answers import User
from homeserver.api import BadToken, Forbidden, HomeserverError, NotFound, RateLimited, Refused
from homeserver.synapse import Synapse, identity_server_failed
from removal.plan import Proof, Step, proofs_for
from removal.request import Failure, Request, State

PAUSE = 2.0
"""Seconds after which the rooms of a deactivated account are looked at again (see docs/design.md, the rejoin race)."""
STALLED = 60.0
"""Seconds without any progress after which leaving the rooms is repaired by a second deactivation."""
TRIES_AT_IDENTITY_SERVER = 3


class Problem(Exception):
    """A step didn't succeed. `remedy` names the words that tell a person what to do."""

    def __init__(self, failure: Failure, cause: str, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(cause)
        self.failure = failure
        self.cause = cause
        self.remedy = remedy
        self.retry_after = retry_after


def classify(error: HomeserverError, request: Request, step: Step) -> Problem:
    """What kind of failure an error of the homeserver is, at this step of this request."""
    cause = str(error)
    record = request.record(step)
    attempts = record.attempts if record else 0
    if isinstance(error, RateLimited):
        return Problem(Failure.PASSING, cause, retry_after=error.retry_after)
    if isinstance(error, BadToken):
        return Problem(Failure.PASSING, cause)
    if isinstance(error, Forbidden):
        return Problem(Failure.NEEDS_PERSON, cause, "forbidden")
    if isinstance(error, NotFound):
        return Problem(Failure.IMPOSSIBLE, cause, "gone")
    if isinstance(error, Refused):
        remedy = "identity_server" if identity_server_failed(error) else "refused"
        return Problem(Failure.NEEDS_PERSON, cause, remedy)
    if identity_server_failed(error) and attempts >= TRIES_AT_IDENTITY_SERVER:
        return Problem(Failure.NEEDS_PERSON, cause, "identity_server")
    return Problem(Failure.PASSING, cause)


Answer = dict[str, Any]


class Steps:
    """The steps, by name: `await steps.do(step, request)`."""

    def __init__(self, synapse: Synapse, *, pause: float = PAUSE, stalled: float = STALLED) -> None:
        self._synapse = synapse
        self._pause = pause
        self._stalled = stalled
        self._table: dict[Step, Callable[[Request], Awaitable[Answer]]] = {
            Step.SNAPSHOT: self._snapshot,
            Step.SUSPEND: self._suspend,
            Step.THREEPIDS: self._threepids,
            Step.DEACTIVATE: self._deactivate,
            Step.WAIT: self._wait,
            Step.RELEASE: self._release,
            Step.VERIFY: self._verify,
        }

    async def do(self, step: Step, request: Request) -> Answer:
        """Does one step and returns what to remember of it.

        Raises:
            Problem: it didn't succeed.
            HomeserverError: the homeserver refused, failed or couldn't be reached; see `classify`.
        """
        return await self._table[step](request)

    async def _account(self, request: Request) -> User:
        user = await self._synapse.user(request.target_id)
        if user is None:
            raise Problem(Failure.IMPOSSIBLE, f"the homeserver knows no account {request.target_id}", "gone")
        return user

    async def _snapshot(self, request: Request) -> Answer:
        user = await self._account(request)
        rooms = await self._synapse.joined_rooms(request.target_id)
        return {"rooms": rooms, "room_count": len(rooms), "suspended_before": user.suspended}

    async def _suspend(self, request: Request) -> Answer:
        await self._synapse.suspend(request.target_id, True)
        if not (await self._account(request)).suspended:
            raise Problem(Failure.PASSING, "the homeserver doesn't show the account as suspended")
        return {"suspended": True}

    async def _threepids(self, request: Request) -> Answer:
        await self._synapse.remove_threepids(request.target_id)
        return {"threepids": 0}

    async def _deactivate(self, request: Request) -> Answer:
        await self._account(request)
        unbound = await self._synapse.deactivate(request.target_id, erase=request.options.erase)
        return {"erase": request.options.erase, "id_server_unbind_result": unbound}

    async def _wait(self, request: Request) -> Answer:
        """Until all rooms are left, and still are a moment later: a profile change shortly before a deactivation
        can make the account join rooms again that it had left. A second deactivation repairs that."""
        repairs = 0
        while True:
            await self._until_in_no_room(request)
            await asyncio.sleep(self._pause)
            tasks = await self._synapse.scheduled_tasks(request.target_id, "update_join_states")
            if not await self._synapse.joined_rooms(request.target_id):
                if all(task.status.over for task in tasks):
                    return {"rooms": 0, "repairs": repairs}
                continue
            repairs += 1
            if repairs > 3:
                raise Problem(Failure.PASSING, "the account keeps coming back to rooms it left")
            await self._synapse.deactivate(request.target_id, erase=request.options.erase)

    async def _until_in_no_room(self, request: Request) -> None:
        fewest, since, delay = None, time.monotonic(), 0.1
        while rooms := len(await self._synapse.joined_rooms(request.target_id)):
            if fewest is None or rooms < fewest:
                fewest, since = rooms, time.monotonic()
            elif time.monotonic() - since > self._stalled:
                await self._synapse.deactivate(request.target_id, erase=request.options.erase)
                raise Problem(Failure.PASSING, f"the account is still in {rooms} rooms")
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, 5.0)

    async def _release(self, request: Request) -> Answer:
        """Clears the suspension mark: it outlives a deactivation, and the account would come back mute.

        Where a removal is given up, a suspension that somebody else had put before stays.
        """
        snapshot = request.record(Step.SNAPSHOT)
        before = bool(snapshot and snapshot.answer.get("suspended_before"))
        if request.state is State.RELEASING and before:
            return {"suspended": True}
        await self._synapse.suspend(request.target_id, False)
        if (await self._account(request)).suspended:
            raise Problem(Failure.PASSING, "the homeserver still shows the account as suspended")
        return {"suspended": False}

    async def _verify(self, request: Request) -> Answer:
        """Reads everything back that the plan promises, and only that."""
        user_id, synapse = request.target_id, self._synapse
        user = await self._account(request)
        profile = await synapse.profile(user_id)
        checks: dict[Proof, Callable[[], Awaitable[bool]]] = {
            Proof.DEACTIVATED: lambda: _is(user.deactivated),
            Proof.ERASED: lambda: _is(user.erased),
            Proof.NO_THREEPIDS: lambda: _is(not user.threepid_media),
            Proof.NO_DEVICES: lambda: _empty(synapse.devices(user_id)),
            Proof.NO_PUSHERS: lambda: _empty(synapse.pushers(user_id)),
            Proof.NO_ROOMS: lambda: _empty(synapse.joined_rooms(user_id)),
            Proof.NO_ACCOUNT_DATA: lambda: self._no_account_data(user_id),
            Proof.NO_DISPLAYNAME: lambda: _is(user.displayname is None),
            Proof.NO_PROFILE: lambda: _is(not profile),
            Proof.NO_SSO: lambda: _is(not user.external_ids),
            Proof.NOT_SUSPENDED: lambda: _is(not user.suspended),
        }
        return {"proofs": {proof.value: await checks[proof]() for proof in proofs_for(request.options)}}

    async def _no_account_data(self, user_id: str) -> bool:
        return (await self._synapse.account_data(user_id)).count == 0


async def _is(value: bool) -> bool:
    return value


async def _empty(question: Awaitable[Any]) -> bool:
    return not await question
