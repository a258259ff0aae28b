"""What people take for a homeserver's address: a website, a proxy, silence, a certificate that nobody trusts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import RawTestServer

from sandbox.certificate import server_context
from sandbox.synapse_process import free_port

MOVED_TO = "https://matrix.lethe.test"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def website(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="<html>Welcome</html>", content_type="text/html")


async def redirect(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=308, headers={"Location": MOVED_TO + request.path})


async def gateway(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=502, text="<html>Bad Gateway</html>")


async def client_only(request: web.BaseRequest) -> web.StreamResponse:
    if request.path == "/_matrix/client/versions":
        return web.json_response({"versions": ["v1.12"]})
    if request.path.startswith("/_synapse"):
        return web.Response(status=404, text="<html>not here</html>")
    return web.json_response({"errcode": "M_UNRECOGNIZED"}, status=404)


async def synapse(request: web.BaseRequest) -> web.StreamResponse:
    if request.path == "/_synapse/admin/v1/server_version":
        return web.json_response({"server_version": "1.163.2"})
    return await client_only(request)


def another(name: str, version: str, *, admin_api: bool = False) -> Handler:
    """Another homeserver, as it tells its name to other servers.

    Args:
        admin_api: it serves a part of Synapse's, with its own version.
    """

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/_matrix/federation/v1/version":
            return web.json_response({"server": {"name": name, "version": version}})
        if admin_api and request.path == "/_synapse/admin/v1/server_version":
            return web.json_response({"server_version": f"{name} {version}"})
        return await client_only(request)

    return handle


def well_known(url: str) -> Handler:
    """A website that names the homeserver's address."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/.well-known/matrix/client":
            return web.json_response({"m.homeserver": {"base_url": url}})
        return await website(request)

    return handle


@asynccontextmanager
async def not_homeservers(url: str, folder: Path) -> AsyncIterator[dict[str, str]]:
    """Runs them; gives the address of each, and the file of the certificate as `trusted`.

    Args:
        url: the real homeserver's address.
        folder: for the certificate.
    """
    context, file = server_context(folder)
    found = {"trusted": str(file)}
    handlers = {
        "website": website,
        "redirect": redirect,
        "gateway": gateway,
        "client_only": client_only,
        "well_known": well_known(url),
        "dendrite": another("Dendrite", "0.15.2"),
        "continuwuity": another("continuwuity", "0.5.0"),
        "tuwunel": another("tuwunel", "1.8.1", admin_api=True),
    }
    async with AsyncExitStack() as stack:
        for name, handler in handlers.items():
            server = await stack.enter_async_context(RawTestServer(handler, host="127.0.0.1"))
            found[name] = f"http://127.0.0.1:{server.port}"

        async def nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        silent = await asyncio.start_server(nothing, "127.0.0.1", 0)
        stack.callback(silent.close)
        found["silent"] = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        runner = web.ServerRunner(web.Server(synapse))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        found["tls"] = f"127.0.0.1:{port}"
        yield found
