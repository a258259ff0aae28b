"""`!redact`, `!media`, `!reactivate`: asked first, carried out after ✅, read back, and told with what undoes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest

from sandbox.mas_scene import MasScene
from sandbox.scene import Scene
from tests.support.admin_room import answer, audited, untouched
from tests.support.removals import asked, begun, call_as, media_total, upload

pytestmark = pytest.mark.slow

MakeScene = Callable[..., Awaitable[Scene]]


async def room_of(stage: Scene, user_id: str, *, version: str = "11", name: str = "Garden") -> tuple[str, list[str]]:
    """A public room that the account made, and the ids of two messages in it; somebody else is there too."""
    body = {"room_version": version, "preset": "public_chat", "name": name}
    made = await call_as(stage, user_id, "POST", "/_matrix/client/v3/createRoom", json=body)
    room_id = str(made["room_id"])
    path = "/_matrix/client/v3/join/{}"
    await stage.homeserver.call("POST", path.format(quote(room_id)), token=stage.moderator.access_token, json={})
    return room_id, [await message(stage, user_id, room_id, str(number)) for number in range(2)]


async def message(stage: Scene, user_id: str, room_id: str, txn_id: str) -> str:
    """Sends one; returns its event_id."""
    path = "/_matrix/client/v3/rooms/{}/send/m.room.message/{}"
    content = {"msgtype": "m.text", "body": f"spam {txn_id}"}
    return str((await call_as(stage, user_id, "PUT", path, room_id, txn_id, json=content))["event_id"])


async def body_of(stage: Scene, room_id: str, event_id: str) -> str | None:
    """What the moderator, who was there, reads of a message."""
    path = f"/_matrix/client/v3/rooms/{quote(room_id)}/event/{quote(event_id)}"
    event = await stage.homeserver.call("GET", path, token=stage.moderator.access_token)
    found = event["content"].get("body")
    return None if found is None else str(found)


async def test_redacting_leaves_the_account(scene: MakeScene) -> None:
    """After ✅ all messages are gone, in each room; the account isn't touched, and the audit has who wanted it."""
    stage = await scene()
    target = await stage.account("loud")
    rooms = [await room_of(stage, target, version=version) for version in ("10", "11")]
    redaction = await asked(stage, f"!redact {target} --reason loud")
    assert "Redact this account's messages?" in redaction.card.body and "can't be undone" in redaction.card.body
    assert [await body_of(stage, room_id, sent[0]) for room_id, sent in rooms] == ["spam 0", "spam 0"]
    await redaction.confirm()
    said = await redaction.done()
    assert "are redacted" in said and "✗" not in said
    for room_id, sent in rooms:
        assert [await body_of(stage, room_id, event_id) for event_id in sent] == [None, None]
    user = await stage.user(target)
    assert (user["deactivated"], user["suspended"]) == (False, False)
    ((actor, whom, public),) = audited(stage, "Requested")
    assert (actor, whom, public["aim"]) == (stage.moderator.user_id, target, "redact")


async def test_redacting_one_room_since_a_time(scene: MakeScene) -> None:
    """Only there, and only what was sent since; the rest can still be read."""
    stage = await scene()
    target = await stage.account("loud")
    here, sent_here = await room_of(stage, target)
    there, sent_there = await room_of(stage, target, name="Elsewhere")
    redaction = await begun(stage, f"!redact {target} --room {here} --since 1h")
    assert here in redaction.card.body
    await redaction.done()
    assert [await body_of(stage, here, each) for each in sent_here] == [None, None]
    assert [await body_of(stage, there, each) for each in sent_there] == ["spam 0", "spam 1"]
    later = await begun(stage, f"!redact {target} --since 2199-01-01")
    await later.done()
    assert [await body_of(stage, there, each) for each in sent_there] == ["spam 0", "spam 1"]


