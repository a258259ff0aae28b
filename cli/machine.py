"""What `check` looks at on this machine: the data directory, who can read it, and whether the disk has room."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from cli.findings import Report
from storage.disk import Room, room

SCARCE = 500 * 1024**2
"""Bytes free on the disk of the data directory, below which `check` warns."""
FULL = 20 * 1024**2
"""Bytes below which nothing can be promised to be written."""


def look_at_data_dir(path: Path, report: Report) -> None:
    """The data directory: there, writable, nobody else's, and with room to grow."""
    if path.exists() and not path.is_dir():
        report.bad("data_dir_no_directory", path=str(path))
        return
    if not path.exists():
        parent = next(p for p in path.absolute().parents if p.exists())
        if parent.is_dir() and os.access(parent, os.W_OK):
            report.good("data_dir_new", path=str(path))
            look_at_space(parent, Room(0, shutil.disk_usage(parent).free), report)
        else:
            report.bad("data_dir_unmakable", path=str(path))
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        report.bad("data_dir_unusable", path=str(path))
        return
    loose = [p for p in (path, *path.rglob("*")) if _open_to_others(p)]
    if loose:
        names = [str(p) for p in loose[:5]]
        if report.fixing:
            _close(loose)
        say = report.fixed if report.fixing else report.bad
        say("data_dir_open", path=str(path), files=names)
    else:
        report.good("data_dir", path=str(path))
    look_at_space(path, room(path), report)


def look_at_space(path: Path, seen: Room, report: Report) -> None:
    """Whether the disk has room."""
    values = {"path": str(path), "used": megabytes(seen.used), "free": megabytes(seen.free)}
    if seen.free < FULL:
        report.bad("disk_full", **values)
    elif seen.free < SCARCE:
        report.warn("disk_scarce", **values)
    else:
        report.good("disk", **values)


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1024**2:.1f} MB" if size < 1024**3 else f"{size / 1024**3:.1f} GB"


def _close(paths: list[Path]) -> None:
    for path in paths:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o077)


def _open_to_others(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False  # a running bot's databases have files that come and go
    return bool(stat.S_IMODE(mode) & 0o077) and not stat.S_ISLNK(mode)
