"""The way to a log-in: the beginning, the personal link from the chat, and what the homeserver offers."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from homeserver.accounts.oauth import Attempt
from homeserver.client.api import RateLimited, Refused
from removal.ids import InvalidUserID, UserID
from storage import links, visits
from storage.links import hashed
from storage.visits import Visit
from texts import Page
from web.asking import VISIT_MS, Asking, Problem
from web.limits import Limits
from web.proving import NotAnew, Proving

LONGEST = 512
"""Characters that a name or a password may have here; Synapse takes passwords of 512."""
WAIT_MS = 60_000
"""How long people wait where the homeserver doesn't say."""


class LogIn:
    """Brings a browser to where it has logged in."""

    def __init__(self, proving: Proving, limits: Limits) -> None:
        self._proving = proving
        self._limits = limits
        self._waiting: dict[str, str] = {}
        """Tokens of people whom the homeserver asked to wait, by their visit; never stored."""

    async def start(self, asking: Asking) -> web.Response:
        """The first page: what it is, and what it does."""
        return asking.show(Page.START)

    async def begin(self, asking: Asking) -> web.Response:
        """Begins a visit."""
        return await asking.begin(Visit(asking.units.clock() + VISIT_MS), "/log-in")

    async def link(self, asking: Asking) -> web.Response:
        """The personal link from the chat. Looking at it doesn't use it: some programs look at every link."""
        secret = asking.http.match_info["secret"]
        async with asking.units.database.transaction() as tx:
            found = await links.look(tx, secret, asking.units.clock())
        if found is None:
            raise Problem("used_link", 410)
        return asking.show(Page.LINK, user=found.user_id, secret=secret)

    async def follow(self, asking: Asking) -> web.Response:
        """Uses the link, and begins a visit that is for its person alone."""
        secret = (await asking.posted()).get("link", "")
        now = asking.units.clock()
        async with asking.units.database.transaction() as tx:
            found = await links.use(tx, secret, now)
        if found is None:
            raise Problem("used_link", 410)
        return await asking.begin(Visit(now + VISIT_MS, found.request_id, found.user_id), "/log-in")

    async def offer(self, asking: Asking) -> web.Response:
        """How one can log in."""
        visit = asking.visiting()
        if visit.user_id is not None:
            return asking.go("/account")
        return asking.show(Page.LOG_IN, offer=await self._proving.offer(), expected=visit.expected_id)

    async def by_password(self, asking: Asking) -> web.Response:
        """A name and a password were typed."""
        form = await asking.form()
        visit = asking.visiting()
        user, password = form.get("user", "").strip(), form.get("password", "")
        user = visit.expected_id or user
        if not user or not password or max(len(user), len(password)) > LONGEST:
            raise Problem("nothing_typed", back="/log-in")
        if user.startswith("@"):
            user = user if ":" in user else f"{user}:{asking.place.server_name}"
            if not _is_local(user, asking.place.server_name):
                raise Problem("other_server", back="/log-in", user=user)
        if not self._limits.log_in(asking.http, user):
            raise Problem("too_many_log_ins", 429)
        if not (await self._proving.offer()).password:
            raise Problem("log_in_failed", 403, back="/log-in")
        try:
            user_id = await self._proving.by_password(user, password)
        except RateLimited as error:
            return await self._wait(asking, error)
        except Refused:
            # The same for all of them: nobody learns whether there is such an account.
            raise Problem("log_in_failed", 403, back="/log-in") from None
        return await self._logged_in(asking, user_id)

    async def by_provider(self, asking: Asking) -> web.Response:
        """Sends the browser to single sign-on."""
        visit = asking.visiting()
        name = asking.http.match_info["provider"]
        offer = await self._proving.offer()
        provider = next((each for each in offer.providers if (each.id or "sso") == name), None)
        if provider is None:
            raise Problem("not_found", 404)
        if not self._limits.log_in(asking.http):
            raise Problem("too_many_log_ins", 429)
        away = await self._proving.begin(provider.id, asking.place.return_to)
        went = replace(visit, state=hashed(away.state), went_ts=asking.units.clock())
        if (attempt := away.attempt) is not None:
            went = replace(went, verifier=attempt.verifier, nonce=attempt.nonce, device_id=attempt.device_id)
        await asking.keep(went)
        return web.Response(status=303, headers={"Location": away.to})

    async def back(self, asking: Asking) -> web.Response:
        """The browser comes back from single sign-on. Only the one that went, and once."""
        query = asking.http.query
        asking.visiting()
        async with asking.units.database.transaction() as tx:
            visit = await visits.take_state(tx, asking.secret, query.get("state", ""), asking.units.clock())
        if visit is None:
            raise Problem("foreign_state", 403)
        answer = query.get("code" if visit.verifier else "loginToken", "")
        if not answer:
            raise Problem("log_in_failed", 403, back="/log-in")
        if not visit.verifier:
            return await self._by_token(asking, answer)
        attempt = Attempt(visit.device_id, visit.verifier, visit.nonce)
        try:
            user_id = await self._proving.by_code(answer, attempt, visit.went_ts, asking.place.return_to)
        except NotAnew:
            raise Problem("not_anew", 403, back="/log-in") from None
        except Refused:
            raise Problem("log_in_failed", 403, back="/log-in") from None
        return await self._logged_in(asking, user_id)

    async def again(self, asking: Asking) -> web.Response:
        """The wait that the homeserver asked for is over."""
        await asking.form()
        token = self._waiting.pop(hashed(asking.secret), None)
        return asking.go("/log-in") if token is None else await self._by_token(asking, token)

    async def _by_token(self, asking: Asking, token: str) -> web.Response:
        try:
            user_id = await self._proving.by_token(token)
        except RateLimited as error:
            if len(self._waiting) < 1_000:
                self._waiting[hashed(asking.secret)] = token
            return await self._wait(asking, error)
        except Refused:
            raise Problem("log_in_failed", 403, back="/log-in") from None
        return await self._logged_in(asking, user_id)

    async def _wait(self, asking: Asking, error: RateLimited) -> web.Response:
        """The homeserver says wait: the page says so, and keeps the person's place."""
        visit = replace(asking.visiting(), state="")  # it was used, and counts once
        wait_ms = WAIT_MS if error.retry_after is None else int(error.retry_after * 1000) + 1_000
        now = asking.units.clock()
        await asking.keep(replace(visit, expires_ts=max(visit.expires_ts, now + wait_ms + VISIT_MS)))
        response = asking.show(Page.WAIT, 429, until_ts=now + wait_ms, wait_ms=wait_ms)
        response.headers["Retry-After"] = str(-(-wait_ms // 1000))
        return response

    async def _logged_in(self, asking: Asking, user_id: str) -> web.Response:
        """Somebody has: from here on they are who they are, in a visit with another cookie."""
        visit = asking.visiting()
        if visit.expected_id not in (None, user_id):
            raise Problem("other_account", 403, back="/log-in", user=user_id, expected=visit.expected_id)
        proved = Visit(asking.units.clock() + VISIT_MS, visit.request_id, visit.expected_id, user_id=user_id)
        return await asking.begin(proved, "/account")

    async def leave(self, asking: Asking) -> web.Response:
        """Forgets the browser."""
        await asking.form()
        async with asking.units.database.transaction() as tx:
            await visits.end(tx, asking.secret)
        return asking.go("/")


def _is_local(user: str, server_name: str) -> bool:
    """Whether this is a Matrix ID of this server."""
    try:
        return UserID.parse(user).server_name == server_name
    except InvalidUserID:
        return False
