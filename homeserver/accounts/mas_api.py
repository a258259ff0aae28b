"""The one door to MAS's admin API. One method for each thing asked; it decides nothing.

Paths begin with `/api/admin/v1/`. Accounts are known there by an id of MAS's own, which `user` finds by name. Every
method raises what homeserver.client.api draws; a token that is refused (401: nothing was done) is renewed once.

Source: the OpenAPI description that MAS publishes of its admin API, version 1.22.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import aiohttp

from homeserver.accounts.errors import SeveralOwners
from homeserver.accounts.mas_models import (
    Description,
    EmailPage,
    EmailResource,
    LinkPage,
    LinkResource,
    Links,
    ProviderAnswer,
    Resource,
    SessionPage,
    SessionResource,
    SiteConfig,
    UserAnswer,
    UserPage,
    UserResource,
    Version,
)
from homeserver.accounts.mas_tokens import CredentialsRefused, Tokens
from homeserver.accounts.models import read
from homeserver.client.api import Api, BadAnswer, BadToken, Json, NotFound, Params, Refused
from homeserver.client.pace import Pace, PacedApi

BASE = "/api/admin/v1/"
PAGE = 100
PAGES_MAX = 1_000
"""No account has so many things; a list that goes on for longer goes in a circle."""


class SessionKind(StrEnum):
    """The four kinds of sessions that MAS knows; the value is the path of their list."""

    COMPAT = "compat-sessions"  # clients that log in by Matrix's old API
    OAUTH2 = "oauth2-sessions"  # clients that log in by OAuth 2.0
    BROWSER = "user-sessions"  # MAS's own pages
    PERSONAL = "personal-sessions"  # tokens made by hand


_FILTERS: Mapping[SessionKind, tuple[str, ...]] = {
    SessionKind.COMPAT: ("filter[user]",),
    SessionKind.OAUTH2: ("filter[user]",),
    SessionKind.BROWSER: ("filter[user]",),
    SessionKind.PERSONAL: ("filter[owner_user]", "filter[actor_user]"),
}
_END: Mapping[SessionKind, str] = {kind: "revoke" if kind is SessionKind.PERSONAL else "finish" for kind in SessionKind}


class _Page(Protocol):
    @property
    def links(self) -> Links: ...


PageT = TypeVar("PageT", EmailPage, LinkPage, SessionPage, UserPage)
ResourceT = TypeVar("ResourceT", bound=Resource)


class MasAdmin:
    """MAS's admin API.

    Args:
        session: owned, and closed, by the caller.
        base_url: where the admin API is.
        tokens: give the token to ask with.
        pace: what each call waits for, None for nothing.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str, tokens: Tokens, pace: Pace | None = None) -> None:
        self._session = session
        self._base_url = base_url
        self._tokens = tokens
        self._pace = pace

    def paced(self, pace: Pace) -> MasAdmin:
        """The same, with the same tokens; each call waits for its turn."""
        return MasAdmin(self._session, self._base_url, self._tokens, pace)

    # --- the service ---

    async def version(self) -> str:
        """MAS's version: `GET version`."""
        return read(Version, "MAS's version", await self._call("GET", "version")).version

    async def server_name(self) -> str:
        """The Matrix server whose accounts it keeps: `GET site-config`."""
        return read(SiteConfig, "MAS's configuration", await self._call("GET", "site-config")).server_name

    # --- looking ---

    async def user(self, localpart: str) -> UserResource | None:
        """The account of this very name, None where MAS knows none: `GET users/by-username/{username}`.

        Upper and lower case don't matter to MAS when it looks, but are two accounts to Matrix. A name of dots alone
        can't be a part of a path: it is sought in the list, `GET users?filter[search]=…`.
        """
        if localpart in (".", ".."):
            found = await self._all(UserPage, "users", {"filter[search]": localpart})
            return next((each for each in found if each.attributes.username == localpart), None)
        try:
            answer = await self._call("GET", "users/by-username/{}", localpart)
        except NotFound as error:
            if error.errcode:  # a homeserver's 404: MAS has titles, no codes
                raise BadAnswer("the 404 for an account comes from a homeserver, not from MAS") from None
            return None
        user = read(UserAnswer, "MAS's look at an account", answer).data
        name = user.attributes.username
        if name != localpart and name.lower() == localpart.lower():
            return None
        if name != localpart:
            raise BadAnswer("MAS describes another account than the one asked for")
        return user

    async def admins(self) -> frozenset[str]:
        """The names of all who may ask for the rights of a server admin: `GET users?filter[admin]=true`."""
        found = await self._all(UserPage, "users", {"filter[admin]": "true"})
        if not all(each.attributes.admin for each in found):
            raise BadAnswer("MAS lists others than the admins who were asked for")
        return frozenset(each.attributes.username for each in found)

    async def emails(self, mas_id: str) -> list[EmailResource]:
        """An account's e-mail addresses: `GET user-emails`."""
        found = await self._all(EmailPage, "user-emails", {"filter[user]": mas_id})
        if any(each.attributes.user_id != mas_id for each in found):
            raise BadAnswer("MAS lists another account's e-mail addresses than those asked for")
        return found

    async def owner_of_email(self, address: str) -> str | None:
        """The name of the account that has this address, None where none has: `GET user-emails?filter[email]=…`.

        Upper and lower case don't matter to MAS.

        Raises:
            SeveralOwners: more than one has it.
        """
        found = await self._all(EmailPage, "user-emails", {"filter[email]": address})
        owners = {each.attributes.user_id for each in found}
        if not owners:
            return None
        if len(owners) > 1:
            raise SeveralOwners
        answer = await self._call("GET", "users/{}", owners.pop())
        return read(UserAnswer, "MAS's look at an account", answer).data.attributes.username

    async def links(self, mas_id: str) -> list[LinkResource]:
        """An account's links to single sign-on: `GET upstream-oauth-links`."""
        found = await self._all(LinkPage, "upstream-oauth-links", {"filter[user]": mas_id})
        if any(each.attributes.user_id != mas_id for each in found):
            raise BadAnswer("MAS lists another account's links than those asked for")
        return found

    async def provider_name(self, provider_id: str) -> str:
        """What people call a provider of single sign-on: `GET upstream-oauth-providers/{id}`."""
        try:
            answer = await self._call("GET", "upstream-oauth-providers/{}", provider_id)
        except NotFound:
            return provider_id
        provider = read(ProviderAnswer, "MAS's look at a provider", answer).data.attributes
        return provider.human_name or provider.brand_name or provider.issuer or provider_id

    async def active_sessions(self, kind: SessionKind, mas_id: str) -> list[SessionResource]:
        """An account's sessions of this kind that aren't over. A MAS that has no personal sessions yet has none."""
        found: dict[str, SessionResource] = {}
        for name in _FILTERS[kind]:
            query = {name: mas_id, "filter[status]": "active"}
            try:
                listed = await self._all(SessionPage, kind.value, query)
            except (NotFound, BadAnswer):
                if kind is not SessionKind.PERSONAL or await self._has_path(kind.value):
                    raise
                return []
            for each in listed:
                if not each.attributes.belongs_to(mas_id):
                    raise BadAnswer("MAS lists another account's sessions than those asked for")
                found[each.id] = each
        return [each for each in found.values() if each.attributes.active]

    # --- acting: each is safe to repeat ---

    async def end_session(self, kind: SessionKind, session_id: str) -> None:
        """Finishes a session, or revokes it: `POST …/{id}/finish`, `personal-sessions/{id}/revoke`.

        One that is over already is no error: MAS says 400, for a personal session 409.
        """
        try:
            await self._call("POST", f"{kind.value}/{{}}/{_END[kind]}", session_id)
        except NotFound:
            return
        except Refused as error:
            if isinstance(error, BadToken) or error.status not in (400, 409):
                raise

    async def delete_email(self, email_id: str) -> None:
        """Takes an e-mail address off: `DELETE user-emails/{id}`."""
        await self._gone("user-emails/{}", email_id)

    async def delete_link(self, link_id: str) -> None:
        """Takes a link to single sign-on off: `DELETE upstream-oauth-links/{id}`."""
        await self._gone("upstream-oauth-links/{}", link_id)

    async def deactivate(self, mas_id: str, erase: bool) -> UserResource:
        """Deactivates: `POST users/{id}/deactivate`. `skip_erase` is always said: there, erasing is the default.

        The answer means that it is queued: MAS ends the sessions, takes the addresses off and tells the homeserver
        later.
        """
        return await self._user("users/{}/deactivate", mas_id, {"skip_erase": not erase})

    async def reactivate(self, mas_id: str) -> UserResource:
        """Takes a deactivation back, on the homeserver first: `POST users/{id}/reactivate`. Unlocks nothing."""
        return await self._user("users/{}/reactivate", mas_id)

    async def lock(self, mas_id: str, locked: bool) -> UserResource:
        """Locks or unlocks: `POST users/{id}/lock`, `unlock`. Ends no session; unlocking reactivates nothing."""
        return await self._user("users/{}/lock" if locked else "users/{}/unlock", mas_id)

    async def set_password(self, mas_id: str, password: str) -> None:
        """Sets a password, whatever the rules for passwords say: `POST users/{id}/set-password`.

        Raises:
            Forbidden: MAS is set up without passwords.
        """
        body = {"password": password, "skip_password_check": True}
        await self._call("POST", "users/{}/set-password", mas_id, json=body)

    # --- inside ---

    async def _has_path(self, path: str) -> bool:
        """Whether this MAS has a path of the admin API, by its own description: `GET /api/spec.json`.

        Its 404 for a path that it doesn't have is empty, as a proxy's might be, and proves nothing.
        """
        description = read(Description, "MAS's description of itself", await self._call("GET", "/api/spec.json"))
        if BASE + "users" not in description.paths:
            raise BadAnswer("MAS's description of itself isn't of its admin API")
        return BASE + path in description.paths

    async def _user(self, path: str, mas_id: str, json: Json | None = None) -> UserResource:
        answer = await self._call("POST", path, mas_id, json=json)
        user = read(UserAnswer, "MAS's change of an account", answer).data
        if user.id != mas_id:
            raise BadAnswer("MAS changed another account than the one asked for")
        return user

    async def _gone(self, path: str, identifier: str) -> None:
        try:
            await self._call("DELETE", path, identifier)
        except NotFound:
            return  # somebody else was faster

    async def _all(self, model: type[PageT], path: str, params: Mapping[str, str]) -> list[Any]:
        """A list, all its pages."""
        found: dict[str, Any] = {}
        after: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            query: Params = {"page[first]": PAGE, **params, **after}
            page = read(model, f"MAS's list {path}", await self._call("GET", path, params=query))
            before = len(found)
            found.update((each.id, each) for each in page.data)
            if page.links.next is None:
                return list(found.values())
            if len(found) == before:
                break
            after = {"page[after]": page.data[-1].id}
        raise BadAnswer(f"MAS's list {path} has no end")

    async def _call(
        self, method: str, path: str, *ids: str, json: Json | None = None, params: Params | None = None
    ) -> dict[str, Any]:
        path = path if path.startswith("/") else BASE + path
        token = await self._tokens.token()
        try:
            return await self._api(token).call(method, path, *ids, json=json, params=params)
        except BadToken as error:
            another = await self._tokens.instead_of(token)
            if another is None:
                raise _refused(error) from None
        try:
            return await self._api(another).call(method, path, *ids, json=json, params=params)
        except BadToken as error:
            raise _refused(error) from None

    def _api(self, token: str) -> Api:
        if self._pace is not None:
            return PacedApi(self._session, self._base_url, token, self._pace)
        return Api(self._session, self._base_url, token)


def _refused(error: BadToken) -> CredentialsRefused:
    sentence = f"MAS doesn't take the bot's token ({error}): it has to be valid, with the scope urn:mas:admin"
    return CredentialsRefused(sentence, error.status, error.errcode, error.message)
