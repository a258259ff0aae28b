"""A MAS for tests beside a real Synapse: what the tests need of one, and the stand-in that gives it.

`sandbox.real_mas` gives the same with a real MAS.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import aiohttp
from aiohttp import web

from sandbox.homeserver import Homeserver
from sandbox.mas_records import SESSIONS, Token, ulid
from sandbox.mas_stand_in import API_SCOPES, MAS_ADMIN, SYNAPSE_ADMIN, StandIn
from sandbox.synapse_process import free_port, new_secret

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MasAccess:
    """How the bot is let in."""

    url: str
    client_id: str
    client_secret: str

    @property
    def settings(self) -> dict[str, str]:
        """As the bot's settings have it, under `homeserver.mas`."""
        return {"client_id": self.client_id, "client_secret": self.client_secret}


class Mas(Protocol):
    """A MAS that tests can prepare."""

    access: MasAccess
    secret: str

    async def start(self, homeserver: Homeserver) -> None:
        """Starts it for a homeserver that runs already, with `synapse_config`."""
        ...

    async def close(self) -> None:
        """Ends it."""
        ...

    async def user(self, localpart: str, *, admin: bool = False) -> str:
        """A new account, in Synapse too; returns its id in MAS. `admin`: it can ask for admin rights."""
        ...

    async def log_in(self, localpart: str, *, admin: bool = False) -> tuple[str, str]:
        """A session with a device: token and device id. `admin`: with the rights of a server admin in Synapse."""
        ...

    async def furnish(self, localpart: str, email: str) -> None:
        """Gives an account an e-mail address, a link to single sign-on, and a session of each of the four kinds."""
        ...

    async def active(self, localpart: str) -> dict[str, int]:
        """How many sessions of each kind are active."""
        ...

    async def state(self, localpart: str) -> dict[str, Any]:
        """The account's attributes, and under `emails` and `links` how many of these it has."""
        ...

    async def lock(self, localpart: str) -> None:
        """Locks an account, by hand."""
        ...

    async def set_password(self, localpart: str, password: str) -> None:
        """Gives an account a password, where people need one."""
        ...

    async def age_log_ins(self, seconds: int) -> None:
        """Whoever logged in on its pages did it so much longer ago."""
        ...

    async def make_admin(self, localpart: str) -> None:
        """Lets an account ask for the rights of a server admin, by hand."""
        ...


def synapse_config(url: str, secret: str) -> dict[str, Any]:
    """What makes a Synapse leave accounts to the MAS at this address."""
    service = {"enabled": True, "endpoint": f"{url}/", "secret": secret}
    return {"matrix_authentication_service": service, "password_config": {"enabled": False}}


