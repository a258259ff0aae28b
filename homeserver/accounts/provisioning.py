"""The bot's own account, made and made a server admin: what `init` asks of Synapse, with somebody else's rights.

Where accounts live in a Matrix Authentication Service, Synapse answers 404 to all of this; see `mas_lines`.

Sources: Synapse admin API, `PUT /_synapse/admin/v2/users/{user_id}`, `PUT /_synapse/admin/v1/users/{user_id}/admin`,
"Shared-Secret Registration" (`/_synapse/admin/v1/register`); MAS, `mas-cli manage`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shlex
import time

from homeserver.client.api import Api, BadAnswer, Refused

_USER = "/_synapse/admin/v2/users/{}"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def mas_lines(localpart: str) -> tuple[str, str]:
    """What only MAS's command line can do: make the account, and give out a token that is a server admin's."""
    name = shlex.quote(localpart)
    return (
        f"mas-cli manage register-user --yes {name}",
        f"mas-cli manage issue-compatibility-token {name} --yes-i-want-to-grant-synapse-admin-privileges",
    )


def mas_client_lines(client_id: str, secret: str) -> tuple[str, ...]:
    """What MAS's own configuration needs, so that the bot may use its admin API."""
    return (
        "clients:",
        f"  - client_id: {client_id}",
        "    client_auth_method: client_secret_basic",
        f'    client_secret: "{secret}"',
        "policy:",
        "  data:",
        f"    admin_clients: [{client_id}]",
    )


def new_ulid() -> str:
    """A new id as MAS has them. Source: https://github.com/ulid/spec."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


async def create_admin(api: Api, user_id: str, password: str) -> None:
    """Makes the account, a server admin. Only where there is none: on an existing one it would set the password.

    Args:
        api: with a server admin's token.

    Raises:
        HomeserverError: as in homeserver.client.api.
    """
    body = {"password": password, "admin": True, "user_type": "bot"}
    answer = await api.call("PUT", _USER, user_id, json=body, timeout=60.0)
    if answer.get("name") != user_id or not answer.get("admin"):
        raise BadAnswer(f"PUT v2/users/{user_id}: the answer doesn't confirm the account")


async def set_password(api: Api, user_id: str, password: str) -> None:
    """Gives an existing account a new password, and ends all its sessions.

    Raises:
        HomeserverError: as in homeserver.client.api.
    """
    await api.call("PUT", _USER, user_id, json={"password": password, "logout_devices": True}, timeout=60.0)


async def make_admin(api: Api, user_id: str) -> None:
    """Makes an existing account a server admin. Safe to repeat.

    Raises:
        NotFound: no such account, or accounts live in MAS.
        HomeserverError: as in homeserver.client.api.
    """
    await api.call("PUT", "/_synapse/admin/v1/users/{}/admin", user_id, json={"admin": True})


async def other_admins(api: Api, user_id: str) -> tuple[str, ...]:
    """The server admins beside this account, two at most: enough to know whether there is only one.

    Args:
        api: with a server admin's token.

    Raises:
        HomeserverError: as in homeserver.client.api.
    """
    found = await api.call("GET", "/_synapse/admin/v2/users", params={"admins": "true", "limit": "3"})
    users = found.get("users")
    if not isinstance(users, list):
        raise BadAnswer("GET v2/users: the answer lacks users")
    names = [str(each["name"]) for each in users if isinstance(each, dict) and isinstance(each.get("name"), str)]
    return tuple(each for each in names if each != user_id)[:2]


async def register_admin(api: Api, localpart: str, password: str, secret: str) -> bool:
    """Registers the account as a server admin by the shared secret of homeserver.yaml; the session that this makes is
    ended at once.

    Args:
        api: without a token.

    Returns:
        False where the name is taken.

    Raises:
        Forbidden: the secret is wrong.
        Refused: registration by a shared secret isn't switched on.
        HomeserverError: as in homeserver.client.api.
    """
    path = "/_synapse/admin/v1/register"
    nonce = (await api.call("GET", path)).get("nonce")
    if not isinstance(nonce, str):
        raise BadAnswer(f"GET {path}: the answer lacks nonce")
    signed = b"\x00".join(each.encode() for each in (nonce, localpart, password, "admin"))
    mac = hmac.new(secret.encode(), signed, hashlib.sha1).hexdigest()  # the API's choice
    # `inhibit_login` isn't known to this path: it always logs in, as a device that nobody needs.
    body = {"nonce": nonce, "username": localpart, "password": password, "admin": True, "mac": mac}
    try:
        answer = await api.call("POST", path, json=body, timeout=60.0)
    except Refused as error:
        if error.errcode == "M_USER_IN_USE":
            return False
        raise
    token = answer.get("access_token")
    if isinstance(token, str):
        await api.with_token(token).call("POST", "/_matrix/client/v3/logout", json={})
    return True
