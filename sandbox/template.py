"""A ready database of Synapse, made once per version and copied for each homeserver.

A new database comes with some 57 background updates. They take a minute by default, and until they are done parts of
the admin API answer 500 (reactivating a user, for one). So a template is made with the pauses switched off, used once
they are all through, and kept in the project's `.cache/`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib.metadata import version
from pathlib import Path

from sandbox.synapse_process import PROJECT_ROOT, PortTaken, SynapseProcess, base_config, free_port, new_secret

CACHE_DIR = PROJECT_ROOT / ".cache"

UPDATES_WITHIN = 180.0
"""Seconds until the background updates count as stuck."""


async def template_database(cache_dir: Path = CACHE_DIR) -> Path:
    """Return the path of a finished database for the installed Synapse, made now if there is none.

    Safe when several processes ask at once: one makes it, the others wait for the lock.
    """
    template = cache_dir / f"synapse-{version('matrix-synapse')}.db"
    if not await asyncio.to_thread(template.exists):
        await asyncio.to_thread(cache_dir.mkdir, parents=True, exist_ok=True)
        async with _locked(template.with_suffix(".lock")):
            if not await asyncio.to_thread(template.exists):
                await _make(template)
    return template


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold an exclusive lock on the file. The kernel frees it when we end, however that is."""
    with path.open("w") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield


async def _make(template: Path) -> None:
    """Start Synapse on an empty database, await its background updates, stop it, keep the database."""
    work = Path(tempfile.mkdtemp(prefix="template-", dir=template.parent))
    try:
        process = await _started(work)
        try:
            async with asyncio.timeout(UPDATES_WITHIN):
                # The database is the only place that tells.
                while await asyncio.to_thread(_updates_left, work / "homeserver.db"):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            await process.stop()
        await asyncio.to_thread(_into_one_file, work / "homeserver.db")
        (work / "homeserver.db").replace(template)  # atomic: a template is there whole or not at all
    finally:
        shutil.rmtree(work, ignore_errors=True)


async def _started(work: Path) -> SynapseProcess:
    for attempt in range(5):
        process = SynapseProcess(work, free_port())
        try:
            await process.start(base_config(work, "template.test", new_secret()))
        except PortTaken:
            if attempt == 4:
                raise
        else:
            return process
    raise AssertionError("unreachable")


def _updates_left(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM background_updates").fetchone()
    return int(count)


def _into_one_file(database: Path) -> None:
    """Move the write-ahead log into the database, so that copying one file is enough, and write it to the disk."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("rb") as file:
        os.fsync(file.fileno())
