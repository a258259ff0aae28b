"""The stand-in's way for people: registration of clients, the log-in page, tokens for a code, and their end.

Sources: RFC 6749, 4.1; RFC 7636 (PKCE); RFC 7591 (registration); RFC 7009 (revocation); Matrix client-server API,
"OAuth 2.0 API".
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web

from sandbox.mas_records import Records, Token, now, ulid

_API = {"urn:matrix:client:api:*", "urn:matrix:org.matrix.msc2967.client:api:*"}


class LogIn:
    """People log in by name; whoever says a name has it. A browser that did is known from then on, as at MAS."""

    def __init__(
        self,
        issuer: str,
        records: Records,
        tell: Callable[[str, dict[str, Any]], Awaitable[None]],
        ended: Callable[[str], None],
    ) -> None:
        """
        Args:
            tell: calls Synapse.
            ended: told of each user one of whose sessions ended.
        """
        self.issuer = issuer
        self._records = records
        self._tell = tell
        self._ended = ended
        self.clients: dict[str, dict[str, Any]] = {}
        self.prompts: list[str] = []
        """What each log-in asked for by `prompt`."""
        self._codes: dict[str, dict[str, str]] = {}
        self._browsers: dict[str, tuple[str, int]] = {}
        """Cookie → who logged in, and when."""

    def register(self, body: dict[str, Any]) -> web.Response:
        """A program makes itself known. As MAS's own policy has it, all its addresses are on one host."""
        hosts = {urlsplit(uri).netloc for uri in (body["client_uri"], *body["redirect_uris"])}
        if len(hosts) != 1 or body["token_endpoint_auth_method"] != "none":
            return web.json_response({"error": "invalid_client_metadata"}, status=400)
        client_id = next((known for known, each in self.clients.items() if each == body), ulid())
        self.clients[client_id] = body
        return web.json_response({**body, "client_id": client_id}, status=201)

    async def page(self, request: web.BaseRequest) -> web.StreamResponse:
        """Shows who wants what, takes a name, and goes back with a code."""
        asked = dict(request.query)
        client = self.clients.get(asked.get("client_id", ""))
        if client is None or asked.get("redirect_uri") not in client["redirect_uris"]:
            return web.Response(status=400, text="unknown client or redirect_uri")
        wrong = asked.get("response_type") != "code" or asked.get("code_challenge_method") != "S256"
        if wrong or not asked.get("code_challenge") or not set(asked["scope"].split()) & _API:
            return web.Response(status=400, text="invalid request")
        if request.method == "GET":
            self.prompts.append(asked.get("prompt", ""))
            known = self._browsers.get(request.cookies.get("mas", ""))
            shown = (
                f"<!DOCTYPE html><title>MAS</title><h1>{escape(client['client_name'])} wants to know who you are</h1>"
                + (f'<form method="post"><button>Continue as {escape(known[0])}</button></form>' if known else "")
                + '<form method="post"><label>Name <input name="name"></label><button>Log in as another</button></form>'
            )
            return web.Response(text=shown, content_type="text/html")
        form = await request.post()
        cookie = request.cookies.get("mas", "")
        if "name" in form:
            cookie = secrets.token_urlsafe(8)
            self._browsers[cookie] = (str(form["name"]), int(time.time()))
        name, logged_in = self._browsers.get(cookie, ("", 0))
        back = {"state": asked.get("state", "")}
        if self._records.by_name(name) is None:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe(24)
            self._codes[back["code"]] = {**asked, "name": name, "auth_time": str(logged_in)}
        answer = web.Response(status=303, headers={"Location": f"{asked['redirect_uri']}?{urlencode(back)}"})
        answer.set_cookie("mas", cookie)
        return answer

    def age(self, seconds: int) -> None:
        """Whoever logged in did it so much longer ago."""
        self._browsers = {cookie: (name, when - seconds) for cookie, (name, when) in self._browsers.items()}

    async def token(self, form: dict[str, str]) -> web.Response:
        """A code becomes a token, once, for the client and the verifier that it was made for."""
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = _encoded(digest)
        if asked is None or any(form.get(key) != asked[key] for key in ("client_id", "redirect_uri")):
            return web.json_response({"error": "invalid_grant"}, status=400)
        if challenge != asked["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        user_id = self._records.by_name(asked["name"]) or ""
        device_id = next(word.rpartition(":")[2] for word in asked["scope"].split() if ":device:" in word)
        await self._tell("upsert_device", {"localpart": asked["name"], "device_id": device_id})
        session_id = self._records.add(
            "oauth2-sessions", user_id=user_id, user_session_id=None, client_id=form["client_id"], finished_at=None,
            scope=asked["scope"],
        )  # fmt: skip
        token = "mat_" + secrets.token_urlsafe(24)
        self._records.tokens[token] = Token(
            asked["scope"], time.monotonic() + 300, "oauth2-sessions", session_id, user_id, device_id
        )
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": asked["scope"]}
        if "openid" in asked["scope"].split():
            claims = {"iss": self.issuer, "aud": asked["client_id"], "nonce": asked.get("nonce"),
                      "auth_time": int(asked["auth_time"])}  # fmt: skip
            answer["id_token"] = ".".join(map(_encoded, (b'{"alg":"none"}', json.dumps(claims).encode(), b"")))
        return web.json_response(answer)

    def revoke(self, body: bytes) -> web.Response:
        """Ends the session of a token."""
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        token = self._records.tokens.pop(form.get("token", ""), None)
        if token is not None:
            self._records.things[token.kind][token.session_id]["finished_at"] = now()
            self._ended(token.user_id)
        return web.Response()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
