"""Each part of a Synapse with workers ends in the middle of a removal, and comes back: the removal ends as promised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox.proxy import Proxy, held
from sandbox.scene import Scene
from sandbox.workers import WorkersHomeserver
from tests.support.prompts import said
from tests.support.removals import Removal, asked, redactions, talk, upload
from tests.support.worker_views import gone, remembered, seen_by
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]
AWAY = 2.0
"""Seconds until a supervisor would have started a process again."""
REDIS_AWAY = 10.0
SOON = 20.0
"""Seconds within which the bot sees what a worker shows at last: a pause, and the steps that follow."""


async def outage(homeserver: WorkersHomeserver, part: str) -> None:
    """Ends a part, and starts it again."""
    if part == "redis":
        await homeserver.redis.kill()
        await asyncio.sleep(REDIS_AWAY)
        await homeserver.redis.start()
    elif part == "postgres":
        await homeserver.postgres.stop()
        await homeserver.postgres.start()
    else:
        process = {"main": homeserver.main, "persister": homeserver.persister, "worker": homeserver.worker}[part]
        await process.kill()
        await asyncio.sleep(AWAY)
        await process.start()


async def at(removal: Removal, step: str) -> None:
    """Waits until a step has begun."""

    async def begun() -> bool:
        return any(record["step"] == step and record["state"] != "pending" for record in removal.stored["steps"])

    await settled(begun)


@pytest.mark.parametrize("part", ["worker", "persister", "main", "postgres", "redis"])
async def test_a_part_ends_in_the_middle(scene: MakeScene, workers: WorkersHomeserver, part: str) -> None:
    """Two removals are under way: the messages of one account are being redacted, the other one is being deactivated
    and leaves its rooms. Both end as promised, each redaction was asked for once, and nothing is said twice."""
    stage = await scene()
    reader = await stage.account("reader")
    talker, joiner = [await stage.account(role) for role in ("talker", "joiner")]
    rooms = {
        talker: [await talk(stage, talker, "11", messages=30, members=(reader,)) for _ in range(2)],
        joiner: [await talk(stage, joiner, "11", messages=0, members=(reader,)) for _ in range(20)],
    }
    for user_id in rooms:
        await upload(stage, stage.tokens[user_id], 2)
        await remembered(stage, user_id)
    redacting = await asked(stage, f"!deactivate {talker} --erase --redact --media")
    leaving = await asked(stage, f"!deactivate {joiner} --erase --media")
    await redacting.confirm()
    await leaving.confirm()
    await asyncio.gather(at(redacting, "redact"), at(leaving, "deactivate"))
    await outage(workers, part)
    receipts = await asyncio.gather(*(each.done(timeout=240) for each in (redacting, leaving)))
    assert not [receipt for receipt in receipts if "✗" in receipt]
    for user_id in rooms:
        await gone(stage, user_id, rooms[user_id], reader)
    assert len(await redactions(stage, talker)) == 1
    bodies = [event.body for event in said(stage)]
    assert len(bodies) == len(set(bodies))


async def test_what_a_worker_remembers_counts_as_open(
    scene: MakeScene, workers: WorkersHomeserver, between: Proxy
) -> None:
    """Without Redis, the workers don't hear that an account they remember is gone: the main process shows it, they
    don't. The bot doesn't call it done; once they show it, it sees that within seconds."""
    stage = await scene(homeserver={"url": between.base_url})
    spammer = await stage.account("spammer")
    removal = await asked(stage, f"!deactivate {spammer} --erase")
    gate = asyncio.Event()
    act = between.on("POST", "/deactivate/", held(gate), times=1)
    await removal.confirm()
    await act.hit()
    await remembered(stage, spammer)
    await workers.redis.kill()
    try:
        gate.set()
        await settled(lambda: _deactivated(stage, workers.main, spammer))
        # Nobody's sync hears of anything now, the moderator's neither: the bot's database tells.
        await settled(lambda: _waits(removal))
        assert not [each for each in (workers.persister, workers.worker) if await _deactivated(stage, each, spammer)]
    finally:
        await workers.redis.start()
    # What they missed meanwhile they never hear: their administrator has to start them anew.
    for process in (workers.persister, workers.worker):
        await process.kill()
        await process.start()
    assert "✗" not in await removal.done(timeout=SOON)
    await gone(stage, spammer, [], stage.moderator.user_id, redacted=False)


async def _waits(removal: Removal) -> bool:
    """Whether a step has failed because the homeserver doesn't show yet what was done."""
    return removal.state == "running" and any("still shows" in step["cause"] for step in removal.stored["steps"])


async def _deactivated(stage: Scene, process: Any, user_id: str) -> bool:
    return bool((await seen_by(stage, process, user_id))["deactivated"])
