"""`bot.py backup DIR`: a consistent copy of all that the bot keeps, beside a running bot or without.

Each database is copied as it is at one moment. The encryption keys are copied last: the homeserver forgets keys that
were fetched, so the copy's sync token must never be newer than its keys.

With `--encrypt-to` the copy is one file, encrypted by age (https://age-encryption.org/v1); in clear it is only ever in
the data directory itself, and only until it is encrypted.
"""

from __future__ import annotations

import argparse
import shutil
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pyrage
from pyrage import ssh, x25519

from cli.exits import Ended
from cli.opening import settings_of
from homeserver.client.credentials import CREDENTIALS, KEYS, SEEDS, private_directory, private_file
from storage.database import FILE, StorageError, copy
from storage.second_factors import KEY_FILE

Recipient: TypeAlias = "x25519.Recipient | ssh.Recipient"
UNFINISHED = "backup.unfinished"
"""In the data directory: what isn't encrypted yet."""


class NoBackup(Exception):
    """Nothing was copied. `str()` says why."""


def main(options: argparse.Namespace) -> int:
    """Makes the copy, and says where; returns the exit code.

    Raises:
        Ended: there is no copy.
    """
    settings = settings_of(options.config)
    try:
        made = backup(settings.data_dir, options.config, options.directory, options.encrypt_to)
    except (NoBackup, StorageError) as error:
        raise Ended(f"Lethe can't run: {error}") from None
    print(f"Copied to {made}")
    return 0


def recipient(text: str) -> Recipient:
    """Whoever can open an encrypted backup, by a public key: age's own (`age1…`) or SSH's (`ssh-ed25519`, `ssh-rsa`).

    Raises:
        NoBackup: it is neither.
    """
    try:
        return ssh.Recipient.from_str(text) if text.startswith("ssh-") else x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        private = " That is a private key: give the public one." if text.upper().startswith("AGE-SECRET-KEY-") else ""
        shown = "" if private else f" {text!r}:"
        raise NoBackup(
            f"--encrypt-to{shown} must be age1… (made by age-keygen) or an SSH public key ({error}).{private}"
        ) from None


def backup(data_dir: Path, config: Path, to: Path, encrypt_to: Sequence[str] = ()) -> Path:
    """Copies the data directory and the settings into a new directory inside `to`, or encrypted into a file there.

    The copy is whole or isn't there: it gets its name once all of it is written.

    Args:
        encrypt_to: recipients, see `recipient`; any one of them can open it.

    Returns:
        The directory, `lethe-<time>`, or the file, `lethe-<time>.tar.age`.

    Raises:
        NoBackup: there is nothing to copy, or it can't be written.
        StorageError: a database can't be read.
    """
    if not (data_dir / CREDENTIALS).exists():
        raise NoBackup(f"{data_dir} holds no bot that ever logged in: there is nothing to copy")
    recipients = [recipient(each) for each in encrypt_to]
    made = to / f"lethe-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{'.tar.age' if recipients else ''}"
    unfinished = made.with_name(made.name + ".unfinished")
    try:
        if recipients:
            to.mkdir(parents=True, exist_ok=True)
            _encrypted(data_dir, config, unfinished, recipients)
        else:
            _copied(data_dir, config, unfinished)
        unfinished.rename(made)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.unlink(missing_ok=True)
        raise NoBackup(f"the copy can't be written: {error}") from error
    return made


def _encrypted(data_dir: Path, config: Path, to: Path, recipients: list[Recipient]) -> None:
    clear = data_dir / UNFINISHED
    shutil.rmtree(clear, ignore_errors=True)  # of one that was killed
    try:
        _copied(data_dir, config, clear / "content")
        archive = clear / "content.tar"
        private_file(archive)
        with tarfile.open(archive, "w") as tar:
            for path in sorted((clear / "content").iterdir()):
                tar.add(path, path.name)
        private_file(to)
        with archive.open("rb") as reader, to.open("wb") as writer:
            pyrage.encrypt_io(reader, writer, recipients)
    finally:
        shutil.rmtree(clear, ignore_errors=True)


def _copied(data_dir: Path, config: Path, to: Path) -> None:
    private_directory(to)
    private_directory(to / KEYS)
    shutil.copy2(config, to / "config.yaml")
    for name in (CREDENTIALS, SEEDS, KEY_FILE):
        if (data_dir / name).exists():
            shutil.copy2(data_dir / name, to / name)
    if (data_dir / FILE).exists():
        copy(data_dir / FILE, to / FILE)
    for keys in sorted((data_dir / KEYS).glob("*.db")):
        copy(keys, to / KEYS / keys.name)
    for path in to.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
