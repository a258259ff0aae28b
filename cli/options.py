"""The command line: every command with its options. It needs the standard library only, so it answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from version import VERSION

COMMANDS = ("init", "run", "check", "audit", "accept", "reset-totp", "backup")
DEFAULT_NAME = "lethe"
"""The first part of the bot's Matrix ID."""
AUDIT_FORMATS = ("jsonl", "csv")
"""As storage.audit_export has them; a test compares."""


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What was typed; `run` where no command is named.

    Raises:
        SystemExit: help or the version was asked for (0), or it can't be understood (2).
    """
    given = list(arguments)
    if not given or given[0] not in (*COMMANDS, "-h", "--help", "--version"):
        given = ["run", *given]
    return _parser().parse_args(given)


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
    _init(set_up)
    _takes_config(set_up)
    words = "the audit: write it out, or follow its chain of hashes"
    actions = commands.add_parser("audit", help=words, description=words).add_subparsers(dest="action", required=True)
    out = actions.add_parser("export", help="write all of it to standard output")
    out.add_argument("--format", choices=AUDIT_FORMATS, default="jsonl", help="default: %(default)s")
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


def _init(command: argparse.ArgumentParser) -> None:
    """The options of `init`; each replaces a question."""
    where = command.add_argument_group("where")
    where.add_argument("--server-name", metavar="NAME", help="the part of your Matrix IDs after the colon")
    where.add_argument("--homeserver", metavar="URL", help="the homeserver's address, where it isn't found by its name")
    where.add_argument("--data-dir", type=Path, help="where the bot keeps its keys and its database (data)")
    way = command.add_argument_group("whose rights are used, once, to make the bot's account a server admin")
    way.add_argument("--admin", metavar="USER", help="a server admin's Matrix ID; logged in, and out again at the end")
    way.add_argument("--admin-password-file", type=Path, metavar="FILE", help="their password (-: standard input)")
    way.add_argument("--admin-token-file", type=Path, metavar="FILE", help="or their access token")
    way.add_argument(
        "--registration-secret-file",
        type=Path,
        metavar="FILE",
        help="or homeserver.yaml itself, or a file with its registration_shared_secret: then no admin is needed",
    )
    bot = command.add_argument_group("the bot's account")
    bot.add_argument("--bot", metavar="NAME", help=f"the first part of its Matrix ID ({DEFAULT_NAME})")
    bot.add_argument("--bot-token-file", type=Path, metavar="FILE", help="its access token; the way where MAS is used")
    bot.add_argument("--mas-client-id", metavar="ID", help="of the client that may use MAS's admin API")
    bot.add_argument("--mas-client-secret-file", type=Path, metavar="FILE", help="its secret")
    bot.add_argument("--take-over", action="store_true", help="if the account exists: give it a new password")
    room = command.add_argument_group("the admin room")
    room.add_argument("--moderator", action="append", default=[], metavar="USER", help="invited; may be repeated")
    room.add_argument("--admin-room", metavar="ROOM", help="an existing room instead of a new one")
    command.add_argument("--yes", action="store_true", help="ask nothing: take what is usual where no option says more")
