"""`self_service.approval: moderator`: a person's own removal needs a moderator's word."""

from __future__ import annotations

from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import answer, read_only
from tests.support.direct_room import BEGINS, SCHEDULED, MakeScene, Talk, requests, states
from tests.support.in_process_bot import DAY, HOUR, MakeInside

APPROVAL = {"approval": "moderator", "grace_period": "3d"}
WAITS = "must approve it"


async def asked(stage: Scene) -> Seen:
    """The question in the admin room, once the bot's reactions stand under it."""
    question = await stage.moderator.wait_for(lambda e: "wants to remove their own account" in e.body)
    for key in ("✅", "❌"):
        await stage.moderator.reacted(question.event_id, key, by=stage.bot_id)
    return question


async def test_approved_by_a_tick(inside: MakeInside) -> None:
    """Asked in the admin room right after the person confirmed; the grace period starts at the ✅, not before."""
    stage, bot = await inside(self_service=APPROVAL, confirmation={"confirmed_by": "other_moderator"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed(then=WAITS)
    question = await asked(stage)
    assert person.user_id in question.body and "3 days" in question.body
    await bot.pass_time(2 * DAY)
    approved_ts = bot.clock()
    await stage.moderator.react(stage.room, question.event_id, "✅")
    scheduled = await talk.hears(SCHEDULED)
    assert scheduled.content["m.mentions"] == {"user_ids": [person.user_id]}
    (request,) = requests(stage)
    assert request["approver_id"] == stage.moderator.user_id
    assert approved_ts <= request["due_ts"] - 3 * DAY <= bot.clock()
    # It is decided: neither another word nor the other button changes it.
    assert "R1" in (await answer(stage, "!refuse R1 --reason too late")).body
    assert states(stage) == ["scheduled"]


async def test_refused_with_a_reason(scene: MakeScene) -> None:
    """A refusal needs a reason, which the person reads; ❌ alone asks for it."""
    stage = await scene(self_service=APPROVAL)
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.confirmed(then=WAITS)
    question = await asked(stage)
    await stage.moderator.react(stage.room, question.event_id, "❌")
    await stage.moderator.wait_for(lambda e: "The person reads why" in e.body)
    assert "The person reads why" in (await answer(stage, "!refuse R1")).body
    assert states(stage) == ["awaiting_approval"]
    assert "refused" in (await answer(stage, "!refuse R1 --reason you still hold the keys")).body
    refused = await talk.hears("you still hold the keys")
    assert "Your account stays" in refused.body and refused.content["msgtype"] == "m.text"
    assert states(stage) == ["refused"]
    assert not (await stage.user(talk.person.user_id))["deactivated"]


async def test_it_doesnt_expire_and_moderators_are_reminded_every_day(inside: MakeInside) -> None:
    """A month later it still waits; the moderators were reminded once a day, and the person sees where it stands."""
    stage, bot = await inside(self_service=APPROVAL)
    talk = await Talk.begin(stage, await stage.person("leaver"))
    await talk.confirmed(then=WAITS)
    await asked(stage)

    def reminders() -> list[Seen]:
        return [e for e in stage.moderator.timeline.events if "still waiting for your decision" in e.body]

    for day in range(1, 4):
        await bot.pass_time(DAY)
        await stage.moderator.until(lambda: len(reminders()) == day)  # noqa: B023
        await bot.pass_time(HOUR)
        assert len(reminders()) == day
    await bot.pass_time(27 * DAY)
    await stage.moderator.until(lambda: len(reminders()) == 4)
    await talk.ask("!status", "remind them every day")
    assert states(stage) == ["awaiting_approval"]
    await stage.moderator.react(stage.room, reminders()[-1].event_id, "✅")
    await talk.hears(SCHEDULED)


async def test_the_person_can_still_stop_it(scene: MakeScene) -> None:
    """❌ or `!cancel` while it waits for approval; the moderators hear of it, and a later ✅ does nothing."""
    stage = await scene(self_service=APPROVAL)
    talk = await Talk.begin(stage, await stage.person("leaver"))
    waits = await talk.confirmed(then=WAITS)
    question = await asked(stage)
    await talk.react(waits, "❌")
    await talk.hears("Your account stays")
    await stage.moderator.wait_for(lambda e: "the removal of their own account was cancelled" in e.body)
    await stage.moderator.react(stage.room, question.event_id, "✅")
    await answer(stage, "!requests")
    assert states(stage) == ["cancelled"]


async def test_nobody_approves_their_own(scene: MakeScene) -> None:
    """A moderator's own request needs another moderator, whatever `confirmed_by` says and whether by ✅ or by command;
    somebody in the room who is no moderator approves nothing."""
    stage = await scene(self_service=APPROVAL)
    second = await stage.add_moderator("second")
    bystander = await stage.add_moderator("bystander", level=0)
    talk = await Talk.begin(stage, stage.moderator)
    await talk.confirmed(then=WAITS)
    question = await asked(stage)
    assert "your own request" in (await answer(stage, "!approve R1")).body
    await stage.moderator.react(stage.room, question.event_id, "✅")
    await stage.moderator.wait_for(lambda e: e.replies_to != "" and "your own request" in e.body)
    assert "moderator" in (await answer(stage, "!approve R1", by=bystander)).body
    await bystander.react(stage.room, question.event_id, "✅")
    await answer(stage, "!requests")
    assert states(stage) == ["awaiting_approval"]
    assert "approved" in (await answer(stage, "!approve R1", by=second)).body
    await talk.hears(SCHEDULED)
    assert "I know no request R7" in (await answer(stage, "!approve R7", by=second)).body


async def test_approved_without_a_grace_period_after_the_person_left(scene: MakeScene) -> None:
    """`0s`: the approval is the beginning. Who has left the direct message by then gets the departure notice in a new
    one."""
    stage = await scene(self_service={"approval": "moderator", "grace_period": "0s"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed(then=WAITS)
    await person.leave(talk.room)
    assert "approved" in (await answer(stage, "!approve R1")).body
    await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "Read back" in e.body)
    assert (await stage.user(person.user_id))["deactivated"]
    question = "SELECT room_id, event_id FROM outbox WHERE purpose LIKE 'departure.%'"
    ((room, event_id),) = read_only(stage.bot.database, question)
    assert room != talk.room and event_id


async def test_an_account_that_was_suspended_meanwhile_isnt_approved(scene: MakeScene) -> None:
    """`0s`, and the account was suspended while it waited: the ✅ ends the request, both hear why, and nobody says
    that the removal begins."""
    stage = await scene(self_service={"approval": "moderator", "grace_period": "0s"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.confirmed(then=WAITS)
    question = await asked(stage)
    await stage.admin("PUT", f"v1/suspend/{person.user_id}", json={"suspend": True})
    await stage.moderator.react(stage.room, question.event_id, "✅")
    await stage.moderator.wait_for(
        lambda e: "the removal of their own account was cancelled" in e.body and "is suspended" in e.body
    )
    await talk.hears("is suspended")
    assert states(stage) == ["cancelled"]
    assert not any(BEGINS in event.body for event in person.timeline.events)
