"""Two servers' bots in one admin room: each removes its own server's accounts, and one speaks for both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sandbox.federation import FederatedHomeserver
from sandbox.lethe import Lethe
from sandbox.scene import Scene
from tests.conftest import People

MakeScene = Callable[..., Awaitable[Scene]]


async def test_two_bots_in_one_room(
    scene: MakeScene, other: FederatedHomeserver, strangers: People, home: FederatedHomeserver
) -> None:
    """`!ping` has two answers, `!help` one; an account is suspended by its own server's bot; a short name and a number
    by none."""
    stage = await scene(start=False)
    there = await strangers.account("lethe", admin=True)
    here_target, there_target = await stage.account("loud"), (await strangers.account("loud")).user_id
    await stage.moderator.invite(stage.room, there.user_id)
    second = Lethe(
        other.base_url,
        there.user_id,
        there.password,
        stage.room,
        moderators={"allow_remote": True},
        shared_admin_room={"other_bots": [stage.bot_id]},
        self_service={"enabled": False},
    )
    stage.bot.configure(shared_admin_room={"other_bots": [there.user_id], "answers_for_others": True})
    try:
        await stage.bot.start()
        await stage.bot_joined()
        await second.start()
        await stage.moderator.wait_for(
            lambda e: e.state_key == there.user_id and e.content.get("membership") == "join", 60
        )
        bots = {stage.bot_id, there.user_id}

        async def answers(text: str, expected: set[str]) -> dict[str, str]:
            event_id = await stage.moderator.say(stage.room, text)

            def found() -> dict[str, str]:
                replies = [e for e in stage.moderator.timeline.events if e.replies_to == event_id and e.sender in bots]
                return {e.sender: e.body for e in replies}

            await stage.moderator.until(lambda: expected <= set(found()), 60, f"answers to {text!r}")
            await asyncio.sleep(2)  # time for an answer that mustn't come
            assert set(found()) == expected, found()
            return found()

        pings = await answers("!ping", bots)
        assert there.user_id in pings[stage.bot_id] and stage.bot_id in pings[there.user_id]
        await answers("!help", {stage.bot_id})
        await answers("!nonsense", {stage.bot_id})
        assert "is suspended" in (await answers(f"!suspend {here_target}", {stage.bot_id}))[stage.bot_id]
        assert "is suspended" in (await answers(f"!suspend {there_target}", {there.user_id}))[there.user_id]
        said = await answers("!suspend @loud", {stage.bot_id})
        assert "whole Matrix ID" in said[stage.bot_id]
        said = await answers("!cancel R1", {stage.bot_id})
        assert "its own numbers" in said[stage.bot_id]
        await answers(f"{there.user_id} !requests", {there.user_id})
        user = await stage.user(here_target)
        assert user["suspended"] is True
    finally:
        await second.close()
