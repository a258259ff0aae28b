"""Lethe's command line: `python bot.py run --config config.yaml`, `python bot.py check --config config.yaml`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import app
import check
from config import ConfigError, Log, Settings, load
from homeserver.store import DeadToken, MatrixError
from storage.database import StorageError

EXIT_CANNOT_RUN = 1
EXIT_DEAD_TOKEN = 3


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the process's exit code."""
    parser = _parser()
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] not in ("run", "check", "-h", "--help"):
        given = ["run", *given]
    options = parser.parse_args(given)
    os.umask(0o077)  # whatever is written from here on is for the owner alone
    try:
        settings = load(options.config)
    except ConfigError as error:
        print(f"{options.config} can't be used:\n{error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    _set_up_log(settings.log)
    if options.command == "check":
        return asyncio.run(check.main(settings))
    try:
        app.data_dir_ready(settings.data_dir)
        asyncio.run(_run(settings))
    except DeadToken as error:
        print(f"Lethe has to stop: {error}", file=sys.stderr)
        return EXIT_DEAD_TOKEN
    except (app.CannotRun, MatrixError, StorageError) as error:
        print(f"Lethe can't run: {error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bot.py", description="Lethe removes accounts from a Matrix homeserver.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, words in (
        ("run", "run the bot (what is done where no command is given)"),
        ("check", "try everything the bot needs, and say what is missing"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("--config", type=Path, default=Path("config.yaml"), help="the settings (%(default)s)")
    return parser


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await app.run(settings, stop)


def _set_up_log(settings: Log) -> None:
    logging.basicConfig(
        level=settings.level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )


if __name__ == "__main__":
    sys.exit(main())
