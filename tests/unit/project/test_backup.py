"""A backup is closed to others from its first byte, and leaves nothing where it can't be finished."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.backup import NoBackup, backup
from homeserver.client.credentials import CREDENTIALS


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Of a bot that logged in once; its settings stand beside it, for everybody to read."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / CREDENTIALS).write_text("{}")
    (tmp_path / "config.yaml").write_text("password: secret\n")
    return folder


def test_nobody_else_gets_in_while_it_is_written(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the usual umask, too."""
    modes: list[int] = []
    copy2 = shutil.copy2

    def looking(source: Path, to: Path) -> Any:
        modes.append(to.parent.stat().st_mode & 0o777)
        return copy2(source, to)

    monkeypatch.setattr(shutil, "copy2", looking)
    before = os.umask(0o022)
    try:
        made = backup(data_dir, tmp_path / "config.yaml", tmp_path / "copies")
    finally:
        os.umask(before)
    assert modes and set(modes) == {0o700}
    assert [path for path in (made, *made.rglob("*")) if path.stat().st_mode & 0o077] == []


def test_a_copy_that_fails_leaves_no_secret_behind(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as by a full disk, in the middle."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(NoBackup, match="No space left"):
        backup(data_dir, tmp_path / "config.yaml", tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []
