"""What `init` has to know: from options where they are given, else asked for; a script can give all of it."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from pathlib import Path

import yaml

from removal.ids import InvalidUserID, UserID


class Unanswered(Exception):
    """Something has to be known and isn't. `str()` says what, and the option that gives it."""


class Answers:
    """The options, and the terminal behind them.

    Args:
        options: as `cli.options` describes them.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.may_ask = not options.yes and sys.stdin.isatty()
        """Whether somebody sits at a terminal."""

    def ask(self, option: str, question: str, default: str | None = None) -> str:
        """An option's value, else the answer to a question, else the default.

        Raises:
            Unanswered: there is none of them.
        """
        given: str | None = getattr(self.options, option.removeprefix("--").replace("-", "_"))
        if given:
            return given
        if self.may_ask:
            typed = input(f"{question}{f' [{default}]' if default else ''}: ").strip()
            if typed or default:
                return typed or str(default)
        if default is None:
            raise Unanswered(f"{question}? Give it with {option}.")
        return default

    def agreed(self, option: str, question: str) -> bool:
        """Whether an option is set, or somebody says yes."""
        if getattr(self.options, option.removeprefix("--").replace("-", "_")):
            return True
        return self.may_ask and input(f"{question} [y/N]: ").strip().lower() in ("y", "yes")

    def password_of(self, user_id: str) -> str:
        """The password of a server admin: from the file, else typed unseen.

        Raises:
            Unanswered: neither.
        """
        file: Path | None = self.options.admin_password_file
        if file is not None:
            return secret_in(file)
        if self.may_ask:
            typed = getpass.getpass(f"Password of {user_id} (used once, not kept): ")
            if typed:
                return typed
        raise Unanswered(f"The password of {user_id}? Give it with --admin-password-file.")

    def moderators(self, server_name: str, default: str | None) -> tuple[str, ...]:
        """Who is invited, each a whole Matrix ID.

        Args:
            default: who else is meant where nobody is named: the admin who installs this.

        Raises:
            Unanswered: one of them isn't a Matrix ID.
        """
        named: list[str] = list(self.options.moderator)
        if not named and self.may_ask:
            typed = input(
                f"Moderators, who may command the bot (with spaces between){f' [{default}]' if default else ''}: "
            )
            named = typed.split()
        if not named and default:
            named = [default]
        return tuple(dict.fromkeys(whole_id(each, server_name, "--moderator") for each in named))


def whole_id(typed: str, server_name: str, option: str) -> str:
    """A Matrix ID of what somebody typed: whole, or its first part with or without @.

    Raises:
        Unanswered: it can't be one.
    """
    whole = typed if ":" in typed else f"@{typed.removeprefix('@')}:{server_name}"
    try:
        return str(UserID.parse(whole))
    except InvalidUserID as error:
        raise Unanswered(f"{option}: got {typed!r}; {error}. Right is @name:{server_name}") from None


def secret_in(file: Path) -> str:
    """The one line of a file, or of standard input for `-`.

    Raises:
        Unanswered: there isn't exactly one.
    """
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unanswered(f"{file} can't be read: {getattr(error, 'strerror', None) or error}") from None
    lines = text.strip("\r\n").splitlines()
    if len(lines) != 1 or not lines[0].strip():
        raise Unanswered(f"{file} must hold the secret in its one line")
    return lines[0]


def registration_secret(file: Path) -> str:
    """The shared secret: of a homeserver.yaml, or a file that holds nothing else.

    Raises:
        Unanswered: there is none.
    """
    try:
        text = file.read_text("utf-8")
        read = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise Unanswered(f"{file} can't be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError:
        read = None
    if isinstance(read, dict):
        secret, path = read.get("registration_shared_secret"), read.get("registration_shared_secret_path")
        if isinstance(secret, str) and secret:
            return secret
        if isinstance(path, str) and path:
            return secret_in(file.parent / path)
        raise Unanswered(f"{file} has no registration_shared_secret")
    return secret_in(file)


def server_name_of(user: str | None) -> str | None:
    """The server's name in a whole Matrix ID."""
    found = re.fullmatch(r"@[^:]+:(.+)", user or "")
    return found.group(1) if found else None
