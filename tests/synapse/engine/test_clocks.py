"""This machine's clock and the homeserver's differ: what still holds, what is refused, and what is said."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from sandbox.proxy import Proxy, dated
from tests.support.admin_room import audited
from tests.support.direct_room import SCHEDULED, Talk, requests, states
from tests.support.in_process_bot import DAY, HOUR, MakeInside
from tests.support.prompts import OPEN, MakeScene, line, prompted, said
from tests.support.removals import asked, unchanged
from tests.synapse.conftest import settled

REFUSED = "differ by more than five minutes"
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.mark.parametrize("ahead", [-HOUR, HOUR], ids=["behind", "ahead"])
async def test_an_hour_off_nothing_is_confirmed_and_nothing_expires_wrongly(inside: MakeInside, ahead: int) -> None:
    """Every ✅ gets one clear sentence and a row of the audit, ❌ counts; the prompt ends by the homeserver's; once the
    clock is right again, ✅ counts."""
    stage, bot = await inside(wrong_clock=True, ahead=ahead)
    room = await stage.moderator.wait_for(lambda e: "I act on no ✅" in e.body and e.room_id == stage.room)
    assert ("behind" if ahead < 0 else "ahead of") in room.body
    target = await stage.account("spammer")
    async with unchanged(stage, target):
        prompt = await prompted(stage, target)
        assert abs(requests(stage)[-1]["expires_ts"] - prompt.event.origin_server_ts - 600_000) < 5_000
        await prompt.react("✅")
        await prompt.hears(REFUSED)
        assert OPEN in await prompt.status()
    assert audited(stage, "ConfirmedRefused")[0][2]["because"] == "clock_wrong"
    declined = await prompted(stage, await stage.account("bystander"))
    await declined.react("❌")
    await declined.hears("cancelled by")
    await bot.stop()
    await bot.start()  # a restart says nothing anew
    assert OPEN in await prompt.status()
    bot.clock.ahead = 0
    await stage.moderator.wait_for(lambda e: "agree again" in e.body and e.room_id == stage.room)
    await prompt.react("✅", await stage.add_moderator())
    await settled(prompt.gone)
    assert len([each for each in said(stage) if "I act on no ✅" in each.body]) == 1


@pytest.mark.parametrize("ahead", [-HOUR, HOUR], ids=["behind", "ahead"])
async def test_a_prompt_ends_by_the_homeservers_clock(inside: MakeInside, ahead: int) -> None:
    """However wrong this machine's is: not an hour later, and not at once."""
    stage, _ = await inside(wrong_clock=True, ahead=ahead, confirmation={"expires_after": "5s"})
    prompt = await prompted(stage, await stage.account("bystander"))
    ended = await stage.moderator.wait_for(lambda e: "nobody confirmed in time" in e.body, timeout=60)
    assert 4 <= (ended.origin_server_ts - prompt.event.origin_server_ts) / 1000 < 15


async def test_a_persons_own_answers_are_refused_too(inside: MakeInside) -> None:
    """✅ and the typed Matrix ID; `!cancel` counts."""
    stage, bot = await inside(wrong_clock=True)
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.agreed()
    bot.clock.ahead = -HOUR
    await talk.ask(person.user_id, REFUSED)
    assert states(stage) == ["awaiting_matrix_id"]
    bot.clock.ahead = 0
    await talk.say(person.user_id)
    await talk.hears(SCHEDULED)
    await talk.say("!cancel")
    await talk.hears("stopped")
    shown = await talk.shown()
    bot.clock.ahead = HOUR
    await talk.react(shown, "✅")
    await talk.hears(REFUSED)
    await talk.say("!cancel")
    await talk.hears("stopped")
    assert states(stage) == ["cancelled", "cancelled"]
    async with unchanged(stage, person.user_id):
        pass


async def test_an_approval_is_refused_too(inside: MakeInside) -> None:
    """By `!approve` and by ✅."""
    stage, bot = await inside(wrong_clock=True, self_service={"approval": "moderator"})
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.confirmed(then="must approve it")
    question = await stage.moderator.wait_for(lambda e: "wants to remove their own account" in e.body)
    bot.clock.ahead = HOUR
    for event_id in (
        await stage.moderator.say(stage.room, "!approve R1"),
        await stage.moderator.react(stage.room, question.event_id, "✅"),
    ):
        assert REFUSED in (await stage.moderator.reply_to(event_id)).body
    assert states(stage) == ["awaiting_approval"]


async def test_a_scheduled_removal_never_begins_early(inside: MakeInside) -> None:
    """With this machine's clock far ahead, the homeserver's decides."""
    stage, bot = await inside(wrong_clock=True)
    target = await stage.account("spammer")
    removal = await asked(stage, f"!deactivate {target} --in 2d")
    await removal.confirm()
    await removal.says("stops it")
    async with unchanged(stage, target):
        await bot.pass_time(3 * DAY)
        await bot.stop()
        await bot.start()
        await bot.pass_time(0)
    assert removal.state == "scheduled"


async def test_a_homeserver_ahead_begins_nothing_early_either(scene: MakeScene, proxy: Proxy) -> None:
    """Its `Date` is three days ahead after the confirmation: both clocks have to reach the date. `check` says so, the
    room hears it once, and again when it is over."""
    offset = 0.0
    proxy.on("*", "", dated(lambda: offset))
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    line((await stage.bot.command("check"))[1], "✓", "agrees with the homeserver's")
    removal = await asked(stage, f"!deactivate {target} --in 2d")
    await removal.confirm()
    await removal.says("stops it")
    async with unchanged(stage, target):
        offset = 3 * DAY / 1000
        await removal.command("status")  # answers tell the time
        await stage.moderator.wait_for(lambda e: "3 days behind the homeserver" in e.body, timeout=60)
        code, output = await stage.bot.command("check")
        assert code == 1
        line(output, "✗", "3 days behind the homeserver's")
        await asyncio.sleep(2)
    assert removal.state == "scheduled"
    offset = 60.0
    code, output = await stage.bot.command("check")
    assert code == 0
    line(output, "!", "behind the homeserver's")
    offset = 0.0
    await removal.command("status")
    await stage.moderator.wait_for(lambda e: "agree again" in e.body, timeout=60)


@pytest.mark.skipif(not FAKETIME or not shutil.which("faketime"), reason="faketime isn't installed")
@pytest.mark.parametrize("shift", ["-1h", "+1h"])
async def test_the_whole_bot_under_a_wrong_clock(scene: MakeScene, shift: str) -> None:
    """The real process, by `faketime`: said at the start and in `check`, and ✅ is refused with the reason."""
    stage = await scene(start=False)
    stage.bot.environment |= {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": shift, "DONT_FAKE_MONOTONIC": "1"}
    await stage.bot.start()
    await stage.moderator.wait_for(lambda e: "I act on no ✅" in e.body)
    code, output = await stage.bot.command("check")
    assert code == 1
    line(output, "✗", "hour behind" if shift == "-1h" else "hour ahead of")
    prompt = await prompted(stage, await stage.account("spammer"))
    await prompt.react("✅")
    await prompt.hears(REFUSED)
    assert "differs from the homeserver's" in stage.bot.log
