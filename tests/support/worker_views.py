"""An account as each process of a Synapse with workers shows it: shared by the tests with workers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import aiohttp

from sandbox.scene import Scene
from sandbox.workers import Synapse, WorkersHomeserver
from tests.support.removals import media_total, readable


async def seen_by(stage: Scene, process: Synapse, user_id: str) -> dict[str, Any]:
    """`GET v2/users/{user_id}`, asked of one process behind the proxy's back."""
    url = f"http://127.0.0.1:{process.port}/_synapse/admin/v2/users/{quote(user_id, safe='')}"
    headers = {"Authorization": f"Bearer {stage.tokens[stage.bot_id]}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
        answer.raise_for_status()
        return dict(await answer.json())


def processes(homeserver: WorkersHomeserver) -> list[Synapse]:
    """All that show accounts."""
    return [homeserver.main, homeserver.persister, homeserver.worker]


async def gone(stage: Scene, user_id: str, rooms: list[str], reader: str, *, redacted: bool = True) -> None:
    """Asserts that an account is deactivated, erased, without files and in no room, whichever process is asked; and
    that none of its messages can be read by somebody who was there."""
    homeserver = stage.homeserver
    assert isinstance(homeserver, WorkersHomeserver)
    for process in processes(homeserver):
        user = await seen_by(stage, process, user_id)
        assert user["deactivated"] and user["erased"] and not user["suspended"], process.port
        assert user["displayname"] is None and user["threepids"] == [], process.port
    assert (await stage.admin("GET", f"v1/users/{quote(user_id)}/joined_rooms"))["total"] == 0
    assert await media_total(stage, user_id) == 0
    question = "SELECT count(*) FROM local_current_membership WHERE user_id = %s AND membership = 'join'"
    assert homeserver.query(question, user_id) == [(0,)]
    if redacted:
        assert [await readable(stage, reader, room, user_id) for room in rooms] == [0] * len(rooms)


async def remembered(stage: Scene, user_id: str) -> None:
    """Has every process remember the account as it is now."""
    assert isinstance(stage.homeserver, WorkersHomeserver)
    for process in processes(stage.homeserver):
        await seen_by(stage, process, user_id)
