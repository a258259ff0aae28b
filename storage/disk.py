"""How much room the bot's files take, and how much is left beside them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Room:
    """In bytes."""

    used: int
    free: int


def room(data_dir: Path) -> Room:
    """Looks at a data directory that is there. Raises: OSError: it can't be looked at."""
    return Room(sum(_size(each) for each in data_dir.rglob("*")), shutil.disk_usage(data_dir).free)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0  # a running bot's databases have files that come and go
