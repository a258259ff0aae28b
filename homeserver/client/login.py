"""Logging in and out, and whose a token is. Nothing here uploads keys, so `check` may use it too."""

from __future__ import annotations

from homeserver.client.api import Api, BadAnswer, BadToken, Refused
from homeserver.client.credentials import Credentials, DeadToken, LoginRefused

DEVICE_NAME = "Lethe"


async def login(api: Api, user_id: str, password: str, device_id: str | None = None) -> Credentials:
    """Logs in with a password.

    Args:
        api: without a token.
        user_id: the full Matrix ID.
        password: is a part of no error.
        device_id: to be this device again; None makes a new one.

    Raises:
        LoginRefused: wrong password, deactivated, or the homeserver takes no passwords.
        HomeserverError: it didn't answer, or asks to wait.

    Source: `POST /_matrix/client/v3/login`.
    """
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user_id},
        "password": password,
        "initial_device_display_name": DEVICE_NAME,
    }
    if device_id is not None:
        body["device_id"] = device_id
    try:
        answer = await api.call("POST", "/_matrix/client/v3/login", json=body)
    except Refused as error:
        raise LoginRefused(f"the homeserver refuses to log {user_id} in: {error}") from None
    values = [answer.get(name) for name in ("user_id", "device_id", "access_token")]
    if not all(isinstance(value, str) and value for value in values):
        raise BadAnswer("POST /_matrix/client/v3/login: the answer lacks what a login gives")
    return Credentials(*map(str, values))


async def logout(api: Api) -> None:
    """Ends the token, and the device it belongs to.

    Raises:
        HomeserverError: it didn't work; a token that is dead already is no error.

    Source: `POST /_matrix/client/v3/logout`.
    """
    try:
        await api.call("POST", "/_matrix/client/v3/logout", json={})
    except BadToken:
        return


async def whoami(api: Api) -> tuple[str, str | None]:
    """The user and the device of a token; a token made without a login has no device.

    Raises:
        DeadToken: the homeserver doesn't know the token.
        HomeserverError: it didn't answer, or asks to wait.

    Source: `GET /_matrix/client/v3/account/whoami`.
    """
    try:
        answer = await api.call("GET", "/_matrix/client/v3/account/whoami")
    except BadToken:
        raise DeadToken("the homeserver doesn't know the access token (any more)") from None
    user_id, device_id = answer.get("user_id"), answer.get("device_id")
    if not isinstance(user_id, str):
        raise BadAnswer("GET /_matrix/client/v3/account/whoami: the answer lacks user_id")
    return user_id, device_id if isinstance(device_id, str) else None