class StandInMas:
    """The stand-in, in a thread of its own: it goes on answering while a test waits, and between tests."""

    def __init__(self) -> None:
        self.port = free_port()
        self.secret = new_secret()
        self.access = MasAccess(f"http://127.0.0.1:{self.port}", ulid(), new_secret())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.ServerRunner
        self.service: StandIn

    async def start(self, homeserver: Homeserver) -> None:
        self._thread.start()
        await self._there(self._start(homeserver))

    async def _start(self, homeserver: Homeserver) -> None:
        self.service = StandIn(self.access.url, self.secret, (self.access.client_id, self.access.client_secret))
        self.service.session = aiohttp.ClientSession()
        self.service.server_name = homeserver.server_name
        self.service.homeserver = homeserver.base_url
        self._runner = web.ServerRunner(web.Server(self.service.handle))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def close(self) -> None:
        await self._there(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def _close(self) -> None:
        await self.service.close()
        await self._runner.cleanup()
        await self.service.session.close()

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def hold(self) -> None:
        """The queue stands still: what was asked for is answered, and doesn't happen."""
        self._loop.call_soon_threadsafe(self.service.open.clear)

    def release(self) -> None:
        """The queue goes on."""
        self._loop.call_soon_threadsafe(self.service.open.set)

    def change(self, localpart: str, **attributes: Any) -> None:
        """Changes what is kept of an account, and tells nobody."""
        self.service.records.things["users"][self._id(localpart)].update(attributes)

    def expire_tokens(self) -> None:
        """No token for the admin API is valid any more."""
        for token in self.service.records.tokens.values():
            if MAS_ADMIN in token.scope.split():
                token.until = 0.0

    def personal_token(self) -> str:
        """A token of a personal session with the right to the admin API."""
        token = "mpt_" + secrets.token_urlsafe(24)
        self.service.records.tokens[token] = Token(MAS_ADMIN, time.monotonic() + 86_400)
        return token

    def adopt(self, user_id: str, device_id: str, token: str, *, admin: bool = False) -> None:
        """Takes over an account and one of its tokens from a Synapse that needn't run, as moving to MAS does."""
        localpart = user_id[1:].partition(":")[0]
        if self.service.records.by_name(localpart) is None:
            self.service.new_user(localpart)
        self._session(localpart, device_id, token, admin)

    # --- preparing ---

    async def user(self, localpart: str, *, admin: bool = False) -> str:
        return await self._there(self.service.add_user(localpart, admin=admin))

    async def log_in(self, localpart: str, *, admin: bool = False) -> tuple[str, str]:
        return await self._there(self._log_in(localpart, admin))

    async def _log_in(self, localpart: str, admin: bool) -> tuple[str, str]:
        device_id, token = secrets.token_hex(5).upper(), "mct_" + secrets.token_urlsafe(24)
        await self.service.tell("upsert_device", {"localpart": localpart, "device_id": device_id})
        self._session(localpart, device_id, token, admin)
        return token, device_id

    def _session(self, localpart: str, device_id: str, token: str, admin: bool) -> None:
        records, user_id, kind = self.service.records, self._id(localpart), "compat-sessions"
        session_id = records.add(kind, user_id=user_id, device_id=device_id, finished_at=None, user_session_id=None)
        scope = f"{API_SCOPES} {SYNAPSE_ADMIN}" if admin else API_SCOPES
        records.tokens[token] = Token(scope, time.monotonic() + 86_400, kind, session_id, user_id, device_id)

    async def furnish(self, localpart: str, email: str) -> None:
        await self._there(self._furnish(localpart, email))

    async def _furnish(self, localpart: str, email: str) -> None:
        records, user_id = self.service.records, self._id(localpart)
        records.add("user-emails", user_id=user_id, email=email)
        await self.service.provision(user_id)
        providers = records.things["upstream-oauth-providers"]
        if not providers:
            records.add(
                "upstream-oauth-providers", issuer="https://sso.example/", human_name="Example SSO", brand_name=None,
                disabled_at=None, registration_token_required=False,
            )  # fmt: skip
        provider_id = next(iter(providers))
        records.add("upstream-oauth-links", user_id=user_id, provider_id=provider_id, subject=email)
        await self._log_in(localpart, False)
        device_id = secrets.token_hex(5).upper()
        await self.service.tell("upsert_device", {"localpart": localpart, "device_id": device_id})
        browser = records.add("user-sessions", user_id=user_id, finished_at=None)
        records.add(
            "oauth2-sessions", user_id=user_id, user_session_id=browser, client_id=ulid(), finished_at=None,
            scope=f"openid urn:matrix:client:api:* urn:matrix:client:device:{device_id}",
        )  # fmt: skip
        records.add(
            "personal-sessions", owner_user_id=None, owner_client_id=ulid(), actor_user_id=user_id,
            human_name="made by hand", scope="urn:matrix:client:api:*", revoked_at=None, expires_at=None,
        )  # fmt: skip

    async def active(self, localpart: str) -> dict[str, int]:
        user_id = self._id(localpart)
        return {kind: len(self.service.records.active(kind, user_id)) for kind in SESSIONS}

    async def state(self, localpart: str) -> dict[str, Any]:
        things, user_id = self.service.records.things, self._id(localpart)
        return {
            **things["users"][user_id],
            "emails": sum(each["user_id"] == user_id for each in things["user-emails"].values()),
            "links": sum(each["user_id"] == user_id for each in things["upstream-oauth-links"].values()),
        }

    async def lock(self, localpart: str) -> None:
        self.service.records.things["users"][self._id(localpart)]["locked_at"] = "2026-01-01T00:00:00Z"
        await self._there(self.service.provision(self._id(localpart)))

    async def set_password(self, localpart: str, password: str) -> None:
        """Nobody needs one."""

    async def age_log_ins(self, seconds: int) -> None:
        self.service.log_in.age(seconds)

    async def make_admin(self, localpart: str) -> None:
        self.service.records.things["users"][self._id(localpart)]["admin"] = True

    def _id(self, localpart: str) -> str:
        found = self.service.records.by_name(localpart)
        assert found is not None, f"MAS knows no {localpart}"  # noqa: S101
        return found
