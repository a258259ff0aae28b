"""The page's server: routes, what every answer carries, and what is said where something doesn't go.

It speaks HTTP to the operator's reverse proxy, which has the certificate. It answers what stands in ROUTES and nothing
else, takes no file, and writes no log of who asked for what.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from handlers.context import Context
from homeserver.client.api import HomeserverError
from removal.audit_action import AuditAction
from storage import visits
from storage.database import StorageError
from texts import Page, Texts, languages, texts_in
from web.account import Account
from web.asking import COOKIE, Asking, Place, Problem
from web.language import chosen
from web.limits import Limits
from web.log_in import LogIn
from web.proving import Proving

log = logging.getLogger(__name__)

LARGEST = 16_384
"""Bytes that a form may have."""
PATIENCE = 60.0
"""Seconds for one answer, the homeserver's included."""
SHUTDOWN = 1.0
"""Seconds that an answer under way gets when the bot is told to stop."""
STYLE = Path(__file__).with_name("style.css")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Server": "Lethe",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Handler = Callable[[Asking], Awaitable[web.StreamResponse]]


class PageServer:
    """The page."""

    def __init__(self, context: Context, proving: Proving) -> None:
        self._context = context
        self._place = Place.of(context.settings)
        self._limits = Limits(context.units.clock)
        self._style = STYLE.read_bytes()
        log_in, account = LogIn(proving, self._limits), Account(context)
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/"): log_in.start,
            ("POST", "/start"): log_in.begin,
            ("GET", "/link/{secret}"): log_in.link,
            ("POST", "/link"): log_in.follow,
            ("GET", "/log-in"): log_in.offer,
            ("POST", "/log-in"): log_in.by_password,
            ("GET", "/log-in/with/{provider}"): log_in.by_provider,
            ("POST", "/log-in/again"): log_in.again,
            ("GET", "/return"): log_in.back,
            ("GET", "/account"): account.show,
            ("POST", "/account/options"): account.choose,
            ("POST", "/account/confirm"): account.confirm,
            ("POST", "/account/receipt"): account.receipt,
            ("POST", "/account/cancel"): account.cancel,
            ("POST", "/leave"): log_in.leave,
            ("GET", "/style.css"): self._css,
        }

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[None]:
        """Listens while the context is entered.

        Raises:
            OSError: the address can't be listened on.
        """
        application = web.Application(middlewares=[self._guarded], client_max_size=LARGEST)
        application.on_response_prepare.append(_with_headers)
        for (method, path), handler in self._routes.items():
            application.router.add_route(method, path, self._for(handler))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            log.info("The page listens on %s:%d for %s", host, port, self._place.public_url)
            yield
        finally:
            await runner.cleanup()

    def _for(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await handler(await self._asking(request))

        return answer

    async def _asking(self, request: web.Request) -> Asking:
        secret = request.cookies.get(COOKIE, "")
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", secret):
            secret = ""  # none of ours
        units, visit = self._context.units, None
        if secret:
            async with units.database.transaction(only_reading=True) as tx:
                visit = await visits.get(tx, secret, units.clock())
        return Asking(request, self._texts(request), self._place, units, secret, visit)

    def _texts(self, request: web.Request) -> Texts:
        settings = self._context.settings
        language = chosen(request.headers.get("Accept-Language", ""), languages(), settings.language)
        return texts_in(language, settings.command_prefix)

    @web.middleware
    async def _guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Whatever goes wrong becomes a page that says so."""
        try:
            if not self._limits.page(request):
                # Nothing is read or written for whoever asks without end.
                return web.Response(status=429, text="Too many requests.\n", headers={"Retry-After": "60"})
            if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
                raise Problem("foreign_form", 403)
            async with asyncio.timeout(PATIENCE):
                return await handler(request)
        except Problem as problem:
            return await self._problem(request, problem)
        except web.HTTPException as error:
            return await self._problem(request, Problem("not_found", error.status))
        except (HomeserverError, TimeoutError) as error:
            log.warning("the page can't go on: %s", error)
            return await self._problem(request, Problem("homeserver_away", 503))
        except StorageError as error:
            log.error("the page can't go on: %s", error)
            return await self._problem(request, Problem("homeserver_away", 503))
        except Exception as error:
            return await self._incident(request, error)

    async def _problem(self, request: web.Request, problem: Problem) -> web.Response:
        asking = Asking(request, self._texts(request), self._place, self._context.units, "", None)
        values = {"back": "/", "server": self._place.server_name, **problem.values}
        return asking.show(Page.PROBLEM, problem.status, what=problem.what, values=values, back=values["back"])

    async def _incident(self, request: web.Request, error: Exception) -> web.Response:
        incident = f"E-{secrets.token_hex(3).upper()}"
        log.error("%s: %s on the page", incident, request.match_info.route.resource, exc_info=error)
        async with self._context.units.begin() as unit:
            await unit.audit(AuditAction.INCIDENT, incident=incident)
        return await self._problem(request, Problem("unexpected", 500, incident=incident))

    async def _css(self, asking: Asking) -> web.Response:
        return web.Response(body=self._style, content_type="text/css", charset="utf-8")


async def _with_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
