"""Removals with a date: nothing before, a word the day before, cancelled meanwhile, done in time.

The bot runs in this process, with a clock that the test moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import app
from config import load
from sandbox.scene import Scene
from tests.synapse.asking import answer
from tests.synapse.conftest import settled
from tests.synapse.removing import Removal, asked, call_as, unchanged

MakeScene = Callable[..., Awaitable[Scene]]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Clock:
    """The real time, and what the test added to it."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return app.now_ms() + self.ahead_ms


@asynccontextmanager
async def running(stage: Scene, clock: Clock) -> AsyncIterator[None]:
    """The bot, for as long as this lasts."""
    stop = asyncio.Event()
    app.data_dir_ready(stage.bot.data_dir)
    bot = asyncio.create_task(app.run(load(stage.bot.config, {}), stop, clock))
    try:
        yield
    finally:
        stop.set()
        await bot


async def scheduled(stage: Scene, target: str, option: str) -> Removal:
    """Asks for a removal at a later time and confirms it."""
    removal = await asked(stage, f"!deactivate {target} --erase {option}")
    assert "Nothing is touched before" in removal.card.body
    await removal.confirm()
    await removal.says("stops it")
    return removal


async def heard(stage: Scene) -> None:
    """Says something and waits for the answer: by then the bot has looked at its clock."""
    await answer(stage, "!requests")


async def ready(scene: MakeScene) -> Scene:
    """A stage whose bot isn't started yet."""
    return await scene(start=False)


async def test_nothing_before_a_word_the_day_before_and_done_in_time(scene: MakeScene) -> None:
    """`--in 3d`: for three days the account is as it was and works; people are reminded once, a day before; then it
    is removed."""
    stage, clock = await ready(scene), Clock()
    target = await stage.account("spammer")
    async with running(stage, clock):
        await stage.bot_joined()
        removal = await scheduled(stage, target, "--in 3d")
        async with unchanged(stage, target):
            for hours in (1, 24, 47):
                clock.ahead_ms = hours * HOUR_MS
                await heard(stage)
            assert not _reminders(stage)
            clock.ahead_ms = 2 * DAY_MS + HOUR_MS
            await heard(stage)
            assert "!cancel" in await removal.says("will be removed on")
            clock.ahead_ms = 3 * DAY_MS - HOUR_MS
            await heard(stage)
            await call_as(stage, target, "GET", "/_matrix/client/v3/account/whoami")
        assert removal.stored["steps"] == []
        clock.ahead_ms = 3 * DAY_MS + HOUR_MS
        await heard(stage)
        await removal.done()
    assert (await stage.user(target))["erased"]
    assert len(_reminders(stage)) == 1


def _reminders(stage: Scene) -> list[str]:
    return [m.body for m in stage.moderator.messages(stage.room) if "will be removed on" in m.body]


async def test_a_scheduled_removal_can_be_cancelled_to_the_end(scene: MakeScene) -> None:
    """`!cancel` and ❌ both end it, and the day passes without anything."""
    stage, clock = await ready(scene), Clock()
    targets = [await stage.account("bystander") for _ in range(2)]
    async with running(stage, clock):
        await stage.bot_joined()
        first, second = [await scheduled(stage, target, "--in 2d") for target in targets]
        await first.cancel()
        await first.says("cancelled by")
        await stage.moderator.react(stage.room, second.card.event_id, "❌")
        await second.says("cancelled by")
        clock.ahead_ms = 3 * DAY_MS
        await heard(stage)
        assert "no open requests" in (await answer(stage, "!requests")).body
    for target in targets:
        user = await stage.user(target)
        assert (user["deactivated"], user["suspended"]) == (False, False)


async def test_a_date_that_passes_while_the_bot_is_down_is_made_up_for(scene: MakeScene) -> None:
    """`--at`: the bot starts after the time and does at once what is due; the date in the prompt is the one asked."""
    stage, clock = await ready(scene), Clock()
    target = await stage.account("spammer")
    async with running(stage, clock):
        await stage.bot_joined()
        removal = await scheduled(stage, target, "--at 2027-03-01T18:00Z")
        assert "1 March 2027, 18:00 UTC" in removal.card.body
    due = 1_803_924_000_000  # 2027-03-01T18:00Z
    clock.ahead_ms = due - app.now_ms() - HOUR_MS
    async with running(stage, clock), unchanged(stage, target):
        await heard(stage)
    clock.ahead_ms += 2 * HOUR_MS
    async with running(stage, clock):
        await removal.done()
    assert (await stage.user(target))["deactivated"]


async def test_a_clock_that_goes_back_brings_nothing_forward(scene: MakeScene) -> None:
    """Set back by a year after the confirmation, the removal waits for its date all the same."""
    stage, clock = await ready(scene), Clock()
    target = await stage.account("spammer")
    async with running(stage, clock):
        await stage.bot_joined()
        removal = await scheduled(stage, target, "--in 2d")
        async with unchanged(stage, target):
            clock.ahead_ms = -365 * DAY_MS
            await heard(stage)
            clock.ahead_ms = 2 * DAY_MS - HOUR_MS
            await heard(stage)
        clock.ahead_ms = 2 * DAY_MS + HOUR_MS
        await heard(stage)
        await removal.done()


async def test_a_date_that_makes_no_sense_is_refused(scene: MakeScene) -> None:
    """What is past, or more than a year ahead, opens no request."""
    stage = await scene()
    target = await stage.account("bystander")
    for option, word in (("--at 2020-01-01", "is over"), ("--in 500d", "more than a year"), ("--in soon", "length")):
        said = await answer(stage, f"!deactivate {target} {option}")
        assert word in said.body
    await settled(lambda: _no_request(stage))


async def _no_request(stage: Scene) -> bool:
    return "no requests" in (await answer(stage, "!requests --all")).body


async def test_a_scheduled_removal_falls_with_the_right_of_who_confirmed_it(scene: MakeScene) -> None:
    """Who confirmed it was demoted before the date: the account stays as it was, and the room hears why."""
    stage, clock = await ready(scene), Clock()
    target = await stage.account("bystander")
    async with running(stage, clock):
        await stage.bot_joined()
        other = await stage.add_moderator()
        removal = await asked(stage, f"!deactivate {target} --in 2d")
        await other.event(removal.card.event_id)
        await other.react(stage.room, removal.card.event_id, "✅")
        await removal.says("stops it")
        await stage.moderator.set_power(stage.room, other.user_id, None)
        async with unchanged(stage, target):
            clock.ahead_ms = 3 * DAY_MS
            await heard(stage)
            assert "isn't a moderator any more" in await removal.says("cancelled by")
    assert removal.state == "cancelled"
