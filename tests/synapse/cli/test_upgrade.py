"""An upgrade from the first schema: a database as the first version left it, with a request in each state it knew."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from removal.request import State
from sandbox.scene import Scene
from storage.migrations import MIGRATIONS
from tests.support.direct_room import requests
from tests.support.prompts import MakeScene

OLD = Path(__file__).resolve().parents[2] / "data" / "first_schema.sql"
ACCOUNTS = ("asking", "awaiting_approval", "awaiting_confirmation", "awaiting_matrix_id", "blocked", "releasing",
            "running", "scheduled")  # fmt: skip
"""Those whose requests were open then; the others' are gone by now, or never mind."""
UNCHANGED = ("done", "cancelled", "expired", "replaced", "refused", "failed")
BECOMES = {
    "asking": State.EXPIRED,
    "awaiting_confirmation": State.EXPIRED,
    "awaiting_matrix_id": State.EXPIRED,
    "awaiting_approval": State.AWAITING_APPROVAL,
    "scheduled": State.SCHEDULED,
    "running": State.DONE,
    "releasing": State.CANCELLED,
    "blocked": State.BLOCKED,
}


async def put_back(stage: Scene) -> None:
    """The old database as this bot's own, in this room; the accounts that its requests are about exist."""
    stage.bot.data_dir.mkdir(mode=0o700)
    with closing(sqlite3.connect(stage.bot.database)) as database:
        database.executescript(OLD.read_text("utf-8").replace("!old-admin-room:lethe.test", stage.room))
    stage.bot.database.chmod(0o600)
    for name in ACCOUNTS:
        token = await stage.homeserver.register(f"old-{name}", "a long password")
        stage.tokens[f"@old-{name}:lethe.test"] = token
    for name in ("running", "releasing", "blocked"):  # the old version was that far
        await stage.admin("PUT", f"v1/suspend/@old-{name}:lethe.test", json={"suspend": True})


def states(stage: Scene) -> dict[str, str]:
    """By the name of the account."""
    found: list[dict[str, Any]] = requests(stage)
    return {each["target_id"].removeprefix("@old-").partition(":")[0]: each["state"] for each in found}


@pytest.mark.timeout(600)
async def test_every_request_of_the_first_schema_lives_on(scene: MakeScene) -> None:
    """What was under way is ended, what waited in vain expires, what waits for a date or a person goes on waiting, what
    had ended stays as it was. All of it can be asked for, the blocked one can be retried, the audit's old chain holds,
    and the old database is kept beside the new one."""
    stage = await scene(start=False)
    await put_back(stage)
    before = states(stage)
    assert set(before) == set(before.values()) == set(BECOMES) | set(UNCHANGED)
    await stage.bot.start()
    await stage.bot_joined()
    async with asyncio.timeout(120):
        while states(stage) != BECOMES | {name: name for name in UNCHANGED}:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert (await stage.user("@old-running:lethe.test"))["deactivated"]
    for name in ("releasing", "scheduled", "awaiting_confirmation"):
        user = await stage.user(f"@old-{name}:lethe.test")
        assert not user["deactivated"] and not user["suspended"], name
    moderator = stage.moderator
    for number in range(1, len(before) + 1):
        asked = await moderator.say(stage.room, f"!status R{number}")
        assert (await moderator.reply_to(asked)).body.startswith(f"R{number} ")
    number = list(before).index("blocked") + 1
    await moderator.say(stage.room, f"!retry R{number}")
    async with asyncio.timeout(120):
        while states(stage)["blocked"] != State.DONE:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    number = list(before).index("scheduled") + 1
    await moderator.say(stage.room, f"!cancel R{number}")
    async with asyncio.timeout(60):
        while states(stage)["scheduled"] != State.CANCELLED:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    code, output = await stage.bot.command("audit", "verify")
    assert code == 0, output
    assert "Traceback" not in stage.bot.log and " ERROR " not in stage.bot.log
    with closing(sqlite3.connect(stage.bot.database)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(sqlite3.connect(stage.bot.data_dir / "lethe.db.schema1")) as kept:
        assert kept.execute("SELECT COUNT(*) FROM requests").fetchone() == (len(before),)
