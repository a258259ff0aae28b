"""`bot.py accept @user`: a moderator whose identity was reset is obeyed again where no other moderator can say so."""

from __future__ import annotations

import time
from pathlib import Path

from removal.audit_action import AuditAction
from storage import audit, identities
from storage.database import Database
from texts import Texts, plain


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
