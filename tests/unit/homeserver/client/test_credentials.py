"""What is kept on the disk: for the owner only, whole, and for one bot at a time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from homeserver.client.credentials import (
    SEEDS,
    Credentials,
    LostKeys,
    StoreLock,
    StoreLocked,
    WrongAccount,
    private_directory,
    private_file,
    write_private,
)
from homeserver.encryption.cross_signing import Seeds
from homeserver.encryption.machine import open_machine

CREDENTIALS = Credentials("@lethe:lethe.test", "DEVICE", "secret-token")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_closed_whatever_the_umask(tmp_path: Path) -> None:
    """New files and directories are the owner's only; existing open ones are closed."""
    before = os.umask(0)
    try:
        (tmp_path / "open").touch(0o666)
        (tmp_path / "wide").mkdir(0o777)
        private_file(tmp_path / "open")
        private_directory(tmp_path / "wide")
        private_directory(tmp_path / "deep" / "er")
        write_private(tmp_path / "new", "text")
        write_private(tmp_path / "open", "text")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("open", "new")] == [0o600, 0o600]
    assert [mode(tmp_path / name) for name in ("wide", "deep/er")] == [0o700, 0o700]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "new", "open", "wide"]


def test_credentials_come_back(tmp_path: Path) -> None:
    """What was saved is loaded; nothing is there before; the token is in no repr."""
    assert Credentials.load(tmp_path) is None
    CREDENTIALS.save(tmp_path)
    assert Credentials.load(tmp_path) == CREDENTIALS
    assert "secret-token" not in repr(CREDENTIALS)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"user_id": "x", "device_id": 1, "access_token": "y"}'])
def test_damaged_credentials_are_said(tmp_path: Path, text: str) -> None:
    """A damaged file is WrongAccount with what to do."""
    (tmp_path / "credentials.json").write_text(text)
    with pytest.raises(WrongAccount, match="damaged"):
        Credentials.load(tmp_path)


def test_one_lock_at_a_time(tmp_path: Path) -> None:
    """A second lock is refused until the first is released; taking one's own again is nothing."""
    first, second = StoreLock(tmp_path), StoreLock(tmp_path)
    first.acquire()
    first.acquire()
    with pytest.raises(StoreLocked):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_seeds_come_back(tmp_path: Path) -> None:
    """The identity's keys are the same after loading; damaged ones are a ValueError, missing ones None."""
    assert Seeds.load(tmp_path) is None
    made = Seeds.make(tmp_path)
    loaded = Seeds.load(tmp_path)
    assert loaded is not None
    assert loaded.master.public == made.master.public
    assert mode(tmp_path / SEEDS) == 0o600
    for text in ("", "{}", "[]", '{"master": "x", "self_signing": "x", "user_signing": "x"}'):
        (tmp_path / SEEDS).write_text(text)
        with pytest.raises(ValueError):
            Seeds.load(tmp_path)


def test_damaged_keys_are_said(tmp_path: Path) -> None:
    """A keys file that is no database, or holds other keys than it should, is LostKeys, and stays as it is."""
    file = tmp_path / "keys.db"
    file.write_bytes(b"x" * 5000)
    with pytest.raises(LostKeys, match="damaged"):
        open_machine(file, "@lethe:lethe.test", "DEVICE")
    assert file.read_bytes() == b"x" * 5000
