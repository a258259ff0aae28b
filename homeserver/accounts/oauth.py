"""A person's log-in at a Matrix Authentication Service: OAuth 2's code flow with PKCE, and the end of the session.

Sources: Matrix client-server API, "OAuth 2.0 API" (scopes, client registration, token revocation); RFC 6749, 4.1;
RFC 7636 (PKCE); RFC 7591 (registration); RFC 7009 (revocation); OpenID Connect Core 1.0, 2 and 3.1.3.7 (`auth_time`).
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from homeserver.accounts.detection import AuthService
from homeserver.client.api import Api, BadAnswer, BadToken, HomeserverError, Refused
from homeserver.client.credentials import DeadToken
from homeserver.client.login import whoami
from homeserver.client.person import Session

_API = ("urn:matrix:org.matrix.msc2967.client:api:*", "urn:matrix:client:api:*")
_DEVICE = ("urn:matrix:org.matrix.msc2967.client:device:", "urn:matrix:client:device:")


@dataclass(frozen=True, slots=True)
class Client:
    """What we are to the service."""

    client_id: str
    redirect_uri: str


def _random() -> str:
    return secrets.token_urlsafe(48)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One log-in that a browser went away for. The service gets a hash of the verifier, and the nonce."""

    device_id: str
    """Of the session that it makes."""
    verifier: str = field(default_factory=_random, repr=False)
    nonce: str = field(default_factory=_random, repr=False)


async def register(api: Api, service: AuthService, name: str, page: str, redirect_uri: str) -> Client:
    """Makes us known to the service as a program that has no secret. The same again gives the same client, or another.

    Args:
        api: reaches any server.
        page: our own address.
        redirect_uri: where browsers come back.

    Raises:
        Refused: the service's policy doesn't allow it, or it takes no registrations.
        HomeserverError: it can't be asked.
    """
    if not service.registration_endpoint:
        raise Refused("the service takes no registrations: set self_service.web.client_id", 404)
    asked = {
        "client_name": name,
        "client_uri": page,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    }
    answer = await api.elsewhere(service.registration_endpoint).call("POST", "", json=asked)
    client_id = answer.get("client_id")
    if not isinstance(client_id, str) or not client_id:
        raise BadAnswer("the registration's answer lacks client_id")
    return Client(client_id, redirect_uri)


def address(service: AuthService, client: Client, state: str, attempt: Attempt) -> str:
    """Where a browser logs in.

    The service is asked to have the person log in even where they are logged in already (`prompt`). MAS takes no notice
    of that, as of version 1.22, so it is also asked when the person did (`openid`, which brings `auth_time`).
    """
    found: str = prepare_grant_uri(
        service.authorization_endpoint,
        client_id=client.client_id,
        response_type="code",
        redirect_uri=client.redirect_uri,
        scope=f"openid {_API[service.stable]} {_DEVICE[service.stable]}{attempt.device_id}",
        state=state,
        nonce=attempt.nonce,
        response_mode="query",
        prompt="login",
        code_challenge=create_s256_code_challenge(attempt.verifier),
        code_challenge_method="S256",
    )
    return found


async def log_in(api: Api, service: AuthService, client: Client, code: str, attempt: Attempt) -> Session:
    """Makes a session of the code that a browser came back with, and asks the homeserver whose it is.

    A session of which that can't be told is ended.

    Args:
        api: of the homeserver, without a token.

    Raises:
        Refused: the code isn't good (any more).
        HomeserverError: it can't be told.
    """
    answer = await api.elsewhere(service.token_endpoint).form(
        "",
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect_uri,
            "client_id": client.client_id,
            "code_verifier": attempt.verifier,
        },
    )
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise BadAnswer("the answer of the token endpoint lacks access_token")
    try:
        user_id, device = await whoami(api.with_token(token))
    except (DeadToken, HomeserverError) as error:
        await end(api, service, client, token)
        raise BadAnswer(f"the homeserver doesn't say whose the token is that the service gave: {error}") from None
    proved_ts = _authenticated_ts(answer.get("id_token"), service, client, attempt)
    return Session(user_id, device or attempt.device_id, token, proved_ts)


def _authenticated_ts(id_token: object, service: AuthService, client: Client, attempt: Attempt) -> int | None:
    """When the person last proved to the service who they are, in milliseconds since 1970; None where it isn't said.

    The signature isn't looked at: the token came from the service itself, as the access token did beside it (OpenID
    Connect Core 1.0, 3.1.3.7, 6.).
    """
    try:
        payload = str(id_token).split(".")[1]
        claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        about_this = claims["iss"] == service.issuer and audience == [client.client_id]
        return int(claims["auth_time"]) * 1000 if about_this and claims["nonce"] == attempt.nonce else None
    except (IndexError, KeyError, TypeError, ValueError):
        return None


async def end(api: Api, service: AuthService, client: Client, token: str) -> None:
    """Ends a session. The homeserver may hear of it a little later.

    Raises:
        HomeserverError: it can't be told; a token that is dead already is no error.
    """
    if not service.revocation_endpoint:
        return
    fields = {"token": token, "token_type_hint": "access_token", "client_id": client.client_id}
    try:
        await api.elsewhere(service.revocation_endpoint).form("", fields)
    except (BadAnswer, BadToken):
        return  # RFC 7009, 2.2: what a success says means nothing. Whether the session is gone is read back.
