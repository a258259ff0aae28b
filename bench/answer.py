"""What an answer costs the bot, against the least that a bot on the same library could do.

    python -m bench.answer [--answers 100]

The least is matrix-nio's client in an encrypted room of its own, which says as many words to whoever says `!help`, and
keeps nothing. Both are asked in turn on one Synapse, so that what else the machine does hits both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile

from bench.bare import beside
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from sandbox.usage import usage

BARE = """
import asyncio, sys
from nio import AsyncClient, AsyncClientConfig, RoomMessageText

async def main(url, user_id, password, store, room_id, words):
    config = AsyncClientConfig(encryption_enabled=True)
    client = AsyncClient(url, user_id, store_path=store, config=config)
    await client.login(password)
    await client.join(room_id)
    await client.sync(timeout=0, full_state=True)

    async def answer(room, event):
        if event.body == "!help":
            relation = {"m.in_reply_to": {"event_id": event.event_id}}
            content = {"msgtype": "m.text", "body": words, "m.relates_to": relation}
            await client.room_send(room.room_id, "m.room.message", content, ignore_unverified_devices=True)

    client.add_event_callback(answer, RoomMessageText)
    print("ready", flush=True)
    await client.sync_forever(timeout=30000)

asyncio.run(main(*sys.argv[1:]))
"""
WARM_UP = 5
"""Answers that don't count."""


async def measure(answers: int) -> tuple[float, float]:
    """Seconds of processor time for an answer: the bot, and the bare one."""
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        try:
            await stage.set_up(log={"level": "info"})
            user = await stage.account("bare")
            room = await stage.moderator.create_room(encrypted=True, invite=[user])
            words = await _asked(stage, stage.room)
            with tempfile.TemporaryDirectory() as store:
                async with beside(stage, BARE, user, store, room, words) as pids:
                    await _ask(stage, room, WARM_UP)
                    before = [usage(pid).cpu for pid in pids]
                    await _ask(stage, room, answers)
                    ours, theirs = ((usage(pid).cpu - at) / answers for pid, at in zip(pids, before, strict=True))
                    return ours, theirs
        finally:
            await stage.close()


async def _ask(stage: Scene, room_id: str, times: int) -> None:
    """Both in turn."""
    for _ in range(times):
        await _asked(stage, stage.room)
        await _asked(stage, room_id)


async def _asked(stage: Scene, room_id: str) -> str:
    said = await stage.moderator.say(room_id, "!help")
    return (await stage.moderator.reply_to(said, 60)).body


async def main(answers: int) -> None:
    """Measures and prints."""
    ours, bare = await measure(answers)
    print(f"Processor time for an answer to !help in an encrypted room, mean of {answers}:")
    print(f"  Lethe {ours * 1000:.1f} ms, a bare nio bot {bare * 1000:.1f} ms: {ours / bare:.1f} ×")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100)
    asyncio.run(main(parser.parse_args().answers))
