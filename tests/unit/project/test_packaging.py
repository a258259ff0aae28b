"""What is installed: everything locked with hashes, and a package that runs from anywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from version import VERSION

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def pinned(text: str) -> dict[str, str]:
    """Each distribution with its version."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[a-z0-9,]+\])?==([^\s;\\]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


WANTED = pinned("\n".join(PROJECT["project"]["dependencies"]))
LOCKED = pinned((ROOT / "requirements.txt").read_text("utf-8"))


def test_the_lock_is_made_of_what_is_asked_for() -> None:
    """Where this fails: run `make lock` and commit what it writes."""
    assert WANTED.items() <= LOCKED.items()
    development = pinned((ROOT / "requirements-dev.txt").read_text("utf-8"))
    wanted = pinned((ROOT / "requirements-dev.in").read_text("utf-8"))
    assert len(wanted) > 10 and wanted.items() <= development.items()
    assert LOCKED.items() <= development.items()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_everything_is_locked_with_its_hashes(name: str) -> None:
    """And nothing says where it is to be had from: that is for the machine that installs it."""
    text = (ROOT / name).read_text("utf-8")
    entries = re.split(r"\n(?=[a-z])", text)
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+", entry) and "--hash=sha256:" in entry, entry[:80]
    assert not re.search(r"https?://|index-url", text)


def test_an_installed_lethe_runs_from_anywhere(tmp_path: Path) -> None:
    """Built and installed as pipx and uv do it: `lethe` is on the path, and finds its texts and its picture."""
    source, place = tmp_path / "source", tmp_path / "venv"
    source.mkdir()  # building leaves files behind
    for name in ("pyproject.toml", "README.md", "bot.py", "config.py", "version.py"):
        shutil.copy(ROOT / name, source)
    for package in ("cli", "engine", "handlers", "homeserver", "removal", "storage", "texts", "web"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    environ = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}  # its dependencies are here already

    def run(*command: str | Path) -> str:
        ended = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True)  # noqa: S603
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    uv, python = Path(sysconfig.get_path("scripts")) / "uv", place / "bin" / "python"
    run(uv, "venv", "--python", sys.executable, place)
    run(uv, "pip", "install", "--python", python, "--no-deps", source)
    assert run(place / "bin" / "lethe", "--version") == f"Lethe {VERSION}\n"
    look = "import texts, cli.init as i; texts.Texts(); print(texts.FOLDER, i.AVATAR.stat().st_size)"
    assert run(python, "-c", look).startswith(str(place))
