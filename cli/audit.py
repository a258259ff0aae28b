"""`bot.py audit export` and `bot.py audit verify`: the audit from outside the chat, beside a running bot or without."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from cli.exits import Ended
from cli.opening import database_of, settings_of
from cli.speaking import texts_of
from storage import audit
from storage.audit_export import export
from storage.database import Database, StorageError
from texts import Texts, plain

_CHUNK = 5_000


def main(options: argparse.Namespace) -> int:
    """Writes it out, or verifies it; returns the exit code.

    Raises:
        Ended: there is no database that can be used.
    """
    settings = settings_of(options.config)
    texts = texts_of(options.config, settings)
    try:
        path = database_of(settings)
        if options.action == "export":
            return asyncio.run(write(path, options.format))
        return asyncio.run(verify(path, options.head, texts))
    except StorageError as error:
        raise Ended(f"Lethe can't run: {error}") from None


async def write(path: Path, form: str) -> int:
    """Writes the whole audit to standard output; returns the exit code."""
    database = Database(path)
    await database.open()
    try:
        after = 0
        while True:
            async with database.transaction() as tx:
                rows = await audit.find(tx, after_id=after, limit=_CHUNK)
            sys.stdout.write(export(rows, form, header=after == 0))
            if not rows:
                return 0
            after = rows[-1].id
    finally:
        await database.close()


async def verify(path: Path, head: str | None, texts: Texts) -> int:
    """Follows the chain of hashes and says what that shows; returns 0 where nothing is wrong."""
    database = Database(path)
    await database.open()
    try:
        async with database.transaction(only_reading=True) as tx:
            verdict = await audit.verify(tx, head)
    finally:
        await database.close()
    if verdict.broken_at is not None:
        key = "broken"
    elif verdict.head_found is False:
        key = "perhaps_removed" if verdict.removed else "cut_off"
    else:
        key = "holds_with_head" if head else "holds_without_head"
    words = texts.word("audit", key, rows=verdict.rows, head=verdict.head, at=verdict.broken_at)
    print(plain(str(words)))
    if verdict.removed and key.startswith("holds"):
        print(plain(str(texts.word("audit", "removed", removed=verdict.removed))))
    return 0 if key.startswith("holds") else 1
