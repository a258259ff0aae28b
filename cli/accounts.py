"""Finds out who keeps the accounts, and opens the way to them: Synapse, or Synapse with its MAS."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp

from config import Mas, Settings
from homeserver.accounts.detection import AuthService, auth_service
from homeserver.accounts.mas import SynapseWithMas
from homeserver.accounts.mas_api import MasAdmin
from homeserver.accounts.mas_tokens import ClientCredentials, TokenFile, Tokens
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api
from homeserver.client.clock import HomeserverClock


class Mismatch(Exception):
    """The settings don't fit the server; `str()` says what to change."""


async def found_service(
    settings: Settings, session: aiohttp.ClientSession, clock: HomeserverClock | None = None
) -> AuthService | None:
    """The MAS that keeps the accounts, None where Synapse does. Needs no token.

    Args:
        clock: learns the homeserver's time of the answers.

    Raises:
        Mismatch: the settings say otherwise.
        HomeserverError: it can't be told.
    """
    service = await auth_service(Api(session, settings.homeserver.url, None, clock))
    if service is not None and not settings.homeserver.mas.given:
        raise Mismatch(
            "The accounts of this homeserver live in the Matrix Authentication Service (MAS) "
            f"{service.issuer}. There, Synapse's own deactivation answers “done” and the account can log in again, so "
            "Lethe needs a way into MAS's admin API: the settings under homeserver.mas (see docs/install-mas.md)."
        )
    if service is None and settings.homeserver.mas.given:
        raise Mismatch(
            "homeserver.mas is set, but this homeserver says that it keeps its accounts itself (it has no "
            "auth_metadata). Take homeserver.mas out of the settings, or set up MAS in Synapse's own configuration "
            "(matrix_authentication_service)."
        )
    return service


def open_accounts(
    settings: Settings, service: AuthService | None, session: aiohttp.ClientSession, api: Api
) -> Synapse | SynapseWithMas:
    """The way to the accounts.

    Args:
        service: what `found_service` said.
        session: for MAS; owned, and closed, by the caller.
        api: the homeserver, with the token of a server admin.
    """
    if service is None:
        return Synapse(api)
    mas = settings.homeserver.mas
    return SynapseWithMas(api, MasAdmin(session, mas.url or service.issuer, _tokens(mas, service, session)), service)


def _tokens(mas: Mas, service: AuthService, session: aiohttp.ClientSession) -> Tokens:
    if mas.token_file is not None:
        return TokenFile(mas.token_file)
    endpoint = urlsplit(service.token_endpoint)
    api = Api(session, f"{endpoint.scheme}://{endpoint.netloc}", None)
    secret = mas.client_secret.get_secret_value() if mas.client_secret else ""
    return ClientCredentials(api, endpoint.path, mas.client_id or "", secret)
