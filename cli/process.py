"""`bot.py run`: the bot as a process: signals, exit codes, and settings that are read again."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path
from typing import Any

from cli import log
from cli.data_dir import CannotRun, data_dir_ready
from cli.exits import EXIT_ANOTHER_RUNS, EXIT_DEAD_TOKEN, Ended
from cli.opening import settings_of
from cli.run import run
from cli.settings import load_settings
from cli.speaking import texts_of
from config import ConfigError, Settings, keys
from engine.only_one import AnotherRuns
from homeserver.client.credentials import DeadToken, MatrixError
from homeserver.encryption.machine import DiskError
from storage.database import StorageError


def main(options: argparse.Namespace) -> int:
    """Runs the bot until it is told to stop; returns the exit code.

    Raises:
        Ended: it can't run.
    """
    settings = settings_of(options.config)
    texts_of(options.config, settings)
    try:
        data_dir_ready(settings.data_dir)
        asyncio.run(_until_told(options.config, settings, standby=options.standby))
    except DeadToken as error:
        raise Ended(f"Lethe has to stop: {error}", EXIT_DEAD_TOKEN) from None
    except AnotherRuns as error:
        raise Ended(f"Lethe has to stop: {error}.", EXIT_ANOTHER_RUNS) from None
    except DiskError as error:
        where = settings.data_dir
        raise Ended(f"Lethe has to stop: the encryption keys in {where} can't be written: {error}") from None
    except (CannotRun, MatrixError, StorageError) as error:
        raise Ended(f"Lethe can't run: {error}") from None
    return 0


async def _until_told(path: Path, settings: Settings, *, standby: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: _read_again(path, settings))
    await run(settings, stop, standby=standby)


def _read_again(path: Path, running: Settings) -> None:
    """SIGHUP: takes over how the log is written, and names the settings that need a restart."""
    logger = logging.getLogger("lethe")
    try:
        new = load_settings(path)
    except ConfigError as error:
        logger.error("The settings can't be used, nothing is changed: %s", error)
        return
    log.set_up(new.log)
    before, after = running.model_dump(exclude={"log"}), new.model_dump(exclude={"log"})
    differ = [key for key in keys() if not key.startswith("log.") and _at(before, key) != _at(after, key)]
    if differ:
        logger.warning("log.level and log.format are read again; these need a restart: %s", ", ".join(differ))
    else:
        logger.info("log.level and log.format are read again; nothing else changed.")


def _at(values: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values
