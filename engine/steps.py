"""The steps themselves: each is safe to repeat, and gives back what the homeserver answered.

A step that can't succeed raises `Problem`, or lets a HomeserverError through; `engine.failures.classify` says what
kind of failure each is. A 200 is never taken as proof: what matters is read back.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from engine.failures import Problem
from engine.handover import hand_over, only_admin
from engine.leaving import leave_all
from engine.redaction import redact
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.models import REDACTION, User
from homeserver.client.api import HomeserverError, NotFound
from removal.plan import Media, Proof, Step
from removal.request import Failure, Request, State

PAUSE = 2.0
"""Seconds after which the rooms of a deactivated account are looked at again (see docs/design.md, the rejoin race)."""
STALLED = 30.0
"""Seconds without any progress after which leaving the rooms is repaired by a second deactivation, and people hear of
it."""
SHOWN_WITHIN = 3.0
"""Seconds that a homeserver is given until it shows what it just did: one of several processes hears of it later."""
IN_CHARGE_FOR = 2.0
"""Seconds that a look at who keeps the accounts counts for."""
_WERE_THERE = frozenset({"join", "leave", "ban"})
Answer = dict[str, Any]


class Steps:
    """The steps, by name: `await steps.do(step, request)`."""

    def __init__(
        self,
        accounts: AccountBackend,
        *,
        pause: float = PAUSE,
        stalled: float = STALLED,
        shown_within: float = SHOWN_WITHIN,
    ) -> None:
        self._accounts = accounts
        self._pause = pause
        self._stalled = stalled
        self._shown_within = shown_within
        self._in_charge_seen = -math.inf
        self._table: dict[Step, Callable[[Request], Awaitable[Answer]]] = {
            Step.SNAPSHOT: self._snapshot,
            Step.HANDOVER: lambda request: hand_over(accounts, request),
            Step.SUSPEND: self._suspend,
            Step.THREEPIDS: self._threepids,
            Step.REDACT: lambda request: redact(accounts, request),
            Step.DEACTIVATE: self._deactivate,
            Step.WAIT: self._wait,
            Step.MEDIA: self._media,
            Step.SSO: self._sso,
            Step.REACTIVATE: self._reactivate,
            Step.RELEASE: self._release,
            Step.VERIFY: self._verify,
        }

    async def do(self, step: Step, request: Request) -> Answer:
        """Does one step and returns what to remember of it.

        Raises:
            Problem: it didn't succeed.
            HomeserverError: the homeserver refused, failed or couldn't be reached; see `classify`.
        """
        # A suspension is the homeserver's own, whoever keeps the accounts by now: nobody is left mute.
        if step is not Step.RELEASE or request.state is not State.RELEASING:
            await self._ensure_in_charge()
        return await self._table[step](request)

    async def _ensure_in_charge(self) -> None:
        """A server may move to MAS while requests wait. It is down meanwhile, so a look counts for a moment."""
        now = asyncio.get_running_loop().time()
        if now - self._in_charge_seen > IN_CHARGE_FOR:
            await self._accounts.ensure_in_charge()
            self._in_charge_seen = now

    async def is_undone(self, request: Request) -> bool:
        """Whether the homeserver shows that the account isn't deactivated. Raises: HomeserverError."""
        user = await self._accounts.user(request.target_id)
        return user is not None and not user.deactivated and not user.half_deactivated

    async def answers(self, request: Request) -> bool:
        """Whether the homeserver answers a plain question now: then a failure is this step's own."""
        try:
            await self._accounts.user(request.target_id)
        except HomeserverError:
            return False
        return True

    async def _account(self, request: Request) -> User:
        user = await self._accounts.user(request.target_id)
        if user is None:
            raise Problem(Failure.IMPOSSIBLE, f"the homeserver knows no account {request.target_id}", "gone")
        return user

    async def _snapshot(self, request: Request) -> Answer:
        """Records what later steps and the receipt need and can't be read once the removal has begun."""
        user = await self._account(request)
        joined = await self._accounts.joined_rooms(request.target_id)
        rooms = joined if request.options.removes else await self._rooms_to_redact(request)
        answer = {
            "rooms": rooms,
            "room_count": len(joined),
            "suspended_before": user.suspended,
            "locked": user.locked,
            "devices": len(await self._accounts.devices(request.target_id)),
            "threepids": ", ".join(sorted(set(user.threepid_media))),
            "media": await self._accounts.media_total(request.target_id),
        }
        if request.options.handover:
            answer["only_admin"] = await only_admin(self._accounts, request.target_id, joined)
        if request.options.redact:
            tasks = await self._accounts.scheduled_tasks(request.target_id, REDACTION)
            answer["redactions"] = [task.id for task in tasks]
        return answer

    async def _rooms_to_redact(self, request: Request) -> list[str]:
        """The rooms that were named, or all where the account is or was: it may have been removed already."""
        if not request.options.redact:
            return []
        every = await self._accounts.memberships(request.target_id)
        wrote = sorted(room_id for room_id, membership in every.items() if membership in _WERE_THERE)
        return [room_id for room_id in wrote if not request.options.rooms or room_id in request.options.rooms]

    async def _suspend(self, request: Request) -> Answer:
        await self._accounts.suspend(request.target_id, True)

        async def suspended() -> bool:
            return (await self._account(request)).suspended

        if not await self._shown(suspended):
            raise Problem(Failure.NOT_YET, "the homeserver doesn't show the account as suspended")
        return {"suspended": True}

    async def _threepids(self, request: Request) -> Answer:
        await self._accounts.remove_threepids(request.target_id)
        return {"threepids": 0}

    async def _deactivate(self, request: Request) -> Answer:
        await self._account(request)
        unbound = await self._accounts.deactivate(request.target_id, erase=request.options.erase)
        return {"erase": request.options.erase, "id_server_unbind_result": unbound}

    async def _wait(self, request: Request) -> Answer:
        return await leave_all(self._accounts, request, pause=self._pause, stalled=self._stalled)

    async def _media(self, request: Request) -> Answer:
        """Deletes all uploaded files, a hundred at a time, or quarantines them."""
        if request.options.media is Media.QUARANTINE:
            quarantined = await self._accounts.quarantine_media(request.target_id)
            files = await self._accounts.media(request.target_id)
            # An admin marked these as safe on purpose; the receipt counts them.
            return {"quarantined": quarantined, "protected": sum(f.safe_from_quarantine for f in files)}
        deleted = 0
        while number := await self._accounts.delete_media(request.target_id):
            deleted += number
        return {"deleted": deleted}

    async def _sso(self, request: Request) -> Answer:
        providers = await self._accounts.remove_external_ids(request.target_id)
        return {"sso_links": len(providers)}

    async def _reactivate(self, request: Request) -> Answer:
        await self._account(request)
        await self._accounts.reactivate(request.target_id)
        return {"deactivated": False}

    async def _release(self, request: Request) -> Answer:
        """Clears the suspension mark: it outlives a deactivation, and a reactivated account couldn't write.

        Where a removal is given up, a suspension that somebody else had put before stays.
        """
        if request.state is State.RELEASING and request.suspended_before:
            return {"suspended": True}
        if request.state is not State.RELEASING:
            await self._clear_marks(request)
        try:
            await self._accounts.suspend(request.target_id, False)
        except NotFound:
            if request.state is State.RELEASING and await self._accounts.user(request.target_id) is None:
                return {"suspended": False}  # the account is gone, and with it the mark
            raise

        async def released() -> bool:
            return not (await self._account(request)).suspended

        if not await self._shown(released):
            raise Problem(Failure.NOT_YET, "the homeserver still shows the account as suspended")
        return {"suspended": False}

    async def _clear_marks(self, request: Request) -> None:
        """Clears what admins had put on the account, where the plan says so; a removal that is given up leaves it."""
        if request.options.clear_marks:
            await self._accounts.lock(request.target_id, False)
            await self._accounts.lift_shadow_ban(request.target_id)

    async def _shown(self, look: Callable[[], Awaitable[bool]]) -> bool:
        """Looks again and again, until what was done is shown or `shown_within` is over."""
        clock = asyncio.get_running_loop().time
        until, delay = clock() + self._shown_within, 0.05
        while not (shown := await look()) and clock() < until:
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.5)
        return shown

    async def _verify(self, request: Request) -> Answer:
        """Reads everything back that the plan promises, and only that; where rooms were open, they are left first."""
        left = await self._leaving(request)
        proofs: dict[str, bool] = {}
        marks: list[str] = []

        async def all_hold() -> bool:
            user = await self._account(request)
            marks[:] = [name for name in ("locked", "shadow_banned") if getattr(user, name)]
            proofs.update(await self._proofs(request, user))
            return all(proofs.values())

        await self._shown(all_hold)
        if proofs.get(Proof.NO_ROOMS, True):
            return {"proofs": proofs, "left_over": [], **({"marks": marks} if marks else {})}
        only_rooms = [proof for proof, holds in proofs.items() if not holds] == [Proof.NO_ROOMS]
        lasting = only_rooms and left.get("lasting") is True
        return {"proofs": proofs, "left_over": left.get("left_over", []), "lasting": lasting}

    async def _proofs(self, request: Request, user: User) -> dict[str, bool]:
        user_id, accounts = request.target_id, self._accounts
        checks: dict[Proof, Callable[[], Awaitable[bool]]] = {
            Proof.DEACTIVATED: lambda: _is(user.deactivated),
            Proof.ERASED: lambda: _is(user.erased),
            Proof.NO_THREEPIDS: lambda: _is(not user.threepid_media),
            Proof.NO_DEVICES: lambda: self._no_sessions(user_id),
            Proof.NO_PUSHERS: lambda: _empty(accounts.pushers(user_id)),
            Proof.NO_ROOMS: lambda: self._has_no_rooms(user_id),
            Proof.NO_ACCOUNT_DATA: lambda: self._no_account_data(user_id),
            Proof.NO_DISPLAYNAME: lambda: _is(user.displayname is None),
            Proof.NO_PROFILE: lambda: _empty(accounts.profile(user_id)),
            Proof.NO_MEDIA: lambda: _empty(accounts.media_total(user_id)),
            Proof.MEDIA_QUARANTINED: lambda: self._all_quarantined(user_id),
            Proof.REDACTED: lambda: _is(_redacted(request)),
            Proof.NO_SSO: lambda: _is(not user.external_ids),
            Proof.NOT_SUSPENDED: lambda: _is(not user.suspended),
            Proof.ACTIVE: lambda: _is(not user.deactivated and not user.half_deactivated),
            Proof.NO_INVITES: lambda: self._has_no_invites(user_id),
            Proof.NOT_IN_DIRECTORY: lambda: _not(accounts.in_directory(user_id)),
            Proof.NOT_LOCKED: lambda: _is(not user.locked),
            Proof.NOT_SHADOW_BANNED: lambda: _is(not user.shadow_banned),
        }
        return {proof.value: await checks[proof]() for proof in request.promised}

    async def _leaving(self, request: Request) -> Answer:
        """What is known of rooms that aren't left; at each attempt but the first the account leaves them once more."""
        before = request.record(Step.VERIFY)
        proofs = before.answer.get("proofs", {}) if before is not None else {}
        if any(proofs.get(proof) is False for proof in (Proof.NO_ROOMS, Proof.NO_INVITES)):
            # Whatever kept it there may be gone: only a deactivation makes the homeserver try again.
            await self._accounts.deactivate(request.target_id, erase=request.options.erase)
            return await self._wait(request)
        waited = request.record(Step.WAIT)
        return waited.answer if waited is not None else {}

    async def _no_sessions(self, user_id: str) -> bool:
        return not any((await self._accounts.sessions(user_id)).values())

    async def _has_no_rooms(self, user_id: str) -> bool:
        return not await self._accounts.joined_rooms(user_id)

    async def _has_no_invites(self, user_id: str) -> bool:
        """Of rooms that this homeserver is in: those of others aren't shown."""
        return not {"invite", "knock"} & set((await self._accounts.memberships(user_id)).values())

    async def _no_account_data(self, user_id: str) -> bool:
        return (await self._accounts.account_data(user_id)).count == 0

    async def _all_quarantined(self, user_id: str) -> bool:
        files = await self._accounts.media(user_id)
        return all(file.quarantined_by is not None or file.safe_from_quarantine for file in files)


def _redacted(request: Request) -> bool:
    """Read back when the redaction ended; the homeserver forgets it after seven days."""
    record = request.record(Step.REDACT)
    return record is not None and record.answer.get("failed") == 0


async def _is(value: bool) -> bool:
    return value


async def _not(question: Awaitable[bool]) -> bool:
    return not await question


async def _empty(question: Awaitable[Any]) -> bool:
    return not await question
