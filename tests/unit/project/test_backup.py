"""A backup is closed to others from its first byte, and leaves nothing where it can't be finished."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyrage
import pytest
from pyrage import x25519

from cli.backup import UNFINISHED, NoBackup, backup
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


# --- encrypted -------------------------------------------------------------------------------------------------------


def test_only_the_recipients_open_it(data_dir: Path, tmp_path: Path) -> None:
    """One file, closed to others, that either of two keys opens and a third doesn't; its content lies at the top, as a
    data directory wants it; nothing in clear is left anywhere."""
    one, other, third = (x25519.Identity.generate() for _ in range(3))
    keys = [str(each.to_public()) for each in (one, other)]
    made = backup(data_dir, tmp_path / "config.yaml", tmp_path / "copies", keys)
    assert made.name.endswith(".tar.age") and [made] == list((tmp_path / "copies").iterdir())
    assert made.stat().st_mode & 0o077 == 0 and b"secret" not in made.read_bytes()
    assert not (data_dir / UNFINISHED).exists()
    for identity in (one, other):
        with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(made.read_bytes(), [identity]))) as tar:
            assert {"config.yaml", CREDENTIALS} <= set(tar.getnames())
            file = tar.extractfile("config.yaml")
            assert file is not None and file.read() == b"password: secret\n"
            assert not [member.name for member in tar.getmembers() if member.mode & 0o077]
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(made.read_bytes(), [third])


@pytest.mark.skipif(shutil.which("age") is None, reason="age isn't here")
def test_age_itself_opens_it(data_dir: Path, tmp_path: Path) -> None:
    """By the line that docs/operations.md has."""
    identity = x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(f"{identity}\n")
    made = backup(data_dir, tmp_path / "config.yaml", tmp_path, [str(identity.to_public())])
    (tmp_path / "restored").mkdir()
    line = f"age -d -i key.txt {made.name} | tar -x -C restored"
    page = (Path(__file__).resolve().parents[3] / "docs/operations.md").read_text("utf-8")
    assert line.replace(made.name, "lethe-<time>.tar.age").replace("restored", "DIR") in page
    subprocess.run(line, shell=True, cwd=tmp_path, check=True)  # noqa: S602 - the line of the page
    assert (tmp_path / "restored" / "config.yaml").read_text() == "password: secret\n"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("me@example.org", "must be age1"),
        ("age1zzz", "must be age1"),
        ("ssh-ed25519 AAA", "must be age1"),
        ("", "must be age1"),
    ],
)
def test_what_is_no_key_is_refused_before_anything_is_copied(
    data_dir: Path, tmp_path: Path, key: str, says: str
) -> None:
    """With what was typed."""
    with pytest.raises(NoBackup, match=says) as caught:
        backup(data_dir, tmp_path / "config.yaml", tmp_path / "copies", [key])
    assert repr(key) in str(caught.value)
    assert not (tmp_path / "copies").exists() and not (data_dir / UNFINISHED).exists()


def test_a_private_key_isnt_repeated(data_dir: Path, tmp_path: Path) -> None:
    """Whoever mixes the two up shouldn't find it in a log."""
    private = str(x25519.Identity.generate())
    with pytest.raises(NoBackup, match="private key") as caught:
        backup(data_dir, tmp_path / "config.yaml", tmp_path / "copies", [private])
    assert private not in str(caught.value)


def test_an_encrypted_copy_that_fails_leaves_nothing(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in clear in the data directory nor half encrypted."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyrage, "encrypt_io", full)
    key = str(x25519.Identity.generate().to_public())
    with pytest.raises(NoBackup, match="No space left"):
        backup(data_dir, tmp_path / "config.yaml", tmp_path / "copies", [key])
    assert list((tmp_path / "copies").iterdir()) == [] and not (data_dir / UNFINISHED).exists()
