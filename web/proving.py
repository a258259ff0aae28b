"""Finding out who somebody is, by a log-in whose session ends at once.

Intent, act, outcome: the device that a log-in makes is written down before, and forgotten once the homeserver was seen
to have it no more. What a crash leaves behind is ended afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.unit_of_work import UnitsOfWork
from homeserver.accounts import oauth
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.detection import AuthService
from homeserver.accounts.oauth import Attempt, Client
from homeserver.client import person
from homeserver.client.api import Api, HomeserverError, NotFound, RateLimited, Refused, Unreachable
from homeserver.client.person import Offer, Provider, Session, StillThere
from storage import log_ins
from storage.database import StorageError

log = logging.getLogger(__name__)

OFFER_FOR = 60.0
"""Seconds for which what the homeserver offers isn't asked again."""
SIDE_BY_SIDE = 4
JUST_NOW_MS = 60_000
"""Milliseconds that somebody may have logged in elsewhere before they went there from here: clocks differ a little."""
LOOK_EVERY = 60.0
"""Seconds between looks for sessions that were left."""
_DEVICE = "LETHEPROOF"


@dataclass(frozen=True, slots=True)
class Away:
    """A browser goes elsewhere to log in."""

    to: str
    """Where it goes."""
    state: str
    """What it has to come back with."""
    attempt: Attempt | None = None
    """What has to be known then; None where nothing has."""


class NotAnew(Refused):
    """The service knew the person from before, and didn't ask them to prove anything."""


def _new_device() -> str:
    return _DEVICE + secrets.token_hex(8).upper()


class Proving:
    """Logs people in and out again."""

    def __init__(
        self,
        units: UnitsOfWork,
        accounts: AccountBackend,
        api: Api,
        base_url: str,
        client_id: str | None = None,
    ) -> None:
        """
        Args:
            api: of the homeserver; its token isn't used.
            base_url: where we reach the homeserver.
            client_id: what we are to the MAS that keeps the accounts; None where we make ourselves known.
        """
        self._units = units
        self._service = accounts.service
        self._client_id = client_id
        self._client: Client | None = None
        self._accounts = accounts
        self._api = api.with_token(None)
        self._base_url = base_url
        self._offer: tuple[float, Offer] | None = None
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def offer(self) -> Offer:
        """What the homeserver offers. Raises: HomeserverError."""
        if self._service is not None:
            return Offer(False, (Provider("", ""),), elsewhere=True)
        now = asyncio.get_running_loop().time()
        if self._offer is None or now > self._offer[0] + OFFER_FOR:
            self._offer = (now, await person.offered(self._api))
        return self._offer[1]

    async def begin(self, provider_id: str, return_to: str) -> Away:
        """Where a browser goes to log in elsewhere, and what has to be known when it comes back.

        Args:
            provider_id: of the offer's providers.
            return_to: where it comes back.

        Raises:
            HomeserverError: it can't go.
        """
        state = secrets.token_urlsafe(32)
        if self._service is None:
            separator = "&" if "?" in return_to else "?"
            to = await person.sso_address(
                self._api, self._base_url, provider_id, f"{return_to}{separator}state={state}"
            )
            return Away(to, state)
        client, attempt = await self._known(self._service, return_to), Attempt(_new_device())
        return Away(oauth.address(self._service, client, state, attempt), state, attempt)

    async def _known(self, service: AuthService, redirect_uri: str) -> Client:
        """What we are to the service. Once for each start of the bot: it forgets clients that nobody uses."""
        if self._client is None and self._client_id is not None:
            self._client = Client(self._client_id, redirect_uri)
        if self._client is None:
            page = redirect_uri.removesuffix("/return")
            self._client = await oauth.register(self._api, service, "Lethe", page, redirect_uri)
        return self._client

    async def by_password(self, user: str, password: str) -> str:
        """Who somebody is who knows this password; `user` is a Matrix ID or its localpart.

        Raises:
            Refused: nobody.
            HomeserverError: it can't be told, or the homeserver says wait.
        """
        user_id = user if user.startswith("@") else None
        log_in = person.by_password
        session = await self._proved(user_id, _new_device(), lambda device: log_in(self._api, user, password, device))
        return session.user_id

    async def by_token(self, token: str) -> str:
        """Who somebody is who came back from single sign-on with this token. Raises: as `by_password`."""
        session = await self._proved(None, _new_device(), lambda device: person.by_token(self._api, token, device))
        return session.user_id

    async def by_code(self, code: str, attempt: Attempt, went_ts: int, return_to: str) -> str:
        """Who somebody is who came back from the service that keeps the accounts.

        Args:
            went_ts: when they went there, in milliseconds since 1970.
            return_to: where they came back, as it was said to `begin`.

        Raises:
            NotAnew: they, or whoever sits there, went through without proving anything.
            HomeserverError: as `by_password`.
        """
        if self._service is None:
            raise Refused("no log-in by code began here", 403)
        service, client = self._service, await self._known(self._service, return_to)
        session = await self._proved(
            None, attempt.device_id, lambda _: oauth.log_in(self._api, service, client, code, attempt)
        )
        if session.proved_ts is None or session.proved_ts < went_ts - JUST_NOW_MS:
            raise NotAnew("the service didn't ask the person to log in anew", 403)
        return session.user_id

    async def _proved(
        self, user_id: str | None, device_id: str, log_in: Callable[[str], Awaitable[Session]]
    ) -> Session:
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
        return session

    async def _end(self, session: Session) -> None:
        try:
            if self._service is not None and self._client is not None:
                await oauth.end(self._api, self._service, self._client, session.access_token)
                # The service tells the homeserver later; what we ask for ourselves is true at once.
                await self._accounts.end_session(session.user_id, session.device_id)
                await person.seen_dead(self._api, session)
            else:
                await person.end(self._api, session)
        except (StillThere, Refused, RateLimited):
            # Not an answer to the log-in, which went well: without this the person would read that it failed.
            await self._end_as_admin(session)
        await self._seen_gone(session.user_id, session.device_id)

    async def _end_as_admin(self, session: Session) -> None:
        try:
            await self._accounts.end_session(session.user_id, session.device_id)
        except (Refused, RateLimited) as error:
            raise StillThere(f"the device {session.device_id} of {session.user_id} is still there: {error}") from None

    async def _seen_gone(self, user_id: str, device_id: str) -> None:
        if await self._accounts.has_session(user_id, device_id):
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
                await self._accounts.end_session(user_id, device_id)
                await self._seen_gone(user_id, device_id)
            except NotFound:
                await self._gone(device_id)  # there is no such account (any more)
            except Unreachable:
                raise
            except HomeserverError as error:
                # It stays on the list: a right that is missing now, or one account's trouble, is no end of a session.
                log.warning("the session %s of %s can't be ended yet: %s", device_id, user_id, error)
