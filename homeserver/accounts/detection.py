"""Who keeps a homeserver's accounts: Synapse itself, or a service beside it. Asked before there is a token."""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.client.api import Api, BadAnswer, NotFound


@dataclass(frozen=True, slots=True)
class AuthService:
    """The Matrix Authentication Service that keeps a homeserver's accounts."""

    issuer: str
    """Its address, as it names itself."""
    token_endpoint: str
    """Where tokens are had."""


async def auth_service(api: Api) -> AuthService | None:
    """The service that keeps the accounts, None where Synapse does: asks for that service's metadata.

    `GET /_matrix/client/v1/auth_metadata`, then its older name. Only a 404 of Synapse itself to both is "none".

    Raises:
        ServerFault: such a service is configured but can't be reached.
    """
    for path in (
        "/_matrix/client/v1/auth_metadata",
        "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
    ):
        try:
            answer = await api.call("GET", path)
        except NotFound as error:
            if error.errcode not in ("M_UNRECOGNIZED", "M_NOT_FOUND"):
                raise
            continue
        issuer = answer.get("issuer")
        if not isinstance(issuer, str):
            raise BadAnswer(f"GET {path}: the answer names no issuer")
        endpoint = answer.get("token_endpoint")
        return AuthService(issuer, endpoint if isinstance(endpoint, str) else issuer.rstrip("/") + "/oauth2/token")
    return None


async def uses_mas(api: Api) -> bool:
    """Whether accounts live in a Matrix Authentication Service. Raises: as `auth_service`."""
    return await auth_service(api) is not None
