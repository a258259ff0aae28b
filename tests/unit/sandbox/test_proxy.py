"""The fault proxy itself: what it breaks, what it leaves alone, and what it counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from homeserver.client.api import Api, BadAnswer, RateLimited, ServerFault, Unreachable
from sandbox.proxy import (
    Fault,
    Proxy,
    answer,
    changing,
    cut_midway,
    garbage,
    held,
    limited,
    lose,
    refuse,
    silence,
    slow,
)


class Behind:
    """A homeserver's stand-in that says what it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.heard.append(f"{request.method} {request.raw_path} {(await request.content.read()).decode()}".strip())
        said = {"path": request.raw_path, "as": request.headers.get("Authorization"), "long": "x" * 999}
        return web.json_response(said)


@pytest_asyncio.fixture
async def behind() -> Behind:
    return Behind()


@pytest_asyncio.fixture
async def proxy(behind: Behind) -> AsyncIterator[Proxy]:
    async with RawTestServer(behind.handle) as server, Proxy(str(server.make_url("")).rstrip("/")) as running:
        yield running


@pytest_asyncio.fixture
async def api(proxy: Proxy) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, proxy.base_url, "token")


async def test_requests_pass_unharmed(behind: Behind, proxy: Proxy, api: Api) -> None:
    """Method, encoded path, query, headers and body arrive as they were sent, and so does the answer."""
    given = await api.call("PUT", "/a/{}/b", "@x/y:z", json={"k": 1}, params={"q": "1 2"})
    assert given["path"] == "/a/%40x%2Fy%3Az/b?q=1+2" and given["as"] == "Bearer token"
    assert behind.heard == ['PUT /a/%40x%2Fy%3Az/b?q=1+2 {"k": 1}']
    assert proxy.count("PUT", "/b") == proxy.count("*", "q=1") == 1
    assert proxy.count("GET", "/b") == 0
    assert proxy.requests[0].status == 200


@pytest.mark.parametrize(
    ("fault", "error", "acts"),
    [
        (answer(502), ServerFault, False),
        (garbage(), BadAnswer, False),
        (refuse, Unreachable, False),
        (silence, Unreachable, False),
        (cut_midway, Unreachable, True),
        (lose, Unreachable, True),
    ],
    ids=["502", "garbage", "refuse", "silence", "cut_midway", "lose"],
)
async def test_a_fault_is_what_it_says(
    behind: Behind, proxy: Proxy, api: Api, fault: Fault, error: type[Exception], acts: bool
) -> None:
    """Each fault gives its error, and whether the homeserver heard of it is as its name says; the next passes."""
    rule = proxy.on("POST", "^/x$", fault, times=1)
    with pytest.raises(error):
        await api.call("POST", "/x", timeout=1)  # aiohttp itself would repeat a GET
    assert bool(behind.heard) is acts
    assert rule.hits == 1
    assert (await api.call("POST", "/x"))["path"] == "/x"


async def test_an_answer_is_changed_on_its_way(behind: Behind, proxy: Proxy, api: Api) -> None:
    """The homeserver acts; the bot hears something else, and the rest of the answer as it was."""
    proxy.on("GET", "/x", changing(lambda answered: answered.update(path="/elsewhere")))
    given = await api.call("GET", "/x")
    assert (given["path"], given["as"]) == ("/elsewhere", "Bearer token")
    assert behind.heard == ["GET /x"]


async def test_large_bodies_pass(behind: Behind, proxy: Proxy, api: Api) -> None:
    """Files of more than a megabyte go through whole."""
    await api.call("POST", "/x", json={"k": "x" * 2**21})
    assert len(behind.heard[0]) > 2**21


@pytest.mark.parametrize(
    ("fault", "retry_after"), [(limited(7), 7.0), (limited(1.5, in_body=True), 1.5), (limited(), None)]
)
async def test_limits(proxy: Proxy, api: Api, fault: Fault, retry_after: float | None) -> None:
    """429 comes with `Retry-After`, with `retry_after_ms`, or with neither."""
    proxy.on("*", ".", fault)
    with pytest.raises(RateLimited) as caught:
        await api.call("GET", "/x")
    assert caught.value.retry_after == retry_after


async def test_the_newest_rule_decides_until_it_is_lifted(proxy: Proxy, api: Api) -> None:
    """Rules stand before older ones, other methods and paths aren't touched, and lifting ends them."""
    proxy.on("GET", "/x", answer(500))
    newest = proxy.on("GET", "/x/y", slow(0.01))
    assert await api.call("GET", "/x/y") and await api.call("POST", "/x")
    newest.lift()
    with pytest.raises(ServerFault):
        await api.call("GET", "/x/y")
    proxy.calm()
    assert await api.call("GET", "/x/y")


@pytest.mark.parametrize("acts", [True, False])
async def test_a_gate_holds_a_request_or_its_answer(behind: Behind, proxy: Proxy, api: Api, acts: bool) -> None:
    """Held before the homeserver hears of it, or after it acted; both go on when the gate opens."""
    gate = asyncio.Event()
    rule = proxy.on("GET", "/x", held(gate, acts=acts))
    asking = asyncio.create_task(api.call("GET", "/x"))
    await (rule.acted() if acts else rule.hit())
    assert bool(behind.heard) is acts and not asking.done()
    gate.set()
    assert (await asking)["path"] == "/x"
    assert len(behind.heard) == 1


async def test_it_goes_away_and_comes_back(proxy: Proxy, api: Api) -> None:
    """Away, connections are refused; back on the same port, requests pass again."""
    await proxy.go_away()
    with pytest.raises(Unreachable):
        await api.call("GET", "/x")
    await proxy.start()
    assert await api.call("GET", "/x")
