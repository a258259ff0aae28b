"""A database in a real file, new for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from storage.database import Database

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database will be."""
    return tmp_path / "lethe.db"


@pytest_asyncio.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    """An empty database, open, that waits for nobody long."""
    opened = Database(path, patience=0.05)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def ordinary_folder() -> Iterator[Path]:
    """A folder of somebody whom file modes stop: the tests run as nobody where they were started by root."""
    folder = Path(tempfile.mkdtemp(prefix="lethe-test-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
            os.setegid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)
