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
    authorization_endpoint: str = ""
    """Where browsers log in; empty where they can't."""
    registration_endpoint: str = ""
    """Where programs make themselves known; empty where they can't."""
    revocation_endpoint: str = ""
    """Where tokens are ended; empty where they can't be."""
    account_management_uri: str = ""
    """Where people look after their accounts; empty where there is no such page."""
    stable: bool = True
    """Whether the homeserver knows the specification's names, and not only those of its drafts."""

    @property
    def deactivation_page(self) -> str | None:
        """Where people can deactivate their account by themselves, None where there is no such page.

        Source: Matrix client-server API, "OAuth 2.0 API", account management.
        """
        uri = self.account_management_uri
        return f"{uri}{'&' if '?' in uri else '?'}action=org.matrix.account_deactivate" if uri else None


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
        names = (
            "authorization_endpoint", "registration_endpoint", "revocation_endpoint", "account_management_uri",
        )  # fmt: skip
        said = {name: answer[name] for name in names if isinstance(answer.get(name), str)}
        endpoint = answer.get("token_endpoint")
        endpoint = endpoint if isinstance(endpoint, str) else issuer.rstrip("/") + "/oauth2/token"
        return AuthService(issuer, endpoint, **said, stable="/unstable/" not in path)
    return None


async def uses_mas(api: Api) -> bool:
    """Whether accounts live in a Matrix Authentication Service. Raises: as `auth_service`."""
    return await auth_service(api) is not None
