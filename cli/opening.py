"""What the commands on a bot that was set up begin with: its settings, how its log is written, its database."""

from __future__ import annotations

import logging
from pathlib import Path

from cli import log
from cli.exits import Ended
from cli.settings import load_settings
from config import ConfigError, Settings, warnings
from storage.database import FILE, StorageError


class Unusable(Ended):
    """The settings can't be used.

    Args:
        problems: each in a sentence.
    """

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join([f"{path} can't be used:", *problems]))


def settings_of(path: Path, *, warn: bool = True) -> Settings:
    """The settings of a file; from here on the log is written as they say.

    Args:
        warn: says in the log what works and should be known about.

    Raises:
        Unusable: something is wrong with them.
    """
    try:
        settings = load_settings(path)
    except ConfigError as error:
        raise Unusable(path, error.problems) from None
    log.set_up(settings.log)
    for sentence in warnings(path, settings) if warn else ():
        logging.getLogger("lethe").warning("%s", sentence)
    return settings


def database_of(settings: Settings) -> Path:
    """The database's file. Raises: StorageError: there is none."""
    path = settings.data_dir / FILE
    if not path.exists():
        raise StorageError(f"{path} isn't there: the bot hasn't run yet, or data_dir names another place")
    return path
