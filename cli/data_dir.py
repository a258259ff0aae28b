"""The data directory before the bot runs on it: made, closed to others, and nobody else's at the moment."""

from __future__ import annotations

import logging
from pathlib import Path

from cli.monitoring import notify
from homeserver.client.credentials import StoreLock, StoreLocked

log = logging.getLogger(__name__)


class CannotRun(Exception):
    """The bot can't run like this; `str()` says what is wrong and how to fix it."""


def data_dir_ready(path: Path) -> None:
    """Makes the data directory, for its owner alone.

    Raises:
        CannotRun: it can't be made or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise CannotRun(f"data_dir: {path} can't be made or used: {error.strerror}") from error


async def stand_by(lock: StoreLock, data_dir: Path) -> None:
    """Waits until nobody else runs on the data directory, and takes it."""
    try:
        lock.acquire()
    except StoreLocked:
        log.info("Another Lethe runs on %s. Standing by until it ends.", data_dir)
        notify("STATUS=Standing by")
        await lock.wait()
        log.info("The other Lethe has ended. Taking over.")
