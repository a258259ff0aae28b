"""Finding out who somebody is, by a log-in whose session ends at once.

Intent, act, outcome: the device that a log-in makes is written down before, and forgotten once the homeserver was seen
to have it no more. What a crash leaves behind is ended afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from engine.unit_of_work import UnitsOfWork
from homeserver.accounts.backend import AccountBackend
from homeserver.client import person
from homeserver.client.api import Api, HomeserverError, NotFound, RateLimited, Refused, Unreachable
from homeserver.client.person import Offer, Session, StillThere
from storage import log_ins
from storage.database import StorageError

log = logging.getLogger(__name__)

OFFER_FOR = 60.0
"""Seconds for which what the homeserver offers isn't asked again."""
SIDE_BY_SIDE = 4
LOOK_EVERY = 60.0
"""Seconds between looks for sessions that were left."""
_DEVICE = "LETHEPROOF"


class Proving:
    """Logs people in and out again."""

    def __init__(self, units: UnitsOfWork, accounts: AccountBackend, api: Api, base_url: str) -> None:
        """
        Args:
            api: of the homeserver; its token isn't used.
            base_url: where we reach the homeserver.
        """
        self._units = units
        self._accounts = accounts
        self._api = api.with_token(None)
        self._base_url = base_url
        self._offer: tuple[float, Offer] | None = None
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def offer(self) -> Offer:
        """What the homeserver offers. Raises: HomeserverError."""
        now = asyncio.get_running_loop().time()
        if self._offer is None or now > self._offer[0] + OFFER_FOR:
            self._offer = (now, await person.offered(self._api))
        return self._offer[1]

    async def sso_address(self, provider_id: str, return_to: str) -> str:
        """Where a browser begins single sign-on. Raises: HomeserverError."""
        return await person.sso_address(self._api, self._base_url, provider_id, return_to)

    async def by_password(self, user: str, password: str) -> str:
        """Who somebody is who knows this password; `user` is a Matrix ID or its localpart.

        Raises:
            Refused: nobody.
            HomeserverError: it can't be told, or the homeserver says wait.
        """
        user_id = user if user.startswith("@") else None
        return await self._proved(user_id, lambda device: person.by_password(self._api, user, password, device))

    async def by_token(self, token: str) -> str:
        """Who somebody is who came back from single sign-on with this token. Raises: as `by_password`."""
        return await self._proved(None, lambda device: person.by_token(self._api, token, device))

    async def _proved(self, user_id: str | None, log_in: Callable[[str], Awaitable[Session]]) -> str:
        device_id = _DEVICE + secrets.token_hex(8).upper()
        await self._begun(device_id, user_id)
        try:
            async with self._slots:
                session = await log_in(device_id)
        except (Refused, RateLimited):
            await self._gone(device_id)
            raise
        await self._begun(session.device_id, session.user_id)
        # Whatever happens to the browser's request, the session doesn't stay.
        await asyncio.shield(self._end(session))
        return session.user_id

    async def _end(self, session: Session) -> None:
        try:
            await person.end(self._api, session)
        except (StillThere, Refused, RateLimited):
            # Not an answer to the log-in, which went well: without this the person would read that it failed.
            await self._end_as_admin(session)
        await self._seen_gone(session.user_id, session.device_id)

    async def _end_as_admin(self, session: Session) -> None:
        try:
            await self._accounts.end_device(session.user_id, session.device_id)
        except (Refused, RateLimited) as error:
            raise StillThere(f"the device {session.device_id} of {session.user_id} is still there: {error}") from None

    async def _seen_gone(self, user_id: str, device_id: str) -> None:
        if device_id in await self._accounts.devices(user_id):
            raise StillThere(f"the device {device_id} of {user_id} is still there")
        await self._gone(device_id)

    async def _begun(self, device_id: str, user_id: str | None) -> None:
        async with self._units.database.transaction() as tx:
            await log_ins.begun(tx, device_id, user_id, self._units.clock())

    async def _gone(self, device_id: str) -> None:
        async with self._units.database.transaction() as tx:
            await log_ins.gone(tx, device_id)

    async def run(self) -> None:
        """Ends what was left, until cancelled: a crash or an outage came between a log-in and its end."""
        while True:
            try:
                await self._end_left()
            except (HomeserverError, StorageError) as error:
                log.warning("a session that a log-in on the page made can't be ended yet: %s", error)
            await asyncio.sleep(LOOK_EVERY)

    async def _end_left(self) -> None:
        async with self._units.database.transaction() as tx:
            left = await log_ins.left(tx, self._units.clock() - int(LOOK_EVERY * 1000))
        for user_id, device_id in left:
            try:
                await self._accounts.end_device(user_id, device_id)
                await self._seen_gone(user_id, device_id)
            except NotFound:
                await self._gone(device_id)  # there is no such account (any more)
            except Unreachable:
                raise
            except HomeserverError as error:
                # It stays on the list: a right that is missing now, or one account's trouble, is no end of a session.
                log.warning("the session %s of %s can't be ended yet: %s", device_id, user_id, error)
