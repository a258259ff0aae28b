"""A stand-in for MAS beside a real Synapse: its admin API, tokens, introspection, and a queue that finishes later.

It keeps everything in memory and does to Synapse what MAS does, over the same endpoints (`/_synapse/mas/…`). Where it
differs from MAS, it is wrong: `make test-mas` runs the same tests against the real one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, quote

import aiohttp
from aiohttp import web

from sandbox.mas_description import PATH, Exchange
from sandbox.mas_log_in import LogIn
from sandbox.mas_records import ENDS, KINDS, SESSIONS, Records, Token, errors, now, page, single

ADMIN = "/api/admin/v1/"
API_SCOPES = "urn:matrix:client:api:* urn:matrix:org.matrix.msc2967.client:api:*"
SYNAPSE_ADMIN = "urn:synapse:admin:*"
MAS_ADMIN = "urn:mas:admin"


class Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(title)
        self.status, self.title = status, title


class StandIn:
    """The service itself. `handle` answers requests; all else is for `sandbox.mas`.

    Args:
        url: its own address.
        secret: what it shares with Synapse.
        client: id and secret of the one client that may ask for `urn:mas:admin`.
    """

    def __init__(self, url: str, secret: str, client: tuple[str, str]) -> None:
        self.url = url
        self.secret = secret
        self.client = client
        self.homeserver = ""
        self.server_name = ""
        self.records = Records()
        self.lifetime = 300.0
        """Seconds that an admin's token lives."""
        self.delay = 0.05
        """Seconds before the queue does a job."""
        self.retry = 0.5
        self.open = asyncio.Event()
        """While it isn't set, the queue stands still."""
        self.open.set()
        self.allowed = True
        """Whether the policy lets the client have `urn:mas:admin`."""
        self.faults: list[tuple[str, int]] = []
        """Pattern of `METHOD path` and status: the next request that fits is answered so, and the entry is used up."""
        self.lost: list[str] = []
        """Pattern of `METHOD path`: what fits is done, and its answer is lost on the way (504); used up as `faults`."""
        self.without: set[str] = set()
        """Lists that this MAS doesn't have, as an older one."""
        self.away: list[str] = []
        """Paths that the next request of each finds a proxy at, and nobody behind it."""
        self.asked: list[str] = []
        """Every request to the admin API, as `METHOD path`."""
        self.violations: list[str] = []
        """What didn't fit the published description."""
        self.log_in = LogIn(
            url + "/", self.records, self.tell, lambda owner: self.later(lambda: self._sync_devices(owner))
        )
        self._jobs: set[asyncio.Task[None]] = set()
        self.session: aiohttp.ClientSession

    # --- HTTP ---

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        body = await request.read()
        if request.path in self.away:
            self.away.remove(request.path)
            return web.Response(status=502, text="bad gateway")
        if request.path == "/.well-known/openid-configuration":
            return web.json_response(self._metadata())
        if request.path == "/oauth2/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if form.get("grant_type") == "authorization_code":
                return await self.log_in.token(form)
            return self._token(request, body)
        if request.path == "/authorize":
            return await self.log_in.page(request)
        if request.path == "/oauth2/registration":
            return self.log_in.register(json.loads(body))
        if request.path == "/oauth2/revoke":
            return self.log_in.revoke(body)
        if request.path == "/oauth2/introspect":
            return self._introspect(request, body)
        if request.path == "/api/spec.json":
            paths = [f"{ADMIN}{kind}" for kind in KINDS if kind not in self.without]
            return web.json_response({"openapi": "3.1.0", "paths": {path: {} for path in paths}})
        if request.path.startswith(ADMIN) and request.path.removeprefix(ADMIN).split("/")[0] not in self.without:
            return await self._admin(request, body)
        return web.Response(status=404)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url + "/",
            "authorization_endpoint": self.url + "/authorize",
            "token_endpoint": self.url + "/oauth2/token",
            "introspection_endpoint": self.url + "/oauth2/introspect",
            "registration_endpoint": self.url + "/oauth2/registration",
            "revocation_endpoint": self.url + "/oauth2/revoke",
            "account_management_uri": self.url + "/account/",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["none", "login", "create"],
        }

    def _token(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """RFC 6749, 4.4."""
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.asked.append("POST /oauth2/token")
        if (fault := self._fault("POST /oauth2/token")) is not None:
            return web.Response(status=fault, text="fault")
        given = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if given != ":".join(self.client):
            error = {"error": "invalid_client", "error_description": "Client authentication failed"}
            return web.json_response(error, status=401)
        if form.get("grant_type") != "client_credentials" or form.get("scope") != MAS_ADMIN or not self.allowed:
            return web.json_response({"error": "invalid_scope", "error_description": "denied by policy"}, status=403)
        token = "mat_" + secrets.token_urlsafe(24)
        self.records.tokens[token] = Token(MAS_ADMIN, time.monotonic() + self.lifetime)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": int(self.lifetime), "scope": MAS_ADMIN}
        return web.json_response(answer)

    def _introspect(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """RFC 7662, as Synapse asks it."""
        if request.headers.get("Authorization") != f"Bearer {self.secret}":
            return web.json_response({"error": "invalid_client"}, status=401)
        token = self.records.tokens.get(parse_qs(body.decode()).get("token", [""])[0])
        user = self.records.things["users"].get(token.user_id) if token else None
        session = self.records.things[token.kind].get(token.session_id) if token and token.kind else None
        if token is None or user is None or session is None or session.get(ENDS[token.kind]) is not None:
            return web.json_response({"active": False})
        if user["locked_at"] is not None or user["deactivated_at"] is not None:
            return web.json_response({"active": False})
        answer = {"active": True, "scope": token.scope, "username": user["username"], "sub": token.user_id,
                  "device_id": token.device_id, "client_id": "legacy", "token_type": "access_token"}  # fmt: skip
        return web.json_response(answer)

    async def _admin(self, request: web.BaseRequest, body: bytes) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        if (fault := self._fault(f"{request.method} {request.path}")) is not None:
            return web.json_response(errors("fault"), status=fault)
        exchange = (
            Exchange(request.method, request.path, request.rel_url.raw_query_string, body) if PATH.exists() else None
        )
        if request.headers.get("Authorization", "").strip() == "Bearer":
            return web.json_response(errors("Invalid Authorization header"), status=400)
        token = self.records.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if token is None or MAS_ADMIN not in token.scope.split() or time.monotonic() >= token.until:
            return web.json_response(errors("Unknown access token"), status=401)
        if exchange is not None and (wrong := exchange.problem_of_request()):
            self.violations.append(wrong)
        try:
            status, answer = await self._route(request, json.loads(body) if body else {})
        except Problem as problem:
            status, answer = problem.status, errors(problem.title)
        for pattern in [each for each in self.lost if re.search(each, f"{request.method} {request.path}")]:
            self.lost.remove(pattern)
            return web.Response(status=504, text="the answer was lost")
        raw = b"" if status == 204 else json.dumps(answer).encode()
        if exchange is not None and (wrong := exchange.problem_of_answer(status, raw)):
            self.violations.append(f"the stand-in's own answer: {wrong}")
        return web.Response(status=status, body=raw, content_type="application/json")

    def _fault(self, what: str) -> int | None:
        for entry in self.faults:
            if re.search(entry[0], what):
                self.faults.remove(entry)
                return entry[1]
        return None

    # --- the admin API ---

    async def _route(self, request: web.BaseRequest, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        path, method = request.path, request.method
        parts = path.removeprefix(ADMIN).split("/")
        if parts == ["version"]:
            return 200, {"version": "stand-in"}
        if parts == ["site-config"]:
            return 200, self._site_config()
        kind = parts[0]
        if kind not in KINDS:
            raise Problem(404, "no such path")
        things = self.records.things[kind]
        if parts[:2] == ["users", "by-username"]:
            identifier = self.records.by_name(parts[2]) or ""
            return 200, single(kind, identifier, self._thing("users", identifier), path)
        if len(parts) == 1 and method == "GET":
            return 200, self._list(request, kind)
        if len(parts) == 1:
            return await self._create(kind, body, path)
        thing = self._thing(kind, parts[1])
        if len(parts) == 2 and method == "GET":
            return 200, single(kind, parts[1], thing, path)
        if len(parts) == 2 and method == "DELETE" and kind in ("user-emails", "upstream-oauth-links"):
            del things[parts[1]]
            if kind == "user-emails":
                self.later(lambda: self.provision(thing["user_id"]))
            return 204, {}
        if kind in SESSIONS and parts[2:] in (["finish"], ["revoke"]):
            if thing.get(ENDS[kind]) is not None:
                raise Problem(409 if kind == "personal-sessions" else 400, "it is over already")
            thing[ENDS[kind]] = now()
            if owner := thing.get("user_id"):
                self.later(lambda: self._sync_devices(owner))
            return 200, single(kind, parts[1], thing, path)
        if kind == "users" and method == "POST" and len(parts) == 3:
            return await self._change(parts[1], thing, parts[2], body, path)
        raise Problem(404, "no such path")

    def _thing(self, kind: str, identifier: str) -> dict[str, Any]:
        if identifier not in self.records.things[kind]:
            raise Problem(404, f"{KINDS[kind]} not found")
        return self.records.things[kind][identifier]

    def _list(self, request: web.BaseRequest, kind: str) -> dict[str, Any]:
        query = request.query
        found = self.records.things[kind]
        for name, field in (("user", "user_id"), ("owner_user", "owner_user_id"), ("actor_user", "actor_user_id")):
            if (wanted := query.get(f"filter[{name}]")) is not None:
                self._thing("users", wanted)
                found = {i: each for i, each in found.items() if each.get(field) == wanted}
        if (admin := query.get("filter[admin]")) is not None:
            found = {i: each for i, each in found.items() if each["admin"] is (admin == "true")}
        if (part := query.get("filter[search]")) is not None:
            found = {i: each for i, each in found.items() if part.lower() in each["username"].lower()}
        if (address := query.get("filter[email]")) is not None:
            found = {i: each for i, each in found.items() if each["email"].lower() == address.lower()}
        if (status := query.get("filter[status]")) is not None:
            active = status == "active"
            found = {i: each for i, each in found.items() if (each.get(ENDS[kind]) is None) is active}
        return page(kind, found, request.path, int(query.get("page[first]", "10")), query.get("page[after]", ""))

    async def _create(self, kind: str, body: dict[str, Any], path: str) -> tuple[int, dict[str, Any]]:
        if kind == "users":
            if self.records.by_name(body["username"]) is not None:
                raise Problem(409, "User already exists")
            identifier = await self.add_user(body["username"])
        elif kind == "user-emails":
            if any(each["email"] == body["email"] for each in self.records.things[kind].values()):
                raise Problem(409, "User email already in use")
            owner = body["user_id"]
            identifier = self.records.add(kind, user_id=owner, email=body["email"])
            self.later(lambda: self.provision(owner))
        elif kind == "upstream-oauth-links":
            identifier = self.records.add(
                kind, user_id=body["user_id"], provider_id=body["provider_id"], subject=body["subject"],
                human_account_name=body.get("human_account_name"),
            )  # fmt: skip
        else:
            raise Problem(404, "no such path")
        return 201, single(kind, identifier, self.records.things[kind][identifier], path)

    async def _change(
        self, identifier: str, user: dict[str, Any], what: str, body: dict[str, Any], path: str
    ) -> tuple[int, dict[str, Any]]:
        if what == "deactivate":
            user["deactivated_at"] = user["deactivated_at"] or now()
            erase = not body.get("skip_erase", False)
            self.later(lambda: self._deactivate(identifier, erase))
        elif what == "reactivate":
            try:
                await self.tell("reactivate_user", {"localpart": user["username"]})
            except aiohttp.ClientError:
                raise Problem(500, "the homeserver failed") from None
            user["deactivated_at"] = None
        elif what in ("lock", "unlock"):
            user["locked_at"] = (user["locked_at"] or now()) if what == "lock" else None
            self.later(lambda: self.provision(identifier))
        elif what == "set-admin":
            user["admin"] = body["admin"]
        elif what == "set-password":
            return 204, {}
        else:
            raise Problem(404, "no such path")
        return 200, single("users", identifier, user, path)

    def _site_config(self) -> dict[str, Any]:
        switches = (
            "password_login_enabled", "password_registration_enabled", "password_registration_email_required",
            "password_registration_token_required", "registration_token_required", "email_change_allowed",
            "displayname_change_allowed", "password_change_allowed", "account_recovery_allowed",
            "account_deactivation_allowed", "captcha_enabled",
        )  # fmt: skip
        return {"server_name": self.server_name, "minimum_password_complexity": 3, **dict.fromkeys(switches, False)}

    # --- the queue, and Synapse ---

    def later(self, job: Callable[[], Awaitable[object]]) -> None:
        """Does a job later, and again until it succeeds."""

        async def run() -> None:
            await asyncio.sleep(self.delay)
            while True:
                await self.open.wait()
                try:
                    await job()
                    return
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(self.retry)

        task = asyncio.create_task(run())
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _deactivate(self, identifier: str, erase: bool) -> None:
        user = self.records.things["users"][identifier]
        user["deactivated_at"] = user["deactivated_at"] or now()
        self.records.end_sessions(identifier)
        emails = self.records.things["user-emails"]
        for email_id in [i for i, each in emails.items() if each["user_id"] == identifier]:
            del emails[email_id]
        await self.tell("delete_user", {"localpart": user["username"], "erase": erase})

    async def _sync_devices(self, identifier: str) -> None:
        user = self.records.things["users"][identifier]
        if user["deactivated_at"] is None:
            devices = self.records.devices(identifier)
            await self.tell("sync_devices", {"localpart": user["username"], "devices": devices})

    async def provision(self, identifier: str) -> None:
        """Has Synapse know an account: whether it is locked, its addresses, and its devices."""
        user = self.records.things["users"][identifier]
        emails = [e["email"] for e in self.records.things["user-emails"].values() if e["user_id"] == identifier]
        locked = user["locked_at"] is not None
        await self.tell("provision_user", {"localpart": user["username"], "locked": locked, "set_emails": emails})
        await self._sync_devices(identifier)

    async def add_user(self, username: str, *, admin: bool = False) -> str:
        """A new account, in Synapse too."""
        identifier = self.new_user(username, admin=admin)
        await self.provision(identifier)
        return identifier

    def new_user(self, username: str, *, admin: bool = False) -> str:
        """A new account, here only."""
        return self.records.add(
            "users", username=username, locked_at=None, deactivated_at=None, admin=admin, legacy_guest=False
        )

    async def tell(self, what: str, body: dict[str, Any]) -> None:
        """Calls `/_synapse/mas/…` with the shared secret. Raises: aiohttp.ClientError."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        url = f"{self.homeserver}/_synapse/mas/{quote(what)}"
        async with self.session.post(url, json=body, headers=headers) as answer:
            answer.raise_for_status()

    async def close(self) -> None:
        """Ends the queue."""
        for task in tuple(self._jobs):
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
