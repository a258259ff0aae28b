"""Who keeps a homeserver's accounts: Synapse itself, or a service beside it. Asked before there is a token."""

from __future__ import annotations

from homeserver.client.api import Api, BadAnswer, NotFound


async def uses_mas(api: Api) -> bool:
    """Whether accounts live in a Matrix Authentication Service: asks for that service's metadata.

    `GET /_matrix/client/v1/auth_metadata`, then its older name. Only a 404 of Synapse itself to both is "no".

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
        if not isinstance(answer.get("issuer"), str):
            raise BadAnswer(f"GET {path}: the answer names no issuer")
        return True
    return False
