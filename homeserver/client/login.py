"""Logging in and out, and whose a token is. Nothing here uploads keys, so `check` may use it too."""

from __future__ import annotations

from homeserver.client.api import Api, BadAnswer, BadToken, HomeserverError, Refused
from homeserver.client.credentials import Credentials, DeadToken, LoginRefused

DEVICE_NAME = "Lethe"
_LOGIN = "/_matrix/client/v3/login"


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
        answer = await api.call("POST", _LOGIN, json=body)
    except Refused as error:
        why = f"the homeserver refuses to log {user_id} in: {error}"
        if error.errcode == "M_FORBIDDEN":
            name = await _name_of(api, user_id, password)
            why += ". Is the password right, and is there such an account that isn't deactivated?"
            if name is not None:
                why = f"the homeserver is {name}, but {user_id} is of another server: correct user_id or the address"
        raise LoginRefused(why) from None
    values = [answer.get(name) for name in ("user_id", "device_id", "access_token")]
    if not all(isinstance(value, str) and value for value in values):
        raise BadAnswer("POST /_matrix/client/v3/login: the answer lacks what a login gives")
    return Credentials(*map(str, values))


async def _name_of(api: Api, user_id: str, password: str) -> str | None:
    """The homeserver's own name, where it is another than this user's; None where it is the same or isn't told.

    Asked of its keys (`GET /_matrix/key/v2/server`). A listener without those still names the account where the first
    part of the Matrix ID and the password are right.
    """
    localpart, _, server_name = user_id[1:].partition(":")
    try:
        name = (await api.call("GET", "/_matrix/key/v2/server")).get("server_name")
        return name if isinstance(name, str) and name != server_name else None
    except HomeserverError:
        pass
    identifier = {"type": "m.id.user", "user": localpart}
    try:
        answer = await api.call(
            "POST", _LOGIN, json={"type": "m.login.password", "identifier": identifier, "password": password}
        )
        found = str(answer.get("user_id")).partition(":")[2]
        await logout(api.with_token(str(answer.get("access_token"))))
    except HomeserverError:
        return None
    return found if found and found != server_name else None


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
