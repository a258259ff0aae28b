"""`bot.py backup DIR`: a consistent copy of all that the bot keeps, beside a running bot or without.

Each database is copied as it is at one moment. The encryption keys are copied last: the homeserver forgets keys that
were fetched, so the copy's sync token must never be newer than its keys.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from homeserver.client.credentials import CREDENTIALS, KEYS, private_directory
from homeserver.encryption.cross_signing import SEEDS
from storage.database import FILE, copy


class NoBackup(Exception):
    """Nothing was copied. `str()` says why."""


def backup(data_dir: Path, config: Path, to: Path) -> Path:
    """Copies the data directory and the settings into a new directory inside `to`; returns it.

    The copy is whole or isn't there: it gets its name once all of it is written.

    Raises:
        NoBackup: there is nothing to copy, or it can't be written.
        StorageError: a database can't be read.
    """
    if not (data_dir / CREDENTIALS).exists():
        raise NoBackup(f"{data_dir} holds no bot that ever logged in: there is nothing to copy")
    made = to / f"lethe-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    unfinished = made.with_name(made.name + ".unfinished")
    try:
        private_directory(unfinished)
        private_directory(unfinished / KEYS)
        shutil.copy2(config, unfinished / "config.yaml")
        for name in (CREDENTIALS, SEEDS):
            if (data_dir / name).exists():
                shutil.copy2(data_dir / name, unfinished / name)
        if (data_dir / FILE).exists():
            copy(data_dir / FILE, unfinished / FILE)
        for keys in sorted((data_dir / KEYS).glob("*.db")):
            copy(keys, unfinished / KEYS / keys.name)
        for path in unfinished.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        unfinished.rename(made)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise NoBackup(f"the copy can't be written: {error}") from error
    return made
