"""What a removal costs through the bot, against the same admin calls made by hand in the same run."""

from __future__ import annotations

import asyncio
import statistics
import time
from urllib.parse import quote

from engine.steps import PAUSE
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene

ROUNDS = 5


async def measure() -> tuple[float, float]:
    """Medians in seconds: by hand, and from ✅ to the receipt; each account in one room, erased."""
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        try:
            await stage.set_up()
            room = await stage.moderator.create_room(name="Lounge", preset="public_chat")
            hands, bots = [], []
            for _ in range(ROUNDS):
                hands.append(await _by_hand(stage, await member(stage, room)))
                bots.append(await by_bot(stage, await member(stage, room)))
            return statistics.median(hands), statistics.median(bots)
        finally:
            await stage.close()


async def member(stage: Scene, room: str) -> str:
    """A new account in this room."""
    user_id = await stage.account("spammer")
    path = f"/_matrix/client/v3/join/{quote(room)}"
    await stage.homeserver.call("POST", path, token=stage.tokens[user_id], json={})
    return user_id


async def _by_hand(stage: Scene, user_id: str) -> float:
    """The calls of the plan, one after the other, as somebody with curl and patience would make them."""
    quoted = quote(user_id)
    began = time.perf_counter()
    await stage.user(user_id)
    for look in ("joined_rooms", "media"):
        await stage.admin("GET", f"v1/users/{quoted}/{look}")
    await stage.admin("GET", f"v2/users/{quoted}/devices")
    await stage.admin("PUT", f"v1/suspend/{quoted}", json={"suspend": True})
    await stage.user(user_id)
    await stage.user(user_id)
    await stage.admin("POST", f"v1/deactivate/{quoted}", json={"erase": True})
    while (await stage.admin("GET", f"v1/users/{quoted}/joined_rooms"))["total"]:  # noqa: ASYNC110 - only asking tells
        await asyncio.sleep(0.1)
    await asyncio.sleep(PAUSE)  # the rejoin race: whoever doesn't look again a moment later hasn't looked
    await stage.admin("GET", f"v1/users/{quoted}/joined_rooms")
    await stage.admin("PUT", f"v1/suspend/{quoted}", json={"suspend": False})
    await stage.user(user_id)
    for look in ("v2/users/{}/devices", "v1/users/{}/pushers", "v1/users/{}/joined_rooms", "v1/users/{}/accountdata"):
        await stage.admin("GET", look.format(quoted))
    return time.perf_counter() - began


async def by_bot(stage: Scene, user_id: str) -> float:
    """Seconds from ✅ to the receipt of an account's removal with erasure."""
    moderator = stage.moderator
    command = await moderator.say(stage.room, f"!deactivate {user_id} --erase")
    prompt = await moderator.reply_to(command, containing="to go on")
    await moderator.reacted(prompt.event_id, "✅", by=stage.bot_id)
    began = time.perf_counter()
    await moderator.react(stage.room, prompt.event_id, "✅")
    await moderator.reply_to(command, containing="Read back from the homeserver")
    return time.perf_counter() - began
