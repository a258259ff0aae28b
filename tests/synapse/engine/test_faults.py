"""What a homeserver, or the way to it, can do wrong: nothing is lost, nothing done twice, nobody hammered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from sandbox.proxy import Exchange, Fault, Proxy, answer, cut_midway, garbage, limited, lose, refuse
from sandbox.scene import Scene
from tests.support.admin_room import answer as answered
from tests.support.admin_room import read_only
from tests.support.removals import RECEIPT, Removal, asked, email, furnished, redactions, talk
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]

FAULTS: dict[str, Fault] = {
    "500": answer(500),
    "502": answer(502, "<html>Bad Gateway</html>"),
    "504": answer(504, "<html>Gateway Time-out</html>"),
    "429": limited(),
    "429 with Retry-After": limited(1),
    "429 with retry_after_ms": limited(0.7, in_body=True),
    "reset": refuse,
    "reset in the middle of the answer": cut_midway,
    "answer lost": lose,
    "no JSON": garbage(),
    "another shape": answer(200, {"unexpected": []}),
    "a list": answer(200, []),
}
CALLS = {
    "snapshot": ("GET", "/v1/users/{}/joined_rooms"),
    "suspend": ("PUT", "/v1/suspend/{}"),
    "threepids": ("PUT", "/v2/users/{}"),
    "redact": ("POST", "/v1/user/{}/redact"),
    "redact status": ("GET", "/redact_status/"),
    "deactivate": ("POST", "/v1/deactivate/{}"),
    "verify": ("GET", "/v1/users/{}/accountdata"),
}


def quoted(user_id: str) -> str:
    """A Matrix ID as a pattern for the proxy, whose paths are encoded."""
    return user_id.replace("@", "(@|%40)").replace(":", "(:|%3A)")


async def finished(removals: list[Removal]) -> None:
    """Presses ✅ under all of them and waits for the receipts, without waiting for the back-off."""
    for removal in removals:
        await removal.confirm()
    for removal in removals:
        async with asyncio.timeout(120):
            while removal.state != "done":
                if removal.state == "running" and removal.stored["retry_ts"] is not None:
                    await removal.stage.moderator.say(removal.stage.room, f"!retry {removal.reference}")
                await asyncio.sleep(0.5)
        await removal.done()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.slow
async def test_no_fault_of_a_call_loses_or_doubles_anything(scene: MakeScene, proxy: Proxy, call: str) -> None:
    """Each fault once, each for an account of its own: every removal is done, with one receipt, one redaction, and no
    call more than the fault made necessary."""
    stage = await scene(homeserver={"url": proxy.base_url}, moderators={"max_removals_per_hour": 1000})
    method, path = CALLS[call]
    faults = FAULTS if call in ("deactivate", "redact") else dict(list(FAULTS.items())[::3])
    removals, targets = [], []
    for fault in faults.values():
        target = await stage.account("spammer")
        await furnished(stage, target, threepids=[email(target)])
        await talk(stage, target, "11", messages=1)
        removals.append(await asked(stage, f"!deactivate {target} --erase --redact"))
        targets.append(target)
        proxy.on(method, path.format(quoted(target)), fault, times=1)
    await finished(removals)
    for name, target in zip(faults, targets, strict=True):
        user = await stage.user(target)
        assert (user["deactivated"], user["erased"], user["suspended"]) == (True, True, False), name
        assert len(await redactions(stage, target)) == 1, name
        assert proxy.count("POST", f"/deactivate/{quoted(target)}") <= (2 if call == "deactivate" else 1), name
    bodies = [message.body for message in stage.moderator.messages(stage.room) if message.sender == stage.bot_id]
    receipts = [body for body in bodies if RECEIPT in body]
    assert len(receipts) == len(set(receipts)) == len(removals)


async def test_a_minute_of_silence_is_a_passing_failure(scene: MakeScene, proxy: Proxy) -> None:
    """The homeserver acts and says nothing, then the connection ends: `!status` shows that the outcome isn't known, and
    the next attempt settles it."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    over = asyncio.Event()

    async def silent(exchange: Exchange) -> web.StreamResponse:
        await exchange.pass_on()
        await over.wait()
        return await exchange.cut()

    rule = proxy.on("POST", "/deactivate/", silent, times=1)
    removal = await asked(stage, f"!deactivate {target}")
    await removal.confirm()
    await rule.hit()
    assert "deactivate: started" in await removal.command("status", removal.reference)
    assert "too late" in await removal.command("cancel")
    over.set()
    await removal.done()
    assert removal.step("deactivate")["attempts"] == 2


@pytest.mark.parametrize("name", ["500", "429 with Retry-After", "429", "reset", "cut", "lost", "no JSON"])
@pytest.mark.slow
async def test_a_message_is_said_once_whatever_happens_on_its_way(scene: MakeScene, proxy: Proxy, name: str) -> None:
    """Prompt, answer and receipt come once each, in order, although the first two attempts to send each failed."""
    faults = {**FAULTS, "cut": cut_midway, "lost": lose}
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    proxy.on("PUT", "/send/", faults[name], times=2)
    removal = await asked(stage, f"!deactivate {target}")
    proxy.on("PUT", "/send/", faults[name], times=2)
    await removal.confirm()
    await removal.done()
    events = [
        event
        for event in stage.moderator.timeline.events
        if event.sender == stage.bot_id and event.room_id == stage.room and event.type == "m.room.message"
    ]

    async def all_known() -> bool:  # the room may have one a moment before the bot has noted it
        rows = read_only(stage.bot.database, "SELECT event_id FROM outbox WHERE status = 'sent'")
        return {event.event_id for event in events} <= {row[0] for row in rows}

    await settled(all_known)
    first = [event.body for event in events if event.replaces is None]
    assert len(first) == len(set(first)) == 2


@pytest.mark.slow
async def test_a_dead_homeserver_is_asked_less_and_less(scene: MakeScene, proxy: Proxy) -> None:
    """With five removals under way and messages waiting, a homeserver that answers nothing is asked a few times, at
    growing distances, and not in a loop; when it is back, everything goes on at once."""
    stage = await scene(homeserver={"url": proxy.base_url}, moderators={"max_removals_per_hour": 1000})
    targets = [await stage.account("spammer") for _ in range(5)]
    removals = [await asked(stage, f"!deactivate {target}") for target in targets]
    for removal in removals:
        await removal.confirm()
    await proxy.seen("PUT", "/suspend/")
    dead = proxy.on("*", "", refuse)
    moments: list[float] = []

    def count() -> int:
        return len(proxy.requests)

    began, seen = time.monotonic(), count()
    while time.monotonic() - began < 30:
        await asyncio.sleep(0.25)
        moments += [time.monotonic() - began] * (count() - seen)
        seen = count()
    late = [moment for moment in moments if moment > 10]
    assert len(moments) <= 60, moments
    assert len(late) <= 20, late
    dead.lift()
    for removal in removals:
        await removal.done()


@pytest.mark.slow
async def test_status_shows_when_the_next_attempt_comes(scene: MakeScene, proxy: Proxy) -> None:
    """While a step fails for passing reasons, `!status` names the cause, the attempts and the time of the next."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    rule = proxy.on("PUT", "/suspend/", answer(503, "<html>maintenance</html>"))
    removal = await asked(stage, f"!deactivate {target}")
    await removal.confirm()
    await rule.hit(2)
    status = await removal.command("status", "Next attempt")
    assert "503" in status and "attempts" in status
    rule.lift()
    await removal.retry()
    await removal.done()
    assert "no open requests" in (await answered(stage, "!requests")).body
