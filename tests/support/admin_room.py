"""Asking the bot in the admin room, and seeing what it did and didn't do: shared by the tests of commands."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from sandbox.client import Person
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.synapse.conftest import settled

OPENED = "to go on"
"""Stands in every prompt."""


async def answer(
    stage: Scene,
    body: str,
    formatted_body: str | None = None,
    *,
    by: Person | None = None,
    reply_to: str | None = None,
    mentions: Sequence[str] | None = None,
) -> Seen:
    """Says something in the admin room and returns the bot's answer to it.

    Args:
        body: plain text.
        formatted_body: HTML.
        by: the moderator if None.
        reply_to: the event that it replies to.
        mentions: Matrix IDs for `m.mentions`.
    """
    person = by or stage.moderator
    extra = {} if mentions is None else {"m.mentions": {"user_ids": list(mentions)}}
    event_id = await person.say(stage.room, body, formatted_body, reply_to, **extra)
    return await person.reply_to(event_id)


async def prompt(
    stage: Scene,
    body: str,
    formatted_body: str | None = None,
    *,
    by: Person | None = None,
    reply_to: str | None = None,
    mentions: Sequence[str] | None = None,
) -> Seen:
    """Says a command, as `answer` does, and returns the prompt that answers it."""
    answered = await answer(stage, body, formatted_body, by=by, reply_to=reply_to, mentions=mentions)
    assert OPENED in answered.body, answered.body
    return answered


def pill(user_id: str, name: str) -> str:
    """A mention as Element writes it into `formatted_body`."""
    return f'<a href="https://matrix.to/#/{user_id}">{name}</a>'


def read_only(file: Path, question: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of an SQLite database that another process writes."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return database.execute(question, values).fetchall()


def accounts(stage: Scene) -> dict[str, tuple[Any, ...]]:
    """All that a removal would change of each account, from the homeserver's own database."""
    rows = read_only(
        stage.homeserver.database_file,
        "SELECT u.name, u.deactivated, u.suspended, u.locked, u.admin, u.password_hash, e.user_id, p.displayname, "
        "(SELECT COUNT(*) FROM devices d WHERE d.user_id = u.name AND NOT d.hidden), "
        "(SELECT COUNT(*) FROM user_threepids t WHERE t.user_id = u.name), "
        "(SELECT COUNT(*) FROM local_current_membership m WHERE m.user_id = u.name AND m.membership = 'join') "
        "FROM users u LEFT JOIN erased_users e ON e.user_id = u.name LEFT JOIN profiles p ON p.full_user_id = u.name",
    )
    return {row[0]: row[1:] for row in rows}


@asynccontextmanager
async def untouched(stage: Scene) -> AsyncIterator[None]:
    """Asserts that at the end every account on the homeserver is as it was at the beginning, and no request is new."""
    before, requests = accounts(stage), _requests(stage)
    yield
    after = accounts(stage)
    assert {user_id: after.get(user_id) for user_id in before} == before
    assert _requests(stage) == requests


def _requests(stage: Scene) -> list[tuple[Any, ...]]:
    return read_only(stage.bot.database, "SELECT id, state, target_id FROM requests ORDER BY id")


def open_requests(stage: Scene) -> list[str]:
    """Whom the bot has open requests for."""
    return [target for _, target in read_only(stage.bot.database, "SELECT id, target_id FROM requests WHERE open = 1")]


@asynccontextmanager
async def silence(stage: Scene) -> AsyncIterator[list[str]]:
    """Asserts that the bot handles the events whose ids are put into the list, and has nothing at all to say."""

    def outbox() -> list[tuple[Any, ...]]:
        return read_only(stage.bot.database, "SELECT COALESCE(MAX(seq), 0) FROM outbox")

    async def handled() -> bool:
        marks = ", ".join("?" for _ in said)
        found = read_only(
            stage.bot.database,
            f"SELECT COUNT(*) FROM inbox WHERE status = 'handled' AND event_id IN ({marks})",  # noqa: S608 - marks only
            *said,
        )
        return bool(found[0][0] == len(said))

    before = outbox()
    said: list[str] = []
    yield said
    assert said
    await settled(handled)
    assert outbox() == before


def audited(stage: Scene, action: str) -> list[tuple[str | None, str | None, dict[str, Any]]]:
    """Who, whom and what, of every row of that action in the audit, oldest first."""
    rows = read_only(stage.bot.database, "SELECT actor, target, public FROM audit WHERE action = ? ORDER BY id", action)
    return [(actor, target, json.loads(public)) for actor, target, public in rows]