async def test_redacting_in_the_name_of_a_suspended_account(scene: MakeScene) -> None:
    """In rooms of old versions that needs the suspension lifted for a moment; afterwards it is as it was."""
    stage = await scene()
    target = await stage.account("loud")
    room_id, sent = await room_of(stage, target, version="10")
    await answer(stage, f"!suspend {target}")
    await (await begun(stage, f"!redact {target}")).done()
    assert [await body_of(stage, room_id, each) for each in sent] == [None, None]
    assert (await stage.user(target))["suspended"] is True


async def test_files(scene: MakeScene) -> None:
    """`quarantine` keeps them out of reach, `delete` takes them away; another account's stay."""
    stage = await scene()
    target, other = await stage.account("uploader"), await stage.account("other")
    await upload(stage, stage.tokens[target], 3)
    await upload(stage, stage.tokens[other], 1)
    removal = await asked(stage, f"!media {target} quarantine")
    assert "Quarantine this account's files?" in removal.card.body and "lift a quarantine" in removal.card.body
    await removal.confirm()
    assert "are quarantined" in await removal.done()
    files = (await stage.admin("GET", f"v1/users/{quote(target)}/media"))["media"]
    assert len(files) == 3 and all(each["quarantined_by"] for each in files)
    assert "are deleted" in await (await begun(stage, f"!media {target} delete")).done()
    assert (await media_total(stage, target), await media_total(stage, other)) == (0, 1)


async def test_reactivating(scene: MakeScene) -> None:
    """A removed account is active again; what doesn't come back is said before, and no password is shown anywhere."""
    stage = await scene()
    target = await stage.account("returner")
    await room_of(stage, target)
    await (await begun(stage, f"!deactivate {target} --erase")).done()
    again = await asked(stage, f"!reactivate {target}")
    assert "Reactivate this account?" in again.card.body and "read its old messages again" in again.card.body
    await again.confirm()
    said = await again.done()
    assert "is active again" in said and "password" in said
    user = await stage.user(target)
    assert (user["deactivated"], user["erased"]) == (False, False)
    if isinstance(stage, MasScene):
        assert (await stage.in_mas(target))["deactivated_at"] is None
    assert (await stage.admin("GET", f"v1/users/{quote(target)}/joined_rooms"))["total"] == 0


async def test_what_makes_no_sense_is_refused(scene: MakeScene) -> None:
    """An active account can't be reactivated; a room where it never was, and a choice that there isn't, are told."""
    stage = await scene()
    target = await stage.account("quiet")
    admin = await stage.account("boss", admin=True)
    async with untouched(stage):
        assert "isn't deactivated" in (await answer(stage, f"!reactivate {target}")).body
        assert "never in" in (await answer(stage, f"!redact {target} --room {stage.room}")).body
        assert "no room" in (await answer(stage, f"!redact {target} --room #nowhere:lethe.test")).body
        assert "quarantine" in (await answer(stage, f"!media {target} burn")).body
        for command in ("redact", "reactivate"):
            assert "is a server admin" in (await answer(stage, f"!{command} {admin}")).body


async def test_declining_touches_nothing(scene: MakeScene) -> None:
    """❌ under the prompt: all messages are still there."""
    stage = await scene()
    target = await stage.account("loud")
    room_id, sent = await room_of(stage, target)
    redaction = await asked(stage, f"!redact {target}")
    await stage.moderator.react(stage.room, redaction.card.event_id, "❌")
    assert "cancelled" in await redaction.says("cancelled")
    assert await body_of(stage, room_id, sent[0]) == "spam 0"


async def test_a_removed_accounts_messages_can_be_redacted(scene: MakeScene) -> None:
    """It left its rooms when it was deactivated; the messages there are found all the same."""
    stage = await scene()
    target = await stage.account("gone")
    room_id, sent = await room_of(stage, target)
    await (await begun(stage, f"!deactivate {target}")).done()
    await (await begun(stage, f"!redact {target}")).done()
    assert [await body_of(stage, room_id, each) for each in sent] == [None, None]
