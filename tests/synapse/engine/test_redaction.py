"""Redacting everything an account said: started once, whole, and believed only if nothing failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy, answer, held
from sandbox.scene import Scene
from tests.support.removals import RECEIPT, asked, begun, call_as, readable, redactions, talk
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]


@pytest.mark.parametrize("version", ["6", "10", "11"])
async def test_messages_go_in_rooms_of_old_versions_too(scene: MakeScene, proxy: Proxy, version: str) -> None:
    """Below version 11 a suspended account's redactions all fail: there the suspension is lifted meanwhile, and put
    back before anything else; from 11 on it stays."""
    stage = await scene(homeserver={"url": proxy.base_url})
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    room = await talk(stage, spammer, version, members=(reader,))
    gate = asyncio.Event()
    started = proxy.on("POST", "/v1/user/.*/redact", held(gate))
    ending = proxy.on("POST", "/deactivate/", held(gate))
    removal = await begun(stage, f"!deactivate {spammer} --redact")
    await started.hit()
    assert (await stage.user(spammer))["suspended"] is (version == "11")
    last = asyncio.Event()
    ending.lift()
    ending = proxy.on("POST", "/deactivate/", held(last))
    gate.set()
    await ending.hit()
    assert (await stage.user(spammer))["suspended"]
    assert await readable(stage, reader, room, spammer) == 0
    last.set()
    assert "✓ every redaction succeeded" in await removal.done()
    assert proxy.count("PUT", "/suspend/") == (2 if version == "11" else 4)


@pytest.mark.timeout(600)  # to say so much takes most of the time
@pytest.mark.slow
async def test_more_than_a_thousand_messages_are_redacted_once_despite_a_crash(scene: MakeScene) -> None:
    """1,010 messages in one room, the bot killed in the middle: all of them go, and Synapse was asked once."""
    stage = await scene()
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    room = await talk(stage, spammer, "11", members=(reader,), messages=1010)
    removal = await begun(stage, f"!deactivate {spammer} --redact")

    async def half_way() -> bool:
        tasks = await redactions(stage, spammer)
        return bool(tasks) and tasks[0]["status"] == "active"

    await settled(half_way)
    await stage.bot.kill()
    assert (await redactions(stage, spammer))[0]["status"] == "active"
    await stage.bot.start()
    await removal.done(timeout=150)
    assert await readable(stage, reader, room, spammer) == 0
    assert len(await redactions(stage, spammer)) == 1


async def test_a_failed_redaction_is_open_and_not_done(scene: MakeScene) -> None:
    """Where a room forbids it, Synapse calls the task complete; the bot doesn't: it names the number of failures,
    doesn't deactivate; `!retry` tries anew, and the way out is to cancel."""
    stage = await scene()
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    room = await talk(stage, reader, "11", messages=0, members=(spammer,))
    power = "/_matrix/client/v3/rooms/{}/state/m.room.power_levels/"
    levels = await call_as(stage, reader, "GET", power, room)
    strict = {**levels, "events": {**levels["events"], "m.room.redaction": 100}}
    await call_as(stage, reader, "PUT", power, room, json=strict)
    path = "/_matrix/client/v3/rooms/{}/send/m.room.message/t"
    await call_as(stage, spammer, "PUT", path, room, json={"msgtype": "m.text", "body": "spam"})

    removal = await begun(stage, f"!deactivate {spammer} --redact")
    said = await removal.says("is stuck at")
    assert "could not be redacted" in said and "!retry" in said and "not deactivated" in said
    assert removal.state == "blocked"
    assert (await redactions(stage, spammer))[0]["status"] == "complete"
    for attempts in (2, 3):
        await removal.retry()

        async def so_many(attempts: int = attempts) -> bool:
            return removal.state == "blocked" and len(await redactions(stage, spammer)) == attempts

        await settled(so_many)
    assert not any(RECEIPT in message.body for message in stage.moderator.messages(stage.room))
    # What a room forbade when it was said can't be mended by another attempt: the way on is without it.
    await removal.cancel()
    await removal.says("cancelled by")
    assert not (await stage.user(spammer))["suspended"]
    await (await begun(stage, f"!deactivate {spammer} --erase")).done()


async def test_a_redaction_that_failed_is_started_anew_once_a_person_says_so(scene: MakeScene, proxy: Proxy) -> None:
    """After `!retry` a new redaction is asked for; the failed one isn't taken for it, and the new one's end counts."""
    stage = await scene(homeserver={"url": proxy.base_url})
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    room = await talk(stage, spammer, "11", members=(reader,))
    failed = {"status": "complete", "failed_redactions": {"$one": "no", "$two": "no"}}
    proxy.on("GET", "/redact_status/", answer(200, failed), times=1)
    removal = await begun(stage, f"!deactivate {spammer} --redact")
    assert "2 of the messages could not be redacted" in await removal.says("is stuck at")
    await removal.retry()
    assert "✓ every redaction succeeded" in await removal.done()
    assert await readable(stage, reader, room, spammer) == 0
    assert len(await redactions(stage, spammer)) == 2


@pytest.mark.slow
async def test_somebody_elses_redaction_is_not_taken_for_ours(scene: MakeScene, proxy: Proxy) -> None:
    """A redaction that an admin started before doesn't count: the bot waits for its end, and starts its own."""
    stage = await scene(homeserver={"url": proxy.base_url})
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    first = await talk(stage, spammer, "11", messages=60, members=(reader,))
    second = await talk(stage, spammer, "11", messages=3, members=(reader,))
    removal = await asked(stage, f"!deactivate {spammer} --redact")
    await stage.admin("POST", f"v1/user/{spammer}/redact", json={"rooms": [first]})
    await removal.confirm()
    await settled(lambda: _waits(removal.stored))
    await removal.done()
    assert await readable(stage, reader, first, spammer) == await readable(stage, reader, second, spammer) == 0
    assert len(await redactions(stage, spammer)) == 2


async def _waits(stored: dict[str, object]) -> bool:
    steps = stored["steps"]
    assert isinstance(steps, list)
    return any("another redaction" in step["cause"] for step in steps)


@pytest.mark.slow
async def test_a_homeserver_killed_while_redacting_finishes(
    scene: MakeScene, fresh_homeserver: Callable[..., Awaitable[Homeserver]]
) -> None:
    """Synapse goes on with its task after its own crash; the bot doesn't start a second one."""
    own = await fresh_homeserver()
    stage = await scene(on=own)
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    room = await talk(stage, spammer, "11", messages=100, members=(reader,))
    removal = await begun(stage, f"!deactivate {spammer} --redact")

    async def active() -> bool:
        return any(task["status"] == "active" for task in await redactions(stage, spammer))

    await settled(active)
    await own.kill()
    await own.start()
    await removal.done(timeout=150)
    assert len(await redactions(stage, spammer)) == 1
    assert await readable(stage, reader, room, spammer) == 0
