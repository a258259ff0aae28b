"""The HTTP client, against small servers that answer as badly as real ones can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import unquote

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from hypothesis import given
from hypothesis import strategies as st

from homeserver.client.api import (
    MESSAGE_MAX,
    RETRY_AFTER_MAX,
    Api,
    BadAnswer,
    BadToken,
    Forbidden,
    HomeserverError,
    NotFound,
    RateLimited,
    Refused,
    ServerFault,
    Unreachable,
)

TOKEN = "syt_very_secret"
HOSTILE_IDS = [
    "@a/../b:server",
    "@x%2F?y#z:server",
    "@ü/\n:server",
    "!no_server_name",
    "@a b+c&d=e:server",
    "@..:server",
]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Api]:
    """An Api whose every call is answered by this handler."""
    async with RawTestServer(handler) as server, aiohttp.ClientSession() as session:
        yield Api(session, str(server.make_url("/")), TOKEN)


@asynccontextmanager
async def serving_bytes(raw: bytes, *, reset: bool = False, hold: bool = False) -> AsyncIterator[Api]:
    """An Api whose server reads the question, sends these bytes and then closes, resets or says nothing more."""
    done = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        if hold:
            await done.wait()
        if reset:
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        yield Api(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", TOKEN)
        done.set()


async def error_of(api: Api, **options: float) -> HomeserverError:
    """The error that a plain question ends with."""
    with pytest.raises(HomeserverError) as caught:
        await api.call("GET", "/path/{}", "@person:server", **options)  # type: ignore[arg-type]
    return caught.value


def answering(status: int, body: str, **headers: str) -> Handler:
    """Answers everything alike."""

    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handle


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
async def test_ids_arrive_as_one_segment_unchanged(hostile: str) -> None:
    """An id with slashes, percent signs, question marks or line breaks can't reach another path."""
    seen: list[tuple[str, str]] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        seen.append((request.raw_path, request.query_string))
        return web.json_response({})

    async with serving(handle) as api:
        await api.call("GET", "/before/{}/after", hostile)
    ((path, query),) = seen
    assert path.count("/") == 3
    assert path.startswith("/before/")
    assert path.endswith("/after")
    assert "?" not in path
    assert query == ""
    assert unquote(path.split("/")[2]) == hostile


@pytest.mark.parametrize("impossible", ["", ".", "..", "\ud800"])
async def test_ids_that_would_change_the_path_are_never_sent(impossible: str) -> None:
    """An empty id, dots alone and broken Unicode are refused before anything is sent."""
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    async with serving(handle) as api:
        with pytest.raises(ValueError):
            await api.call("GET", "/users/{}", impossible)
    assert asked == []


async def test_body_query_and_token_arrive() -> None:
    """What is asked arrives as given: JSON types kept, booleans of the query as Matrix writes them."""
    seen: list[object] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        seen.extend([await request.json(), dict(request.query), request.headers["Authorization"], request.method])
        return web.json_response({"fine": True})

    async with serving(handle) as api:
        answer = await api.call("POST", "/p", json={"erase": False}, params={"a b": "ü&=", "yes": True, "limit": 3})
    assert answer == {"fine": True}
    assert seen == [{"erase": False}, {"a b": "ü&=", "yes": "true", "limit": "3"}, f"Bearer {TOKEN}", "POST"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (401, BadToken), (403, Forbidden), (404, NotFound), (409, Refused), (500, ServerFault)],
)
async def test_each_status_has_its_error(status: int, kind: type[HomeserverError]) -> None:
    """An error's class tells what may be believed about what was done; it carries status, code and text."""
    async with serving(answering(status, '{"errcode": "M_SOME", "error": "why"}')) as api:
        error = await error_of(api)
    assert type(error) is kind
    assert isinstance(error, Refused | ServerFault)
    assert (error.status, error.errcode, error.message) == (status, "M_SOME", "why")
    assert str(error) == f"GET /path/@person:server: {status} M_SOME why"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
async def test_a_proxys_error_page_is_not_the_homeservers_word(status: int) -> None:
    """A 404 page of a proxy must never read as "no such account", nor its 401 as a dead token."""
    async with serving(answering(status, "<html>Not Found</html>", Location="/elsewhere")) as api:
        assert type(await error_of(api)) is BadAnswer


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_fault_needs_no_json(status: int) -> None:
    """502 and 503 come from proxies and are faults all the same."""
    async with serving(answering(status, "<html>Bad Gateway</html>")) as api:
        error = await error_of(api)
    assert isinstance(error, ServerFault)
    assert (error.status, error.errcode, error.message) == (status, "", "")


@pytest.mark.parametrize("body", ["", "not json", "[]", "3", '{"half": ', "[" * 100_000])
async def test_a_success_that_is_no_object_is_a_bad_answer(body: str) -> None:
    """200 alone proves nothing."""
    async with serving(answering(200, body)) as api:
        assert type(await error_of(api)) is BadAnswer


async def test_a_list_is_for_those_who_ask_for_one() -> None:
    """Paths that answer with a list of objects have a method of their own, as strict as the other."""
    async with serving(answering(200, '[{"type": "a"}, {"type": "b"}]')) as api:
        assert await api.call_list("GET", "/state") == [{"type": "a"}, {"type": "b"}]
    for wrong in ("{}", '[{"type": "a"}, 3]', "null"):
        async with serving(answering(200, wrong)) as api:
            with pytest.raises(BadAnswer):
                await api.call_list("GET", "/state")


async def test_no_content_is_a_success() -> None:
    """204 has no body to read."""
    async with serving(answering(204, "")) as api:
        assert await api.call("DELETE", "/p") == {}


