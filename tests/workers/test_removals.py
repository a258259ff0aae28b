"""Removals on a Synapse with workers and PostgreSQL: all that is read back comes through the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sandbox.scene import Scene
from tests.support.direct_room import BEGINS, Talk
from tests.support.prompts import said
from tests.support.removals import asked, begun, email, furnished, redactions, talk, unchanged, upload
from tests.support.worker_views import gone, remembered

MakeScene = Callable[..., Awaitable[Scene]]


async def test_the_main_job(scene: MakeScene) -> None:
    """Erased, redacted and without files; each process shows it, and nobody else's account changed."""
    stage = await scene()
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    await furnished(stage, spammer, displayname="Dr. Pill", threepids=[email(spammer)])
    await upload(stage, stage.tokens[spammer], 3)
    rooms = [await talk(stage, spammer, version, messages=3, members=(reader,)) for version in ("10", "11", "12")]
    await remembered(stage, spammer)
    async with unchanged(stage, reader):
        removal = await begun(stage, f"!deactivate {spammer} --erase --redact --media")
        assert "✗" not in await removal.done()
    assert removal.state == "done"
    await gone(stage, spammer, rooms, reader)


async def test_a_person_removes_their_own_account(scene: MakeScene) -> None:
    """The whole conversation in an encrypted direct message, to the end."""
    stage = await scene(self_service={"grace_period": "0s"})
    person, reader = await stage.person("leaver"), await stage.account("reader")
    lounge = await person.create_room(name="Lounge", preset="public_chat")
    await person.say(lounge, "what I once said")
    conversation = await Talk.begin(stage, person)
    await conversation.confirmed("!deactivate --erase --media", then=BEGINS)
    receipt = await stage.moderator.wait_for(
        lambda e: e.room_id == stage.room and "Read back" in e.body, 60.0, "the receipt"
    )
    assert person.user_id in receipt.body and "✗" not in receipt.body
    await gone(stage, person.user_id, [], reader)


async def test_twelve_at_once(scene: MakeScene) -> None:
    """Twelve removals with redaction and files, confirmed together: each is done, each is said once."""
    stage = await scene()
    reader = await stage.account("reader")
    spammers = [await stage.account("spammer") for _ in range(12)]
    rooms = {}
    for spammer in spammers:
        await upload(stage, stage.tokens[spammer], 1)
        rooms[spammer] = [await talk(stage, spammer, "11", members=(reader,))]
        await remembered(stage, spammer)
    removals = [await asked(stage, f"!deactivate {spammer} --erase --redact --media") for spammer in spammers]
    async with unchanged(stage, reader):
        await asyncio.gather(*(removal.confirm() for removal in removals))
        receipts = await asyncio.gather(*(removal.done(timeout=180) for removal in removals))
    assert not [receipt for receipt in receipts if "✗" in receipt]
    for spammer in spammers:
        await gone(stage, spammer, rooms[spammer], reader)
        assert len(await redactions(stage, spammer)) == 1
    bodies = [event.body for event in said(stage)]
    assert len(bodies) == len(set(bodies))
