"""What the command line changes about one person where nobody else can: beside a running bot or without."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from cli.exits import Ended
from cli.opening import database_of, settings_of
from cli.speaking import texts_of
from removal.audit_action import AuditAction
from storage import audit
from storage.database import Database, StorageError, Transaction
from texts import Group, plain

Change = Callable[[Transaction, str], Awaitable[bool]]
"""Changes what is stored of the account with this Matrix ID; False where there is nothing to change."""


def change(options: argparse.Namespace, do: Change, action: AuditAction, group: Group, done: str) -> int:
    """Changes something about `options.user`, and says so; returns the exit code.

    Args:
        action: how the audit calls it.
        group: of the words, where `done` and "nothing" stand.

    Raises:
        Ended: there is no database that can be used.
    """
    settings = settings_of(options.config)
    texts = texts_of(options.config, settings)
    try:
        changed = asyncio.run(_change(database_of(settings), options.user, do, action))
    except StorageError as error:
        raise Ended(f"Lethe can't run: {error}") from None
    print(plain(str(texts.word(group, done if changed else "nothing", user=options.user))))
    return 0 if changed else 1


async def _change(path: Path, user_id: str, do: Change, action: AuditAction) -> bool:
    database = Database(path)
    await database.open()
    try:
        async with database.transaction() as tx:
            changed = await do(tx, user_id)
            if changed:
                await audit.append(tx, time.time_ns() // 1_000_000, action, target=user_id, by="command line")
    finally:
        await database.close()
    return changed