async def test_numbers_of_any_length_are_read() -> None:
    """A number with thousands of digits, which old room versions allow, doesn't hide the rest of an answer."""
    async with serving(answering(200, '{"small": 12345678901234567890, "huge": ' + "9" * 5000 + "}")) as api:
        answer = await api.call("GET", "/p")
    assert answer == {"small": 12345678901234567890, "huge": float("inf")}


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Retry_After": "7"}, "{}", 7.0),
        ({}, '{"retry_after_ms": 2500}', 2.5),
        ({"Retry_After": "7"}, '{"retry_after_ms": 2500}', 7.0),
        ({"Retry_After": "Tue, 24 Nov 2026 10:00:30 GMT", "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}, "{}", 30.0),
        ({"Retry_After": "Tue, 24 Nov 2026 09:00:00 GMT", "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}, "{}", 0.0),
        ({"Retry_After": "soon"}, '{"retry_after_ms": 100}', 0.1),
        ({}, "<html>", None),
        ({}, '{"retry_after_ms": true}', None),
        ({}, '{"retry_after_ms": NaN}', None),
        ({}, '{"retry_after_ms": "100"}', None),
        ({}, '{"retry_after_ms": -5}', 0.0),
        ({"Retry_After": "9" * 400}, "{}", RETRY_AFTER_MAX),
        ({}, '{"retry_after_ms": 1' + "0" * 400 + "}", None),
        ({}, '{"retry_after_ms": 1' + "0" * 200 + "}", RETRY_AFTER_MAX),
    ],
)
async def test_rate_limits_say_how_long(headers: dict[str, str], body: str, expected: float | None) -> None:
    """Both forms of 429 are read; nonsense gives None, and nobody makes the program wait for more than a day."""
    async with serving(answering(429, body, **headers)) as api:
        error = await error_of(api)
    assert isinstance(error, RateLimited)
    assert error.retry_after == expected


async def test_mas_errors_are_read_too() -> None:
    """The Matrix Authentication Service words its errors otherwise."""
    async with serving(answering(404, '{"errors": [{"title": "User not found"}]}')) as api:
        error = await error_of(api)
    assert str(error) == "GET /path/@person:server: 404 User not found"


async def test_errors_are_one_clean_line_without_secrets() -> None:
    """The server's text is cut and freed of control and direction characters; the token and the body stay out."""
    text = f"a\\nb\\u202e\\u0007 {TOKEN} " + "x" * 1000
    async with serving(answering(400, '{"errcode": "M_\\nX", "error": "' + text + '"}')) as api:
        with pytest.raises(Refused) as caught:
            await api.call("POST", "/p/{}", "@a\n:b", json={"password": "swordfish"})
    sentence = str(caught.value)
    assert caught.value.errcode == ""
    assert len(caught.value.message) == MESSAGE_MAX
    assert sentence.startswith("POST /p/@a%0A:b: 400 a b … xxx")
    assert TOKEN not in sentence
    assert "swordfish" not in sentence
    assert all(each.isprintable() for each in sentence)


@given(st.text(), st.text())
def test_no_text_of_a_server_breaks_the_sentence(errcode: str, text: str) -> None:
    """Whatever a server says, the error is one printable line of bounded length."""
    api = Api(None, "http://server", TOKEN)  # type: ignore[arg-type] # never asked
    with pytest.raises(Refused) as caught:
        api._judge("GET /p", 400, {}, json.dumps({"errcode": errcode, "error": text + TOKEN}).encode())
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < MESSAGE_MAX + 120
    assert TOKEN not in sentence


async def test_nobody_listening_is_unreachable() -> None:
    """A refused connection is told with the method and path, and without the token."""
    async with serving(answering(200, "{}")) as api:
        pass  # the server is gone now, its port free; the session closed with it, so a new one is needed
    async with aiohttp.ClientSession() as session:
        error = await error_of(Api(session, api._base_url, TOKEN))
    assert type(error) is Unreachable
    assert str(error).startswith("GET /path/@person:server: ClientConnectorError")
    assert error.__cause__ is None


async def test_a_reset_in_the_middle_of_an_answer_is_unreachable() -> None:
    """An answer that promised more than came is not an answer."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    async with serving_bytes(head + b'{"a": 1}', reset=True) as api:
        assert type(await error_of(api)) is Unreachable
    async with serving_bytes(head + b'{"a": 1}') as api:
        assert type(await error_of(api)) is Unreachable
    async with serving_bytes(b"") as api:
        assert type(await error_of(api)) is Unreachable
    async with serving_bytes(b"SSH-2.0-OpenSSH\r\n") as api:
        assert type(await error_of(api)) is Unreachable


async def test_silence_ends_after_the_time_given() -> None:
    """A server that says nothing, or stops in the middle, costs no longer than the time-out, and is unreachable."""
    async with serving_bytes(b"", hold=True) as api:
        error = await error_of(api, timeout=0.2)
    assert str(error) == "GET /path/@person:server: no answer within 0.2 s"
    async with serving_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", hold=True) as api:
        assert type(await error_of(api, timeout=0.2)) is Unreachable


async def test_cut_off_text_without_a_length_is_a_bad_answer() -> None:
    """Where a server doesn't say how long its answer is, half of it is found out by reading it."""
    async with serving_bytes(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"joined_rooms": [') as api:
        assert type(await error_of(api)) is BadAnswer


async def test_half_a_surrogate_pair_spoils_nothing() -> None:
    """A tombstone, a display name: anybody may write one, and it must reach no database."""
    body = r'{"type": "m.room.tombstone", "content": {"replacement_room": "!\ud800"}}'
    async with serving(answering(200, body)) as api:
        assert (await api.call("GET", "/x"))["content"] == {"replacement_room": "!\ufffd"}
