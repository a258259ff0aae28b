"""`bot.py accept @user`: a moderator whose identity was reset is obeyed again where no other moderator can say so."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from cli.exits import Ended
from cli.opening import database_of, settings_of
from cli.speaking import texts_of
from removal.audit_action import AuditAction
from storage import audit, identities
from storage.database import Database, StorageError
from texts import Texts, plain


def main(options: argparse.Namespace) -> int:
    """Does it, and says so; returns the exit code.

    Raises:
        Ended: there is no database that can be used.
    """
    settings = settings_of(options.config)
    texts = texts_of(options.config, settings)
    try:
        return asyncio.run(accept(database_of(settings), options.user, texts))
    except StorageError as error:
        raise Ended(f"Lethe can't run: {error}") from None


async def accept(path: Path, user_id: str, texts: Texts) -> int:
    """Accepts the identity that was seen last, beside a running bot or without; returns the exit code.

    Raises:
        StorageError: the database can't be used.
    """
    database = Database(path)
    await database.open()
    try:
        async with database.transaction() as tx:
            accepted = await identities.accept(tx, user_id)
            if accepted:
                now = time.time_ns() // 1_000_000
                await audit.append(tx, now, AuditAction.IDENTITY_ACCEPTED, target=user_id, by="command line")
    finally:
        await database.close()
    words = texts.word("accept", "accepted" if accepted else "nothing", user=user_id)
    print(plain(str(words)))
    return 0 if accepted else 1
