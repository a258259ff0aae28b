"""`bot.py backup`: taken while requests run, and put back elsewhere."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from storage.database import FILE, Database
from storage.migrations import MIGRATIONS
from tests.support.prompts import OPEN, MakeScene, prompted


def found(folder: Path, pattern: str) -> list[Path]:
    """The files of this name."""
    return sorted(folder.glob(pattern))


async def test_a_backup_during_running_requests_is_put_back_elsewhere(scene: MakeScene, tmp_path: Path) -> None:
    """Prompts are open and removals under way while it is taken. Put back as another data directory, once the old one
    is gone, the bot is the same device, knows the prompts, and ends the removals."""
    stage = await scene()
    targets = [await stage.account("leaver") for _ in range(6)]
    prompts = await asyncio.gather(*(prompted(stage, target) for target in targets))
    for prompt in prompts[:4]:
        await prompt.react("✅")
    code, output = await stage.bot.command("backup", str(tmp_path))
    assert code == 0, output
    (copy,) = found(tmp_path, "lethe-*")
    assert not [path for path in (copy, *found(copy, "**/*")) if path.stat().st_mode & 0o077]
    with closing(sqlite3.connect(copy / FILE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    before = (stage.bot.data_dir / "credentials.json").read_text()
    await stage.bot.kill()
    shutil.rmtree(stage.bot.data_dir)
    stage.bot.data_dir = stage.bot.directory / "elsewhere"
    shutil.copytree(copy, stage.bot.data_dir)
    stage.bot.configure(data_dir=str(stage.bot.data_dir))
    await stage.bot.start()
    assert (stage.bot.data_dir / "credentials.json").read_text() == before
    for prompt in prompts[:4]:
        async with asyncio.timeout(60):
            while not await prompt.gone():  # noqa: ASYNC110 - the homeserver's state
                await asyncio.sleep(0.2)
    await prompts[4].react("✅")
    await prompts[4].hears("is deactivated")
    assert OPEN in await prompts[5].status()


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
