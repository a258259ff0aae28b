"""`bot.py reset-totp @user`: a moderator's second factor is taken off where no other moderator can."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from cli.exits import Ended
from cli.opening import database_of, settings_of
from removal.audit_action import AuditAction
from storage import audit, second_factors
from storage.database import Database, StorageError


def main(options: argparse.Namespace) -> int:
    """Does it, and says so; returns the exit code.

    Raises:
        Ended: there is no database that can be used.
    """
    try:
        return asyncio.run(reset(database_of(settings_of(options.config)), options.user))
    except StorageError as error:
        raise Ended(f"Lethe can't run: {error}") from None


async def reset(path: Path, user_id: str) -> int:
    """Takes it off, beside a running bot or without; returns the exit code.

    Raises:
        StorageError: the database can't be used.
    """
    database = Database(path)
    await database.open()
    try:
        async with database.transaction() as tx:
            done = await second_factors.forget(tx, user_id)
            if done:
                now = time.time_ns() // 1_000_000
                await audit.append(tx, now, AuditAction.FACTOR_RESET, target=user_id, by="command line")
    finally:
        await database.close()
    print(f"The second factor of {user_id} is reset." if done else f"{user_id} has no second factor here.")
    return 0 if done else 1
