"""What never comes true: said soon and by name, retried, and closed by a person; never called done."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from removal.lifecycle import NOT_YET_AT_MOST_MS
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from tests.support.admin_room import answer
from tests.support.in_process_bot import MakeInside
from tests.support.removals import RECEIPT, begun

MakeScene = Callable[..., Awaitable[Scene]]
FreshHomeserver = Callable[..., Awaitable[Homeserver]]


def set_version(homeserver: Homeserver, room_id: str, version: str) -> str:
    """Has the homeserver believe that a room has this version; returns the one it had."""
    with closing(sqlite3.connect(homeserver.database_file, timeout=10)) as database, database:
        before = database.execute("SELECT room_version FROM rooms WHERE room_id = ?", (room_id,)).fetchone()
        database.execute("UPDATE rooms SET room_version = ? WHERE room_id = ?", (version, room_id))
    return str(before[0])


async def test_a_room_of_a_version_that_is_gone(scene: MakeScene, fresh_homeserver: FreshHomeserver) -> None:
    """Within seconds people read which room and why; all else is done; another moderator closes it with a reason, and
    the receipt has ✗. With the version back, `!retry` finishes the same."""
    own = await fresh_homeserver()
    stage = await scene(on=own)
    other = await stage.add_moderator()
    removals = []
    for name in ("Garden", "Pond"):
        target = await stage.person("spammer")
        room = await target.create_room(name=name, encrypted=False)
        await target.create_room(name="Another", encrypted=False)
        version = set_version(own, room, "org.example.gone")
        removals.append((target.user_id, room))
    await own.restart()  # Synapse remembers a room's version
    (first, garden), (second, pond) = removals

    removal = await begun(stage, f"!deactivate {first} --erase")
    said = await removal.says("I can't finish it", timeout=25)
    assert garden in said and "“Garden”" in said and "org.example.gone" in said and "✗ in no room" in said
    assert f"!retry {removal.reference}" in said and f"!close {removal.reference}" in said
    assert (await stage.user(first))["suspended"] is False  # what could be done is done
    assert removal.state == "blocked"
    own_close = await answer(stage, f"!close {removal.reference} --reason It's gone")
    assert "another moderator must close it" in own_close.body
    assert "too late" in await removal.command("cancel")
    missing = await answer(stage, f"!close {removal.reference}", by=other)
    assert "--reason …" in missing.body and removal.state == "blocked"
    await other.say(stage.room, f"!close {removal.reference} --reason The version is gone for good")
    receipt = await removal.says("I no longer look at it")
    assert "✗ in no room" in receipt and "✓ deactivated" in receipt and garden in receipt
    assert other.user_id in receipt and "gone for good" in receipt and RECEIPT not in receipt
    assert removal.state == "closed"
    assert "it was closed with open points" in await removal.command("retry")
    assert "closed with open points" in await removal.command("status")

    removal = await begun(stage, f"!deactivate {second} --erase")
    await removal.says("I can't finish it", timeout=25)
    set_version(own, pond, version)
    await own.restart()
    await removal.retry()
    assert "✓ in no room" in await removal.done()


async def test_a_module_that_forbids_to_leave(
    inside: MakeInside, fresh_homeserver: FreshHomeserver, tmp_path: Path
) -> None:
    """Said when it stalls, and the room by name; tried again for an hour; then it needs a person. The only moderator
    may close it alone. Once the module lets it, `!retry` finishes the other."""
    stay = tmp_path / "stay"
    module = {"module": "tests.synapse.modules.stay.Stay", "config": {"file": str(stay)}}
    stage, bot = await inside(on=await fresh_homeserver(config={"modules": [module]}))
    removals = []
    for _ in range(2):
        target = await stage.person("spammer")
        await target.create_room(name="Garden", encrypted=False)
        removals.append(target.user_id)
    stay.touch()
    closed, retried = [await begun(stage, f"!deactivate {target}") for target in removals]
    for removal in (closed, retried):
        said = await removal.says("isn't finished", timeout=90)
        assert "✗ in no room" in said and "“Garden”" in said and "Failed to part user" in said
    for _ in range(3):
        await bot.pass_time(NOT_YET_AT_MOST_MS)
        await closed.command("status")
    for removal in (closed, retried):
        await removal.says("I can't finish it", timeout=150)
    await stage.moderator.say(stage.room, f"!close {closed.reference} --reason It stays")
    assert "✗ in no room" in await closed.says("I no longer look at it")
    stay.unlink()
    await retried.retry()
    assert "✓ in no room" in await retried.done()
