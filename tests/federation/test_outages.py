"""The other server hangs, refuses or is gone while one of our accounts that shares rooms with it is removed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest

from sandbox.client import Person
from sandbox.federation import FederatedHomeserver
from sandbox.scene import Scene
from tests.conftest import People
from tests.support.admin_room import read_only
from tests.support.removals import begun
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]
HOWS = ("hanging", "refusing", "gone")
LONGEST = 120.0
"""Seconds that a removal with two pending invitations may take; 20 s each were measured where a server hangs."""


@asynccontextmanager
async def away(server: FederatedHomeserver, how: str) -> AsyncIterator[None]:
    """In between, the server doesn't federate."""
    if how == "hanging":
        server.hang()
        yield
        server.go_on()
    elif how == "refusing":
        await server.restart_with(federation_domain_whitelist=[])
        yield
        await server.restart_with(federation_domain_whitelist=None)
    else:
        await server.kill()
        yield
        await server.start()


def memberships(stage: Scene, user_id: str) -> set[str]:
    """The account's memberships as this server stores them; its admin API leaves out rooms that it isn't in."""
    question = "SELECT DISTINCT membership FROM local_current_membership WHERE user_id = ?"
    return {str(membership) for (membership,) in read_only(stage.homeserver.database_file, question, user_id)}


async def there(reader: Person, room: str, user_id: str) -> str:
    """The account's membership as the reader's server has it."""
    return str((await reader.state(room, "m.room.member", user_id) or {}).get("membership"))


@pytest.mark.parametrize("how", HOWS)
async def test_another_server_holds_nothing_up(
    scene: MakeScene, mortal: FederatedHomeserver, how: str, record_property: Callable[[str, object], None]
) -> None:
    """An account in a shared room, and with two pending invitations by that server: done here, in bounded time, and
    nothing said that isn't so. Once the server is back, it shows the account as gone from the shared room."""
    stage = await scene()
    crowd = People(mortal)
    try:
        spammer, reader = await stage.person("spammer"), await crowd("reader")
        shared = await reader.create_room(name="Lounge", preset="public_chat", invite=[spammer.user_id])
        await spammer.invited_to(by=reader.user_id)
        await spammer.join(shared)
        for number in range(2):
            await reader.create_room(name=f"Come in {number}", invite=[spammer.user_id])
        await spammer.until(lambda: len(spammer.invites) == 2, what="two invitations")
        async with away(mortal, how):
            began = time.monotonic()
            removal = await begun(stage, f"!deactivate {spammer.user_id} --erase")
            receipt = await removal.done(timeout=LONGEST)
            took = time.monotonic() - began
            record_property("removed in seconds", round(took, 1))
            assert "✗" not in receipt and "✓ in no room" in receipt
            assert "Copies on other servers stay" in await removal.command("receipt")
            assert took < LONGEST
            assert (await stage.user(spammer.user_id))["erased"]
            assert memberships(stage, spammer.user_id) == {"leave"}

        async def gone_there() -> bool:
            return await there(reader, shared, spammer.user_id) == "leave"

        # Anything sent there makes this server look whether that one is back.
        await _nudge(stage, mortal)
        await settled(gone_there)
    finally:
        await crowd.close()


async def _nudge(stage: Scene, server: FederatedHomeserver) -> None:
    path = f"v1/federation/destinations/{quote(server.server_name, safe='')}/reset_connection"
    for _ in range(50):
        answered = await stage.admin("GET", path.removesuffix("/reset_connection"))
        if answered.get("retry_last_ts"):
            await stage.admin("POST", path, json={})
        await asyncio.sleep(0.1)
        if not answered.get("retry_last_ts"):
            return


@pytest.mark.parametrize("many", [6])
async def test_many_pending_invitations_of_a_dead_server(
    scene: MakeScene, mortal: FederatedHomeserver, many: int, record_property: Callable[[str, object], None]
) -> None:
    """They make the deactivation slow, and nothing worse: it is done once, and said once."""
    stage = await scene()
    crowd = People(mortal)
    try:
        spammer, inviter = await stage.person("spammer"), await crowd("inviter")
        for number in range(many):
            await inviter.create_room(name=f"Come in {number}", invite=[spammer.user_id])
        await spammer.until(lambda: len(spammer.invites) == many, what="the invitations")
        await mortal.kill()
        began = time.monotonic()
        removal = await begun(stage, f"!deactivate {spammer.user_id} --erase")
        receipt = await removal.done(timeout=300)
        record_property("removed in seconds", round(time.monotonic() - began, 1))
        assert "✗" not in receipt
        assert memberships(stage, spammer.user_id) == {"leave"}
        assert removal.step("deactivate")["attempts"] == 1
    finally:
        await crowd.close()
