"""Waves at work: paused, resumed, cancelled, interrupted, and accounts of which one fails."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy, answer, slow
from sandbox.scene import Scene
from tests.support.admin_room import audited, read_only
from tests.support.waves import Asked, ask, asked, gone, spammers, upload
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]
MANY = {"other_moderator_above": 1000, "type_number_above": 1000}


async def in_rooms(stage: Scene, users: list[str], rooms: int) -> None:
    """Joins each account to so many rooms, so that its removal takes a moment."""
    made = [await stage.moderator.create_room(preset="public_chat") for _ in range(rooms)]
    for user in users:
        for room in made:
            path = f"/_matrix/client/v3/join/{room}"
            await stage.homeserver.call("POST", path, token=stage.tokens[user], json={})


async def some_done(wave: Asked, number: int) -> None:
    """Waits until so many accounts are done."""

    async def look() -> bool:
        return Counter(wave.members().values())["done"] >= number

    await settled(look)


async def wave_of(stage: Scene, count: int, rooms: int) -> tuple[Asked, list[str]]:
    """A wave that somebody is asked about, of accounts in rooms."""
    targets = await spammers(stage, count)
    await in_rooms(stage, targets, rooms)
    return await ask(stage, f"!deactivate {' '.join(targets)}"), targets


async def test_pause_and_resume_and_cancel_in_the_middle(scene: MakeScene, proxy: Proxy) -> None:
    """While paused nothing more is done; cancelled, what isn't deactivated is set free, and the rest is finished."""
    proxy.on("POST", "/deactivate/", slow(1.0))
    stage = await scene(homeserver={"url": proxy.base_url}, bulk=MANY, moderators={"max_removals_per_hour": 1000})
    wave, targets = await wave_of(stage, 80, 0)
    await wave.press()
    await some_done(wave, 2)
    await wave.press("⏸")

    async def paused() -> bool:
        return wave.state == "paused"

    await settled(paused)
    await asyncio.sleep(8)  # steps that were begun end
    before, asked_for = wave.members(), proxy.count("POST", "/deactivate/")
    assert Counter(before.values())["running"] > 0
    await asyncio.sleep(3)
    assert wave.members() == before
    assert proxy.count("POST", "/deactivate/") == asked_for
    assert "paused" in (await wave.by.edited(wave.prompt.event_id, "paused")).body
    await wave.by.say(stage.room, f"!resume {wave.reference}")
    await some_done(wave, Counter(before.values())["done"] + 2)
    await wave.by.say(stage.room, f"!cancel {wave.reference}")
    assert "is cancelled" in await wave.ended()
    states, dead = wave.members(), await gone(stage, targets)
    assert set(states.values()) == {"done", "cancelled"}
    assert {user for user, state in states.items() if state == "done"} == {u for u, is_gone in dead.items() if is_gone}
    for user, is_gone in dead.items():
        assert is_gone or not (await stage.user(user))["suspended"]
    assert "nothing of it has failed" in await wave.answer("!retry {}")


async def test_one_failure_stops_no_other(scene: MakeScene, proxy: Proxy) -> None:
    """The homeserver forbids one account: it stays suspended and is named, and `!retry` takes it up."""
    stage = await scene(homeserver={"url": proxy.base_url})
    targets = await spammers(stage, 4)
    refused = targets[2]
    veto = proxy.on("POST", f"/deactivate/{quote(refused, safe='')}", answer(403, {"errcode": "M_FORBIDDEN"}))
    wave = await ask(stage, f"!deactivate {' '.join(targets)}")
    await wave.press()
    said = await wave.ended()
    assert "3 of 4" in said
    assert "1 failed" in said
    assert await gone(stage, targets) == {target: target != refused for target in targets}
    outcome = {row["user_id"].lstrip("'"): row for row in await wave.file("outcome")}
    assert outcome[refused]["outcome"] == "blocked"
    assert "403" in outcome[refused]["because"]
    assert (await stage.user(refused))["suspended"]
    veto.lift()
    assert "trying 1 account again" in await wave.answer("!retry {}")
    assert "4 of 4" in (await wave.says("4 of 4")).body
    assert all((await gone(stage, targets)).values())


async def test_a_wave_keeps_nobody_waiting(scene: MakeScene, proxy: Proxy) -> None:
    """A single removal and a question are answered at once, and `!requests` shows the wave as one line."""
    proxy.on("POST", "/deactivate/", slow(1.0))
    stage = await scene(homeserver={"url": proxy.base_url}, bulk=MANY, moderators={"max_removals_per_hour": 1000})
    wave, _ = await wave_of(stage, 60, 0)
    await wave.press()
    await some_done(wave, 1)
    single = await stage.account("single")
    asked_for = await stage.moderator.say(stage.room, f"!deactivate {single}")
    card = await stage.moderator.reply_to(asked_for, containing="to go on")
    await stage.moderator.react(stage.room, card.event_id, "✅")
    listing = await wave.answer("!requests")
    assert len([line for line in listing.splitlines() if "60 accounts" in line]) == 1
    await stage.moderator.reply_to(asked_for, containing="Read back")
    assert wave.state == "running"
    await wave.ended()


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_three_hundred_accounts_with_the_bot_and_the_homeserver_killed(
    scene: MakeScene, fresh_homeserver: Callable[..., Awaitable[Homeserver]]
) -> None:
    """The bot is killed ten times and the homeserver twice: exactly the confirmed ones are gone, each once, each with
    its outcome."""
    homeserver = await fresh_homeserver()
    stage = await scene(on=homeserver, bulk=MANY, moderators={"max_removals_per_hour": 1000})
    targets = await spammers(stage, 300)
    await in_rooms(stage, targets[:60], 2)
    bystanders = [await stage.account("good") for _ in range(5)]
    content = await upload(stage.moderator, "\n".join(targets).encode(), "list.csv")
    said = await stage.moderator.send(stage.room, "m.room.message", {**content, "body": "!deactivate --erase"})
    wave = await asked(stage, said)
    excluded = targets[7]
    await stage.moderator.say(stage.room, f"!exclude {wave.reference} {excluded}")
    prompt = await wave.says("299 accounts?")
    await stage.moderator.react(stage.room, prompt.event_id, "✅")
    chance = random.Random(3)  # noqa: S311 - the same kills every time
    for kill in range(12):
        await asyncio.sleep(chance.uniform(0.4, 3.0))
        if kill % 6 == 5:
            await homeserver.kill()
            await homeserver.start()
        else:
            await stage.bot.kill()
            await stage.bot.start(timeout=60)
    ended = await wave.ended(timeout=900)
    assert "299 of 299" in ended
    dead = await gone(stage, [*targets, *bystanders])
    assert {user for user, is_gone in dead.items() if is_gone} == set(targets) - {excluded}
    outcome = await wave.file("outcome")
    assert len(outcome) == 300
    assert Counter(row["outcome"] for row in outcome) == {"done": 299, "excluded": 1}
    assert not any(row["proofs_missing"] for row in outcome)
    once: Any = Counter(target for _, target, public in audited(stage, "Confirmed") if public.get("wave"))
    assert set(once.values()) == {1}
    done = Counter(target for _, target, public in audited(stage, "StepDone") if public.get("state") == "done")
    assert set(done) == set(targets) - {excluded}
    assert set(done.values()) == {1}
    assert read_only(stage.bot.database, "SELECT COUNT(*) FROM requests WHERE open = 1") == [(0,)]
    ended_said = [e for e in stage.moderator.timeline.events if "It took" in e.body and e.replaces is None]
    assert len(ended_said) == 1
