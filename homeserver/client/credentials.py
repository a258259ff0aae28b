"""The bot's files in its data directory: credentials, keys, and the lock that lets only one process run."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

CREDENTIALS = "credentials.json"
SEEDS = "cross_signing.json"
LOCK = "lock"
KEYS = "crypto"
"""The directory of the encryption keys, one database for each device the bot has been."""


class MatrixError(Exception):
    """The bot can't be on Matrix as it is set up. `str()` says why and what to do, in plain words.

    MatrixError
    ├── StoreLocked    another bot runs on this data directory
    ├── DeadToken      the access token is no longer valid
    ├── LoginRefused   the homeserver doesn't take the password, or there is nothing to log in with
    ├── WrongAccount   the token, or what is stored, belongs to another account or device
    └── LostKeys       the device is known to others by keys that this directory doesn't hold
    """


class StoreLocked(MatrixError):
    """Another bot runs on this data directory."""


class DeadToken(MatrixError):
    """The access token is no longer valid."""


class LoginRefused(MatrixError):
    """The homeserver doesn't take the password, or there is nothing to log in with."""


class WrongAccount(MatrixError):
    """The token, or what is stored, belongs to another account or device."""


class LostKeys(MatrixError):
    """The device is known to others by keys that this directory doesn't hold."""


def private_directory(path: Path) -> None:
    """Makes a directory that only its owner may enter; an existing one is closed to others.

    Raises:
        OSError: it can't be made, or belongs to someone else.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def private_file(path: Path) -> None:
    """Makes an empty file that only its owner may read, where there is none; an existing one is closed to others.

    SQLite gives its `-wal`, `-shm` and `-journal` files the mode of the database itself.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read: whole and on the disk, or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who the bot is to the homeserver. The token is never a part of `repr`."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)

    @classmethod
    def load(cls, data_dir: Path) -> Self | None:
        """What is stored, or None. Reads only, and needs no lock: `check` uses it beside a running bot.

        Raises:
            WrongAccount: the file is damaged.
            OSError: it can't be read.
        """
        path = data_dir / CREDENTIALS
        try:
            data = json.loads(path.read_text())
            values = [data["user_id"], data["device_id"], data["access_token"]]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise WrongAccount(f"{path} is damaged: put it back from a backup, or remove it to log in anew") from None
        if not all(isinstance(value, str) and value for value in values):
            raise WrongAccount(f"{path} is damaged: put it back from a backup, or remove it to log in anew")
        return cls(*values)

    def save(self, data_dir: Path) -> None:
        """Writes them, 0600."""
        private_directory(data_dir)
        write_private(data_dir / CREDENTIALS, json.dumps(asdict(self)))


def keys_file(data_dir: Path, device_id: str) -> Path:
    """Where a device's keys are."""
    return data_dir / KEYS / f"{quote(device_id, safe='')}.db"


class StoreLock:
    """Held by the one bot that may use a data directory. The kernel frees it when the process ends, however that is.

    The file names the run that held it last. Together with its own inode number, so that a copied directory doesn't
    speak of runs that it never saw.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / LOCK
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes it.

        Raises:
            StoreLocked: somebody has it.
        """
        if self._descriptor is not None:
            return
        private_file(self._path)
        descriptor = os.open(self._path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreLocked(f"another Lethe is running on {self._path.parent}: stop it first") from None
        self._descriptor = descriptor

    async def wait(self, every: float = 0.25) -> None:
        """Takes it once it is free; looks `every` seconds."""
        while True:
            try:
                return self.acquire()
            except StoreLocked:
                await asyncio.sleep(every)

    def last_run(self) -> str | None:
        """The run that held this very lock last; since we hold it now, that one has ended. None where nobody knows."""
        if self._descriptor is None:
            return None
        run, _, inode = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip().partition(" ")
        return run if run and inode == str(os.fstat(self._descriptor).st_ino) else None

    def note_run(self, run: str) -> None:
        """Writes down who holds it now."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{run} {os.fstat(self._descriptor).st_ino}\n".encode(), 0)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
