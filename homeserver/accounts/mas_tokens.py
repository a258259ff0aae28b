"""The token that opens MAS's admin API: fetched with the bot's client credentials, or a personal session's.

Sources: RFC 6749, 2.3.1 (client authentication), 4.4 (client credentials), 5.2 (errors); MAS's documentation,
"Admin API".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from homeserver.accounts.mas_models import TokenAnswer
from homeserver.accounts.models import read
from homeserver.client.api import Api, BadToken, Forbidden, Refused

SCOPE = "urn:mas:admin"
EARLY = 30.0
"""Seconds before its end from which on a token is no longer used: a request takes its time, and clocks differ."""


class CredentialsRefused(BadToken):
    """MAS doesn't take the bot's credentials. A person has to mend that; `str()` says what to look at."""


class Tokens(Protocol):
    """Gives the token to ask with."""

    async def token(self) -> str:
        """A token that should be valid. Raises: CredentialsRefused, HomeserverError."""
        ...

    async def instead_of(self, refused: str) -> str | None:
        """Another token in place of one that was refused, None where there is no other. Raises: as `token`."""
        ...


class ClientCredentials:
    """Tokens for a client that MAS knows from its configuration. Kept in memory for as long as they are valid.

    Args:
        api: reaches the token endpoint; without a token.
        path: of the token endpoint.
        clock: seconds that only grow.
    """

    def __init__(
        self, api: Api, path: str, client_id: str, client_secret: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._path = path
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._fetching = asyncio.Lock()

    async def token(self) -> str:
        """The token, a new one where the last ends soon."""
        async with self._fetching:
            if not self._token or self._clock() >= self._until:
                await self._fetch()
            return self._token

    async def instead_of(self, refused: str) -> str | None:
        """A new token; the one that somebody else fetched meanwhile, where somebody did."""
        async with self._fetching:
            # Empty: whoever renewed it meanwhile didn't get one.
            if self._token in ("", refused):
                await self._fetch()
            return self._token

    async def _fetch(self) -> None:
        asked = self._clock()
        self._token = ""
        try:
            answer = await self._api.form(
                self._path,
                {"grant_type": "client_credentials", "scope": SCOPE},
                user=self._client_id,
                password=self._client_secret,
            )
        except Refused as error:
            raise CredentialsRefused(_why(error, self._client_id), error.status, error.errcode, error.message) from None
        fetched = read(TokenAnswer, "the log-in to MAS", answer)
        if fetched.scope is not None and SCOPE not in fetched.scope.split():
            sentence = (
                f"MAS gives the client {self._client_id} no token for {SCOPE}: list it under policy.data.admin_clients"
            )
            raise CredentialsRefused(sentence, 403)
        self._token = fetched.access_token
        lifetime = fetched.expires_in if fetched.expires_in is not None else 0
        self._until = asked + max(lifetime - EARLY, lifetime / 2)


def _why(error: Refused, client_id: str) -> str:
    """What to look at. MAS says `invalid_client` for a client or secret it doesn't know."""
    if error.message.startswith("invalid_client") or (isinstance(error, BadToken) and not error.message):
        return (
            f"MAS doesn't take homeserver.mas.client_id ({client_id}) with this secret ({error}). It has to stand "
            "under `clients` in MAS's configuration with client_auth_method client_secret_basic, and be in MAS's "
            "database: mas-cli config sync"
        )
    if error.message.startswith(("access_denied", "unauthorized_client", "invalid_scope")) or isinstance(
        error, Forbidden
    ):
        return (
            f"MAS doesn't let the client {client_id} use the admin API ({error}). List it under "
            "policy.data.admin_clients in MAS's configuration"
        )
    return f"MAS refuses to log the client {client_id} in ({error})"


class TokenFile:
    """The token of a personal session, in a file. Read each time, so that a regenerated one counts at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """The token that the file holds now."""
        try:
            token = (await asyncio.to_thread(self._path.read_text, "utf-8")).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsRefused(f"homeserver.mas.token_file: {self._path} can't be read: {error}", 401) from None
        if not token or len(token.split()) != 1 or not token.isascii():
            raise CredentialsRefused(f"homeserver.mas.token_file: {self._path} must hold one token and no more", 401)
        return token

    async def instead_of(self, refused: str) -> str | None:
        """What the file holds by now, where that is another token."""
        now = await self.token()
        return None if now == refused else now
