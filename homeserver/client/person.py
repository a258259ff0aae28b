"""Logging a person in, only to learn who they are: what the homeserver offers for it, and the end of the session.

Sources: Matrix client-server API, "Login" (`GET` and `POST /_matrix/client/v3/login`), "SSO client login",
"Identity provider" (`identity_providers`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from homeserver.client.api import Api, BadAnswer, HomeserverError
from homeserver.client.credentials import DeadToken
from homeserver.client.login import logout, whoami

DEVICE_NAME = "Lethe: who are you? (ends at once)"
_ID = re.compile(r"[A-Za-z0-9._~-]{1,255}")
"""An opaque identifier of the specification, which stands in a path as it is."""
_LOGIN = "/_matrix/client/v3/login"
_SSO = "/_matrix/client/v3/login/sso/redirect"


@dataclass(frozen=True, slots=True)
class Provider:
    """One way of single sign-on. Without an id it is the homeserver's only one."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Offer:
    """How people can log in at a homeserver."""

    password: bool
    providers: tuple[Provider, ...]
    elsewhere: bool = False
    """Whether the log-in is another service's, which has to ask the person anew."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that was made by a log-in. The token is never a part of `repr`."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)
    proved_ts: int | None = None
    """When the person typed a password or the like for it, where that is said; in milliseconds since 1970."""


class StillThere(HomeserverError):
    """The session that a log-in made was ended, but the homeserver still takes its token."""


async def offered(api: Api) -> Offer:
    """What the homeserver offers. Raises: HomeserverError."""
    flows = (await api.call("GET", _LOGIN)).get("flows")
    found = [flow for flow in flows if isinstance(flow, dict)] if isinstance(flows, list) else []
    kinds = {flow.get("type") for flow in found}
    providers: list[Provider] = []
    for flow in found:
        if flow.get("type") == "m.login.sso" and "m.login.token" in kinds:
            named = flow.get("identity_providers")
            known = [_provider(each) for each in named] if isinstance(named, list) else []
            providers += [each for each in known if each is not None] or [Provider("", "")]
    return Offer("m.login.password" in kinds, tuple(providers))


def _provider(found: object) -> Provider | None:
    provider_id = found.get("id") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(provider_id, str) or not _ID.fullmatch(provider_id):
        return None
    name = found.get("name")
    return Provider(provider_id, name if isinstance(name, str) else provider_id)


async def sso_address(api: Api, base_url: str, provider_id: str, return_to: str) -> str:
    """Where a browser begins single sign-on: the homeserver's own page, at the address that browsers know it by.

    Args:
        base_url: where we reach it, which may be an address that browsers don't: Synapse then leads to the other.
        return_to: where the browser comes back with `loginToken`.

    Raises:
        HomeserverError: it can't be asked, or knows no such provider.
    """
    path, ids = (f"{_SSO}/{{}}", (provider_id,)) if provider_id else (_SSO, ())
    params = {"redirectUrl": return_to}
    found = await api.leads_to(path, *ids, params=params)
    return found if _SSO in found else api.address(base_url, path, *ids, params=params)


async def by_password(api: Api, user: str, password: str, device_id: str) -> Session:
    """Logs in. Args: user: a Matrix ID or its localpart. Raises: HomeserverError."""
    identifier = {"type": "m.id.user", "user": user}
    return await _log_in(api, {"type": "m.login.password", "identifier": identifier, "password": password}, device_id)


async def by_token(api: Api, token: str, device_id: str) -> Session:
    """Logs in with what came back from single sign-on. Raises: HomeserverError."""
    return await _log_in(api, {"type": "m.login.token", "token": token}, device_id)


async def _log_in(api: Api, how: Mapping[str, Any], device_id: str) -> Session:
    body = {**how, "device_id": device_id, "initial_device_display_name": DEVICE_NAME}
    answer = await api.call("POST", _LOGIN, json=body)
    values = [answer.get(name) for name in ("user_id", "device_id", "access_token")]
    if not all(isinstance(value, str) and value for value in values):
        raise BadAnswer(f"POST {_LOGIN}: the answer lacks what a login gives")
    user_id, device, token = map(str, values)
    return Session(user_id, device, token)


async def end(api: Api, session: Session) -> None:
    """Ends a session, and reads back that it is gone.

    Raises:
        StillThere: the homeserver still takes its token.
        HomeserverError: it can't be told.
    """
    await logout(api.with_token(session.access_token))
    await seen_dead(api, session)


async def seen_dead(api: Api, session: Session) -> None:
    """Reads back that nobody can use a session any more. Raises: as `end`."""
    try:
        await whoami(api.with_token(session.access_token))
    except DeadToken:
        return
    raise StillThere(f"the device {session.device_id} of {session.user_id} is still logged in")
