"""`bot.py backup`: taken while requests run, and put back elsewhere."""

from __future__ import annotations

import asyncio
import io
import shutil
import sqlite3
import tarfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pyrage
import pytest
from pyrage import x25519

from storage.database import FILE, Database
from storage.migrations import MIGRATIONS
from tests.support.direct_room import states
from tests.support.prompts import OPEN, MakeScene, prompted


def found(folder: Path, pattern: str) -> list[Path]:
    """The files of this name."""
    return sorted(folder.glob(pattern))


OPEN_PROMPTS, RUNNING = 10, 40


@pytest.mark.timeout(900)  # fifty prompts and removals on a busy machine
async def test_a_backup_during_50_requests_is_put_back_elsewhere(scene: MakeScene, tmp_path: Path) -> None:
    """Ten prompts are open and forty removals under way while it is taken, encrypted. Opened and put back as another
    data directory, once the old one is gone, the bot is the same device, knows the prompts, and ends every removal; its
    audit holds."""
    identity = x25519.Identity.generate()
    stage = await scene(moderators={"max_removals_per_hour": 1000})
    targets = [await stage.account("leaver") for _ in range(OPEN_PROMPTS + RUNNING)]
    prompts = [await prompted(stage, target) for target in targets]
    for prompt in prompts[OPEN_PROMPTS:]:
        await prompt.react("✅")
    code, output = await stage.bot.command("backup", str(tmp_path), "--encrypt-to", str(identity.to_public()))
    assert code == 0, output
    await stage.bot.kill()
    before = (stage.bot.data_dir / "credentials.json").read_text()
    shutil.rmtree(stage.bot.data_dir)
    stage.bot.data_dir = stage.bot.directory / "elsewhere"
    (file,) = found(tmp_path, "lethe-*")
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(file.read_bytes(), [identity]))) as tar:
        tar.extractall(stage.bot.data_dir, filter="tar")
    assert not [path for path in found(stage.bot.data_dir, "**/*") if path.stat().st_mode & 0o077]
    with closing(sqlite3.connect(stage.bot.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stood = Counter(state for (state,) in database.execute("SELECT state FROM requests"))
    assert sum(stood.values()) == OPEN_PROMPTS + RUNNING and stood["awaiting_confirmation"] >= OPEN_PROMPTS
    stage.bot.configure(data_dir=str(stage.bot.data_dir))
    await stage.bot.start()
    assert (stage.bot.data_dir / "credentials.json").read_text() == before
    for prompt in prompts[OPEN_PROMPTS:]:
        async with asyncio.timeout(120):
            while not await prompt.gone():  # noqa: ASYNC110 - the homeserver's state
                await asyncio.sleep(0.2)
    await prompts[0].react("✅")
    await prompts[0].hears("is deactivated", timeout=120)
    assert OPEN in await prompts[1].status()
    async with asyncio.timeout(120):
        while Counter(states(stage)) != {"done": RUNNING + 1, "awaiting_confirmation": OPEN_PROMPTS - 1}:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    code, output = await stage.bot.command("audit", "verify")
    assert code == 0, output


async def test_nothing_is_copied_where_nothing_is(scene: MakeScene, tmp_path: Path) -> None:
    """A bot that never ran: said, and no directory is left."""
    stage = await scene(start=False)
    code, output = await stage.bot.command("backup", str(tmp_path / "copies"))
    assert code == 1 and "there is nothing to copy" in output
    assert not (tmp_path / "copies").exists()


async def test_an_older_database_is_kept_before_it_is_migrated(tmp_path: Path) -> None:
    """The first schema's, beside the new one, as it was."""
    path = tmp_path / FILE
    old = Database(path, migrations=MIGRATIONS[:1])
    await old.open()
    await old.close()
    new = Database(path)
    await new.open()
    await new.close()
    with closing(sqlite3.connect(tmp_path / f"{FILE}.schema1")) as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (1,)
    assert len(found(tmp_path, "*schema*")) == 1
