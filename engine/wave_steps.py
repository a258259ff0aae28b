"""The steps of an account that goes with a wave: the same, with as few calls as the same proofs can be had for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from engine.failures import Problem
from engine.handover import hand_over, only_admin
from engine.leaving import Looks, Speed, leave_all, still_in, until_deactivated, until_in_no_room
from engine.steps import PAUSE, STALLED, Answer, Steps
from engine.turns import Turns
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.facts import facts_of
from homeserver.accounts.models import JOIN_STATES, REDACTION
from removal.facts import changed_meanwhile
from removal.plan import Step
from removal.request import Failure, Request, State

LEAVING = 2
"""So many accounts are watched at once while they leave their rooms: Synapse takes one after the other."""
FRESH = 30.0
"""Seconds for which a look at an account is good enough to deactivate it."""
GATHER = 1.0
"""Seconds: long enough for several, short beside a removal."""


class ChangedMeanwhile(Exception):
    """The account isn't what the list showed any more; `what` names the facts."""

    def __init__(self, what: tuple[str, ...]) -> None:
        super().__init__(", ".join(what))
        self.what = what


class _Watched(AbstractAsyncContextManager[None]):
    """Waits for one of a few places, and says so when it is left."""

    def __init__(self, places: asyncio.Semaphore, over: Callable[[], None]) -> None:
        self._places = places
        self._over = over

    async def __aenter__(self) -> None:
        await self._places.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._places.release()
        self._over()


