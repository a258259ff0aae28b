"""The program that is started: `python bot.py init|run|check|audit|accept|reset-totp|backup --config config.yaml`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from cli import accept, audit, backup, check, init, init_answers, log, reset_totp, run
from cli.data_dir import CannotRun, data_dir_ready
from cli.findings import print_config_problems
from cli.settings import load_settings
from config import VERSION, ConfigError, Log, Settings, keys, warnings
from engine.only_one import AnotherRuns
from homeserver.client.credentials import DeadToken, MatrixError
from homeserver.encryption.machine import DiskError
from storage.audit_export import FORMATS
from storage.database import FILE, StorageError
from texts import Texts, UnknownLanguage

EXIT_CANNOT_RUN = 1
EXIT_DEAD_TOKEN = 3
EXIT_ANOTHER_RUNS = 4


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the process's exit code."""
    parser = _parser()
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] not in (
        "init",
        "run",
        "check",
        "audit",
        "accept",
        "reset-totp",
        "backup",
        "-h",
        "--help",
        "--version",
    ):
        given = ["run", *given]
    options = parser.parse_args(given)
    os.umask(0o077)  # files created from here on are readable by the owner only
    if options.command == "init":
        log.set_up(Log(level="warning"))
        return asyncio.run(init.main(options))
    try:
        settings = load_settings(options.config)
        Texts(settings.language)
    except (ConfigError, UnknownLanguage) as error:
        if getattr(options, "json", False):
            print_config_problems(error.problems if isinstance(error, ConfigError) else [str(error)])
            return EXIT_CANNOT_RUN
        print(f"{options.config} can't be used:\n{error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    log.set_up(settings.log)
    if options.command == "check":
        known = warnings(options.config, settings)
        return asyncio.run(
            check.main(settings, known, as_json=options.json, fixing=options.fix, try_with=options.try_mas)
        )
    for sentence in warnings(options.config, settings):
        logging.getLogger("lethe").warning("%s", sentence)
    try:
        if options.command == "audit":
            return asyncio.run(_audit(settings, options))
        if options.command == "accept":
            return asyncio.run(_accept(settings, options.user))
        if options.command == "reset-totp":
            return asyncio.run(reset_totp.reset(_database(settings), options.user))
        if options.command == "backup":
            made = backup.backup(settings.data_dir, options.config, options.directory, options.encrypt_to)
            print(f"Copied to {made}")
            return 0
        data_dir_ready(settings.data_dir)
        asyncio.run(_run(options.config, settings, standby=options.standby))
    except DeadToken as error:
        print(f"Lethe has to stop: {error}", file=sys.stderr)
        return EXIT_DEAD_TOKEN
    except AnotherRuns as error:
        print(f"Lethe has to stop: {error}.", file=sys.stderr)
        return EXIT_ANOTHER_RUNS
    except DiskError as error:
        print(
            f"Lethe has to stop: the encryption keys in {settings.data_dir} can't be written: {error}", file=sys.stderr
        )
        return EXIT_CANNOT_RUN
    except (CannotRun, backup.NoBackup, MatrixError, StorageError) as error:
        print(f"Lethe can't run: {error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bot.py", description="Lethe removes accounts from a Matrix homeserver.")
    parser.add_argument("--version", action="version", version=f"Lethe {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, words in (
        ("run", "run the bot (what is done where no command is given)"),
        ("check", "try everything the bot needs, and say what is missing"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        _takes_config(command)
        if name == "run":
            command.add_argument(
                "--standby",
                action="store_true",
                help="where another Lethe runs on this data_dir, wait and take over when it ends",
            )
        if name == "check":
            command.add_argument("--json", action="store_true", help="for machines: every finding with its remedy")
            command.add_argument(
                "--fix", action="store_true", help="mend what is safe: rate limit, file modes, display name"
            )
            command.add_argument(
                "--try-mas", metavar="@user", help="a first try of MAS: locks, unlocks and REMOVES this new account"
            )
    words = "set everything up: the bot's account, its admin room, its settings; run again, it changes nothing"
    set_up = commands.add_parser("init", help=words, description=words)
    init_answers.add_options(set_up)
    _takes_config(set_up)
    words = "the audit: write it out, or follow its chain of hashes"
    actions = commands.add_parser("audit", help=words, description=words).add_subparsers(dest="action", required=True)
    out = actions.add_parser("export", help="write all of it to standard output")
    out.add_argument("--format", choices=FORMATS, default="jsonl", help="default: %(default)s")
    _takes_config(out)
    verify = actions.add_parser("verify", help="say whether anything was altered, and what that can't tell")
    verify.add_argument("--head", help="a hash from a receipt: then a cut-off end is found too")
    _takes_config(verify)
    words = "copy all that the bot keeps, consistent even while it runs"
    keep = commands.add_parser("backup", help=words, description=words)
    keep.add_argument("directory", type=Path, metavar="DIR", help="where the copy is made, in a new directory")
    keep.add_argument(
        "--encrypt-to",
        action="append",
        default=[],
        metavar="KEY",
        help="make one file that only this key opens: age1… or an SSH public key; may be given more than once",
    )
    _takes_config(keep)
    words = "obey a moderator again whose identity was reset, where no other moderator can say !accept"
    accept = commands.add_parser("accept", help=words, description=words)
    accept.add_argument("user", help="the moderator's full Matrix ID")
    _takes_config(accept)
    words = "take a moderator's second factor off, where no other moderator can say !totp-reset"
    reset = commands.add_parser("reset-totp", help=words, description=words)
    reset.add_argument("user", help="the moderator's full Matrix ID")
    _takes_config(reset)
    return parser


def _takes_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, default=Path("config.yaml"), help="the settings (%(default)s)")


def _database(settings: Settings) -> Path:
    path = settings.data_dir / FILE
    if not path.exists():
        raise StorageError(f"{path} isn't there: the bot hasn't run yet, or data_dir names another place")
    return path


async def _accept(settings: Settings, user_id: str) -> int:
    texts = Texts(settings.language, settings.command_prefix)
    return await accept.accept(_database(settings), user_id, texts)


async def _audit(settings: Settings, options: argparse.Namespace) -> int:
    path = _database(settings)
    if options.action == "export":
        return await audit.write(path, options.format)
    return await audit.verify(path, options.head, Texts(settings.language, settings.command_prefix))


async def _run(path: Path, settings: Settings, *, standby: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: _read_again(path, settings))
    await run.run(settings, stop, standby=standby)


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


if __name__ == "__main__":
    sys.exit(main())
