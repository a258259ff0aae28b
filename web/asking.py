"""What a browser asks, and what its cookie makes of it: a visit, which is one way over the page."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from markupsafe import escape

from config import Settings
from engine.unit_of_work import UnitsOfWork
from storage import visits
from storage.visits import Visit
from texts import Page, Texts

COOKIE = "__Host-lethe"
"""Browsers keep a cookie with this prefix only where it is Secure, for the whole host, and for no other host."""
VISIT_MS = 15 * 60_000
"""How long a visit lasts, and once more after the log-in."""


class Problem(Exception):
    """The page has to say that something doesn't go; nothing was done.

    Args:
        what: a block in texts/en/words/page_problem.html.
        status: of HTTP.
        values: for the words.
    """

    def __init__(self, what: str, status: int = 400, **values: Any) -> None:
        super().__init__(what)
        self.what, self.status, self.values = what, status, values


@dataclass(frozen=True, slots=True)
class Place:
    """Where the page is, as browsers see it."""

    public_url: str
    server_name: str

    @classmethod
    def of(cls, settings: Settings) -> Place:
        """What the settings say."""
        return cls(settings.self_service.web.public_url or "", settings.homeserver.server_name)

    @property
    def return_to(self) -> str:
        """Where browsers come back from a log-in at somebody else's."""
        return f"{self.public_url}/return"

    def path(self, path: str) -> str:
        """A path of the page, behind the part of `public_url` that belongs to all of them."""
        return urlsplit(self.public_url).path + path


@dataclass(frozen=True, slots=True)
class Asking:
    """One request of a browser."""

    http: web.Request
    texts: Texts
    place: Place
    units: UnitsOfWork
    secret: str
    """The cookie's value; empty where there is none."""
    visit: Visit | None

    def visiting(self) -> Visit:
        """The visit. Raises: Problem: there is none, or its time is over."""
        if self.visit is None:
            raise Problem("no_visit")
        return self.visit

    def proved(self) -> tuple[Visit, str]:
        """The visit, and who logged in. Raises: Problem: nobody has."""
        visit = self.visiting()
        if visit.user_id is None:
            raise Problem("no_visit")
        return visit, visit.user_id

    @property
    def csrf(self) -> str:
        """Stands in each form of this visit: another site can't know it."""
        return hmac.new(self.secret.encode(), b"form", hashlib.sha256).hexdigest()

    async def form(self) -> dict[str, str]:
        """What was sent with a form of this visit.

        Raises:
            Problem: it isn't a form of this visit, or there is no visit.
        """
        self.visiting()
        data = await self.posted()
        if not hmac.compare_digest(data.pop("csrf", "").encode(), self.csrf.encode()):
            raise Problem("foreign_form", 403)
        return data

    async def posted(self) -> dict[str, str]:
        """What was sent, of whatever form. Raises: Problem: no browser sends a form of ours like this."""
        if self.http.content_type != "application/x-www-form-urlencoded":
            raise Problem("foreign_form", 403)
        try:
            sent = await self.http.post()
        except (ValueError, LookupError):  # bytes that are no text, an encoding that nobody knows
            raise Problem("foreign_form", 403) from None
        return {name: value for name, value in sent.items() if isinstance(value, str)}

    async def keep(self, visit: Visit) -> None:
        """The visit went on."""
        async with self.units.database.transaction() as tx:
            await visits.save(tx, self.secret, visit)

    async def begin(self, visit: Visit, to: str) -> web.Response:
        """A new visit, in place of the one there was, and goes on to a path of the page."""
        secret = secrets.token_urlsafe(32)
        async with self.units.database.transaction() as tx:
            if self.secret:
                await visits.end(tx, self.secret)
            await visits.save(tx, secret, visit)
        response = self.go(to)
        response.set_cookie(
            COOKIE, secret, path="/", secure=True, httponly=True, samesite="Lax", max_age=2 * VISIT_MS // 1000
        )
        return response

    def go(self, to: str) -> web.Response:
        """Sends the browser to a path of the page."""
        return web.Response(status=303, headers={"Location": self.place.path(to)})

    def show(self, page: Page, status: int = 200, **values: Any) -> web.Response:
        """A page."""
        html = self.texts.page(
            page,
            path=lambda path: escape(self.place.path(path)),
            server=self.place.server_name,
            csrf=self.csrf if self.visit is not None else "",
            **values,
        )
        return web.Response(text=html, status=status, content_type="text/html", charset="utf-8")
