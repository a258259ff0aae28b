"""Whether accounts live in a Matrix Authentication Service: told apart on Synapses that do, don't, and can't say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from homeserver.accounts.detection import uses_mas
from homeserver.client.api import Api, BadAnswer, HomeserverError, ServerFault
from sandbox.homeserver import Homeserver
from sandbox.synapse_process import free_port
from tests.conftest import Account

MakeHomeserver = Callable[..., Awaitable[Homeserver]]
PATHS = ("/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata")


def delegation(port: int) -> dict[str, object]:
    """The configuration of a Synapse whose accounts live in the service at this port."""
    service = {"enabled": True, "endpoint": f"http://127.0.0.1:{port}/", "secret": "a secret of the two"}
    return {"matrix_authentication_service": service, "password_config": {"enabled": False}}


@asynccontextmanager
async def mas(port: int) -> AsyncIterator[None]:
    """The one page of the service that Synapse needs to tell about it."""

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path != "/.well-known/openid-configuration":
            return web.Response(status=404)
        address = f"http://127.0.0.1:{port}/"
        return web.json_response({"issuer": address, "account_management_uri": address + "account"})

    async with RawTestServer(handle, host="127.0.0.1", port=port):
        yield


async def test_a_plain_synapse_has_no_such_service(
    homeserver: Homeserver, session: aiohttp.ClientSession, admin: Account
) -> None:
    """Synapse's own 404 to both paths is "no"."""
    assert await uses_mas(Api(session, homeserver.base_url, admin.access_token)) is False


async def test_a_delegating_synapse_says_so_or_fails(
    fresh_homeserver: MakeHomeserver, session: aiohttp.ClientSession
) -> None:
    """While the service is down Synapse fails, and that never reads as "no such service"; once it is up it is "yes"."""
    port = free_port()
    own = await fresh_homeserver(config=delegation(port))
    api = Api(session, own.base_url, None)
    with pytest.raises(ServerFault):
        await uses_mas(api)
    async with mas(port):
        assert await uses_mas(api) is True


@asynccontextmanager
async def answering(answers: dict[str, web.Response]) -> AsyncIterator[Api]:
    """A homeserver that answers these paths so, and others as Synapse does where it knows nothing."""

    async def handle(request: web.BaseRequest) -> web.Response:
        unknown = web.json_response({"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}, status=404)
        return answers.get(request.path, unknown)

    async with RawTestServer(handle) as server, aiohttp.ClientSession() as session:
        yield Api(session, str(server.make_url("/")), None)


@pytest.mark.parametrize("path", PATHS)
async def test_either_path_is_enough(path: str) -> None:
    """Older Synapses know the service's metadata under its older name only."""
    async with answering({path: web.json_response({"issuer": "https://mas.example/"})}) as api:
        assert await uses_mas(api) is True


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "answer",
    [
        (500, '{"errcode": "M_UNKNOWN"}'),
        (502, "<html>"),
        (404, "<html>Not Found</html>"),
        (404, '{"message": "no route"}'),
        (429, "{}"),
        (403, '{"errcode": "M_FORBIDDEN"}'),
        (200, "{}"),
        (200, "<html>Welcome</html>"),
        (200, '{"issuer": null}'),
    ],
)
async def test_anything_unclear_is_an_error(path: str, answer: tuple[int, str]) -> None:
    """A proxy's 404, a fault, a limit or a page of something else is neither yes nor no."""
    status, body = answer
    async with answering({path: web.Response(status=status, text=body)}) as api:
        with pytest.raises(HomeserverError) as caught:
            await uses_mas(api)
    assert isinstance(caught.value, BadAnswer) is ((status == 200) or "<html>Not" in body)
