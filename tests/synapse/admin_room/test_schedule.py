"""Removals with a date: nothing before, a word the day before, cancelled meanwhile, done in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sandbox.scene import Scene
from tests.support.admin_room import answer
from tests.support.in_process_bot import DAY, HOUR, MakeInside
from tests.support.removals import Removal, asked, call_as, unchanged
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]


async def scheduled(stage: Scene, target: str, option: str) -> Removal:
    """Asks for a removal at a later time and confirms it."""
    removal = await asked(stage, f"!deactivate {target} --erase {option}")
    assert ", not before." in removal.card.body
    await removal.confirm()
    await removal.says("stops it")
    return removal


async def test_nothing_before_a_word_the_day_before_and_done_in_time(inside: MakeInside) -> None:
    """`--in 3d`: for three days the account is as it was and works; people are reminded once, a day before; then it
    is removed."""
    stage, bot = await inside()
    target = await stage.account("spammer")
    removal = await scheduled(stage, target, "--in 3d")
    async with unchanged(stage, target):
        for hours in (1, 23, 23):
            await bot.pass_time(hours * HOUR)
        assert not _reminders(stage)
        await bot.pass_time(2 * HOUR)
        assert "!cancel" in await removal.says("will be removed on")
        await bot.pass_time(22 * HOUR)
        await call_as(stage, target, "GET", "/_matrix/client/v3/account/whoami")
    assert removal.stored["steps"] == []
    await bot.pass_time(2 * HOUR)
    await removal.done()
    assert (await stage.user(target))["erased"]
    assert len(_reminders(stage)) == 1


def _reminders(stage: Scene) -> list[str]:
    return [m.body for m in stage.moderator.messages(stage.room) if "will be removed on" in m.body]


async def test_a_scheduled_removal_can_be_cancelled_to_the_end(inside: MakeInside) -> None:
    """`!cancel` and ❌ both end it, and the day passes without anything."""
    stage, bot = await inside()
    targets = [await stage.account("bystander") for _ in range(2)]
    first, second = [await scheduled(stage, target, "--in 2d") for target in targets]
    await first.cancel()
    await first.says("cancelled by")
    await stage.moderator.react(stage.room, second.card.event_id, "❌")
    await second.says("cancelled by")
    await bot.pass_time(3 * DAY)
    assert "no open requests" in (await answer(stage, "!requests")).body
    for target in targets:
        user = await stage.user(target)
        assert (user["deactivated"], user["suspended"]) == (False, False)


async def test_a_date_that_passes_while_the_bot_is_down_is_made_up_for(inside: MakeInside) -> None:
    """`--at`: the bot starts after the time and does at once what is due; the date in the prompt is the one asked."""
    stage, bot = await inside()
    target = await stage.account("spammer")
    removal = await scheduled(stage, target, "--at 2027-03-01T18:00Z")
    assert "1 March 2027, 18:00 UTC" in removal.card.body
    await bot.stop()
    due = 1_803_924_000_000  # 2027-03-01T18:00Z
    bot.clock.ahead += due - bot.clock() - HOUR
    await bot.start()
    async with unchanged(stage, target):
        await bot.pass_time(0)
    await bot.stop()
    bot.clock.ahead += 2 * HOUR
    await bot.start()
    await removal.done()
    assert (await stage.user(target))["deactivated"]


async def test_a_clock_that_goes_back_brings_nothing_forward(inside: MakeInside) -> None:
    """Set back by a year after the confirmation, the removal waits for its date all the same."""
    stage, bot = await inside()
    target = await stage.account("spammer")
    removal = await scheduled(stage, target, "--in 2d")
    async with unchanged(stage, target):
        await bot.pass_time(-365 * DAY)
        await bot.pass_time(365 * DAY + 47 * HOUR)
    await bot.pass_time(2 * HOUR)
    await removal.done()


async def test_a_date_that_makes_no_sense_is_refused(scene: MakeScene) -> None:
    """What is past, or more than a year ahead, opens no request."""
    stage = await scene()
    target = await stage.account("bystander")
    for option, word in (
        ("--at 2020-01-01", "is in the past"),
        ("--in 500d", "more than a year"),
        ("--in soon", "length"),
    ):
        said = await answer(stage, f"!deactivate {target} {option}")
        assert word in said.body
    await settled(lambda: _no_request(stage))


async def _no_request(stage: Scene) -> bool:
    return "no requests" in (await answer(stage, "!requests --all")).body


async def test_a_scheduled_removal_falls_with_the_right_of_who_confirmed_it(inside: MakeInside) -> None:
    """Who confirmed it was demoted before the date: the account stays as it was, and the room hears why."""
    stage, bot = await inside()
    target = await stage.account("bystander")
    other = await stage.add_moderator()
    removal = await asked(stage, f"!deactivate {target} --in 2d")
    await other.event(removal.card.event_id)
    await other.react(stage.room, removal.card.event_id, "✅")
    await removal.says("stops it")
    await stage.moderator.set_power(stage.room, other.user_id, None)
    async with unchanged(stage, target):
        await bot.pass_time(3 * DAY)
        assert "is no longer a moderator" in await removal.says("cancelled by")
    assert removal.state == "cancelled"
