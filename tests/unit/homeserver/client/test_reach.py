"""Homeservers are told apart by what they call themselves, whatever part of Synapse's admin API they serve."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer

from homeserver.client.reach import Found, Reach, look
from tests.support.not_homeservers import Handler, another, client_only, synapse


@pytest.mark.parametrize(
    ("handler", "reach", "detail"),
    [
        (another("Dendrite", "0.15.2"), Reach.DENDRITE, "Dendrite 0.15.2"),
        (another("Conduit", "0.10.9"), Reach.CONDUIT, "Conduit 0.10.9"),
        (another("conduwuit", "0.4.6"), Reach.CONDUIT, "conduwuit 0.4.6"),
        (another("continuwuity", "0.5.0"), Reach.CONDUIT, "continuwuity 0.5.0"),
        (another("tuwunel", "1.4.0"), Reach.TUWUNEL, "tuwunel 1.4.0"),
        (another("Tuwunel", "1.8.1", admin_api=True), Reach.TUWUNEL, "Tuwunel 1.8.1"),
        (another("Synapse", "1.163.2"), Reach.NO_ADMIN_API, "it answers 404"),
        (another("Synapse", "1.163.2", admin_api=True), Reach.SYNAPSE, ""),
        (another("A fork", "1", admin_api=True), Reach.SYNAPSE, ""),
        (synapse, Reach.SYNAPSE, ""),
        (client_only, Reach.NO_ADMIN_API, "it answers 404"),
    ],
)
async def test_by_what_they_answer(handler: Handler, reach: Reach, detail: str) -> None:
    """The name decides, then the admin API; a Synapse that hides its name from here is one all the same."""
    async with RawTestServer(handler) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("/")).rstrip("/")
        found = await look(session, url)
    assert found == Found(reach, url, detail, found.version)
