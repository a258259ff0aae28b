"""The token that opens MAS's admin API: fetched once for its lifetime, renewed once, and never shown."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from homeserver.accounts.mas_api import MasAdmin
from homeserver.accounts.mas_tokens import ClientCredentials, CredentialsRefused, TokenFile
from homeserver.client.api import Api, ServerFault

SECRET = "s3cr3t:with/odd+characters%2F"


class Endpoint:
    """A token endpoint, and behind the tokens one page of the admin API."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []
        self.given: list[tuple[str, dict[str, list[str]]]] = []
        self.valid: set[str] = set()
        self.asked = 0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path != "/oauth2/token":
            self.asked += 1
            known = request.headers.get("Authorization", "").removeprefix("Bearer ") in self.valid
            body = {"version": "v1"} if known else {"errors": [{"title": "Unknown access token"}]}
            return web.json_response(body, status=200 if known else 401)
        await asyncio.sleep(0.01)  # long enough for others to come meanwhile
        auth = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        self.given.append((auth, parse_qs((await request.read()).decode())))
        token = f"mat_{len(self.given)}"
        self.valid.add(token)
        usual = (200, {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": "urn:mas:admin"})
        status, answer = self.answers.pop(0) if self.answers else usual
        return web.json_response(answer, status=status)


@asynccontextmanager
async def opened(
    clock: Callable[[], float] = lambda: 0.0,
) -> AsyncIterator[tuple[Endpoint, ClientCredentials, MasAdmin]]:
    """The endpoint, the tokens, and the admin API that uses them."""
    endpoint = Endpoint()
    async with RawTestServer(endpoint.handle) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("/")).rstrip("/")
        tokens = ClientCredentials(Api(session, url, None), "/oauth2/token", "CLIENT", SECRET, clock)
        yield endpoint, tokens, MasAdmin(session, url, tokens)


async def test_the_client_and_its_scope_are_sent_as_mas_reads_them() -> None:
    """Basic authentication with name and secret as they are, and the one scope that is needed."""
    async with opened() as (endpoint, tokens, _):
        await tokens.token()
    assert endpoint.given == [(f"CLIENT:{SECRET}", {"grant_type": ["client_credentials"], "scope": ["urn:mas:admin"]})]


async def test_one_token_serves_many_until_shortly_before_its_end() -> None:
    """Those who ask at once share one; half a minute before its end a new one is fetched."""
    time = [0.0]
    async with opened(lambda: time[0]) as (endpoint, tokens, _):
        assert set(await asyncio.gather(*(tokens.token() for _ in range(5)))) == {"mat_1"}
        time[0] = 269.0
        assert await tokens.token() == "mat_1"
        time[0] = 270.0
        assert await tokens.token() == "mat_2"
    assert len(endpoint.given) == 2


@pytest.mark.parametrize("lifetime", [10, 0, None])
async def test_short_lives_and_unknown_ones(lifetime: int | None) -> None:
    """A token that lives for seconds is used for half of them; one of unknown life for one question."""
    time = [0.0]
    async with opened(lambda: time[0]) as (endpoint, tokens, _):
        endpoint.answers = [(200, {"access_token": "short", "token_type": "Bearer", "expires_in": lifetime})]
        assert await tokens.token() == "short"
        time[0] = 4.0
        assert await tokens.token() == ("short" if lifetime else "mat_2")
        time[0] = 5.0
        assert await tokens.token() == "mat_2"


async def test_a_refused_token_is_renewed_once() -> None:
    """401 fetches one new token and asks again; a second 401 is an error that says what the token needs."""
    async with opened() as (endpoint, tokens, mas):
        await tokens.token()
        endpoint.valid.clear()
        assert await mas.version() == "v1"
        assert (len(endpoint.given), endpoint.asked) == (2, 2)
        endpoint.answers = [(200, {"access_token": "dead", "token_type": "Bearer", "expires_in": 300})]
        endpoint.valid.clear()
        with pytest.raises(CredentialsRefused, match="urn:mas:admin"):
            await mas.version()
        assert (len(endpoint.given), endpoint.asked) == (3, 4)


async def test_many_who_are_refused_at_once_renew_once() -> None:
    """Eight questions with a token that MAS forgot fetch one new one."""
    async with opened() as (endpoint, tokens, mas):
        await tokens.token()
        endpoint.valid.clear()
        assert await asyncio.gather(*(mas.version() for _ in range(8))) == ["v1"] * 8
        assert len(endpoint.given) == 2


async def test_a_renewal_that_failed_leaves_nobody_without_a_token() -> None:
    """Two are refused at once, and the first one's renewal fails: the second renews anew, and asks with no empty
    token."""
    async with opened() as (endpoint, tokens, mas):
        first = await tokens.token()
        endpoint.answers = [(503, {})]
        failed, renewed = await asyncio.gather(
            tokens.instead_of(first), tokens.instead_of(first), return_exceptions=True
        )
        assert isinstance(failed, ServerFault)
        assert renewed == "mat_3"
        assert await mas.version() == "v1"


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, {"error": "invalid_client", "error_description": "Client authentication failed"}, "client_secret_basic"),
        (403, {"error": "invalid_scope", "error_description": "denied by policy"}, "policy.data.admin_clients"),
        (400, {"error": "unauthorized_client"}, "policy.data.admin_clients"),
        (200, {"access_token": "t", "token_type": "Bearer", "expires_in": 9, "scope": "openid"}, "admin_clients"),
        (404, {"error": "no such page"}, "refuses to log the client CLIENT in"),
    ],
)
async def test_what_is_wrong_with_the_client_is_told(status: int, answer: object, said: str) -> None:
    """Each refusal names the setting of MAS to look at, and never the secret."""
    async with opened() as (endpoint, tokens, _):
        endpoint.answers = [(status, answer)]
        with pytest.raises(CredentialsRefused, match=said) as caught:
            await tokens.token()
    assert SECRET not in str(caught.value)


async def test_a_fault_is_no_refusal() -> None:
    """5xx passes; the next question fetches a token again."""
    async with opened() as (endpoint, tokens, _):
        endpoint.answers = [(503, {})]
        with pytest.raises(ServerFault):
            await tokens.token()
        assert await tokens.token() == "mat_2"


async def test_a_token_file_is_read_each_time(tmp_path: Path) -> None:
    """An exchanged token counts at once; the same one again is "no other"."""
    file = tmp_path / "token"
    file.write_text("mpt_one\n")
    tokens = TokenFile(file)
    assert await tokens.token() == "mpt_one"
    assert await tokens.instead_of("mpt_one") is None
    file.write_text("mpt_two")
    assert await tokens.instead_of("mpt_one") == "mpt_two"


@pytest.mark.parametrize("content", [None, "", "\n", "two words", "one\ntwo", "\xe4"])
async def test_a_token_file_that_holds_no_token_is_told(tmp_path: Path, content: str | None) -> None:
    """Missing, empty or with more in it: the setting and the file are named, what it holds isn't."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CredentialsRefused, match=r"homeserver\.mas\.token_file: .*token") as caught:
        await TokenFile(file).token()
    assert "words" not in str(caught.value)