class WaveSteps(Steps):
    """Each look that another one makes needless is left out; what is promised is read back at the end all the same."""

    def __init__(
        self,
        accounts: AccountBackend,
        protected: Callable[[Request], Awaitable[str]],
        *,
        pause: float = PAUSE,
        stalled: float = STALLED,
        gather: float = GATHER,
    ) -> None:
        """
        Args:
            protected: why an account mustn't be removed by now, for other reasons than its own state.
            gather: seconds in which accounts come together whose question is one for all of them.
        """
        super().__init__(accounts, pause=pause, stalled=stalled)
        self._gather = gather
        self._protected = protected
        self._watched = asyncio.Semaphore(LEAVING)
        self._speed = Speed()
        self._table[Step.HANDOVER] = self._hand_over
        self._memberships: dict[str, dict[str, str]] = {}
        self._joining_seen: tuple[float, frozenset[str]] = -math.inf, frozenset()
        self._one_asks = asyncio.Lock()
        self.looked: dict[int, float] = {}
        """When the account of a request was looked at since it was taken up, by the loop's clock."""
        self.turns = Turns()
        """Taken before an account's deactivation is begun; given back here once it has left its rooms."""

    async def _suspend(self, request: Request) -> Answer:
        # Read back by the snapshot, which comes next.
        await self._accounts.suspend(request.target_id, True)
        return {"suspended": True}

    async def _snapshot(self, request: Request) -> Answer:
        """The last look before what can't be taken back.

        Raises:
            ChangedMeanwhile: this isn't the account that somebody decided on.
        """
        user = await self._account(request)
        changed = changed_meanwhile(request.facts, facts_of(user))
        because = await self._protected(request)
        if changed or because:
            raise ChangedMeanwhile((*changed, because) if because else changed)
        self.looked[request.id] = asyncio.get_running_loop().time()
        if not user.suspended:
            # Somebody may have lifted it on purpose.
            raise Problem(Failure.NOT_YET, "the homeserver doesn't show the account as suspended")
        answer: dict[str, Any] = {
            "room_count": request.facts.rooms,
            "threepids": ", ".join(sorted(set(user.threepid_media))),
        }
        if request.options.redact or request.options.handover:
            answer["rooms"] = await self._accounts.joined_rooms(request.target_id)
        if request.options.handover:
            answer["only_admin"] = await only_admin(self._accounts, request.target_id, answer["rooms"])
        if request.options.redact:
            tasks = await self._accounts.scheduled_tasks(request.target_id, REDACTION)
            answer["redactions"] = [task.id for task in tasks]
        return answer

    async def look_again(self, request: Request) -> None:
        """Asks once more whether the account may be removed, right before what can't be taken back: it may have waited
        for its turn for minutes, or been stopped and taken up again.

        Raises:
            ChangedMeanwhile: it mustn't.
            HomeserverError: it can't be told now.
        """
        if because := await self._protected(request):
            raise ChangedMeanwhile((because,))
        clock = asyncio.get_running_loop().time
        if clock() - self.looked.get(request.id, -math.inf) > FRESH:
            looked_at = clock()
            user = await self._accounts.user(request.target_id)
            if user is None:
                return  # the step itself says so
            changed = changed_meanwhile(request.facts, facts_of(user))
            if changed or not user.suspended:
                # Somebody may have lifted the suspension on purpose.
                raise ChangedMeanwhile(changed or ("no longer suspended",))
            self.looked[request.id] = looked_at

    async def _hand_over(self, request: Request) -> Answer:
        """A suspended account can't pass its power on: the suspension is lifted meanwhile, where there is any."""
        snapshot = request.record(Step.SNAPSHOT)
        if not (snapshot and snapshot.answer.get("only_admin")):
            return {"handed": [], "left": [], "handed_count": 0, "left_count": 0}
        await self._accounts.suspend(request.target_id, False)
        try:
            return await hand_over(self._accounts, request)
        finally:
            await self._accounts.suspend(request.target_id, True)

    async def _threepids(self, request: Request) -> Answer:
        snapshot = request.record(Step.SNAPSHOT)
        if snapshot and snapshot.answer.get("threepids") == "":
            return {"threepids": 0}
        return await super()._threepids(request)

    async def _deactivate(self, request: Request) -> Answer:
        unbound = await self._accounts.deactivate(request.target_id, erase=request.options.erase)
        return {"erase": request.options.erase, "id_server_unbind_result": unbound}

    async def _wait(self, request: Request) -> Answer:
        looks = Looks(self._speed, self._stalled, _Watched(self._watched, lambda: self.turns.end(request.id)))
        await until_deactivated(self._accounts, request, self._stalled)
        left_over = await until_in_no_room(self._accounts, request.target_id, self._stalled, looks)
        if left_over:
            return await still_in(self._accounts, request, left_over)
        await asyncio.sleep(self._pause)
        if request.target_id in await self._joining():
            return await leave_all(self._accounts, request, pause=self._pause, stalled=self._stalled)
        # Whether it came back to a room meanwhile is read with the proofs.
        return {"rooms": 0, "repairs": 0}

    async def _joining(self) -> frozenset[str]:
        """The accounts that a changed profile may still bring back into rooms; asked for all of them at once.

        Whoever left is looked for in an answer that was asked for afterwards.
        """
        clock = asyncio.get_running_loop().time
        asked_for = clock()
        async with self._one_asks:
            if self._joining_seen[0] < asked_for:
                # Whoever waited for the one before has gathered already.
                await asyncio.sleep(max(0.0, self._gather - (clock() - asked_for)))
                self._joining_seen = clock(), await self._accounts.open_tasks(JOIN_STATES)
            return self._joining_seen[1]

    async def _has_no_rooms(self, user_id: str) -> bool:
        self._memberships[user_id] = await self._accounts.memberships(user_id)
        return "join" not in self._memberships[user_id].values()

    async def _has_no_invites(self, user_id: str) -> bool:
        seen = self._memberships.pop(user_id, None)  # of the question right before
        memberships = await self._accounts.memberships(user_id) if seen is None else seen
        return not {"invite", "knock"} & set(memberships.values())

    async def _release(self, request: Request) -> Answer:
        if request.state is State.RELEASING:
            return await super()._release(request)
        await self._clear_marks(request)
        await self._accounts.suspend(request.target_id, False)  # read back by the proof that comes next
        return {"suspended": False}
