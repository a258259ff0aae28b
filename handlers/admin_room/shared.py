"""Several servers' bots in one admin room (`shared_admin_room`): which of them answers a message.

All of them read it, so each decides by the message alone. What names an account of this server is this bot's; so is
what names this bot or replies to it. A short `@user` and a number (`R7`) mean something else to each bot: nobody
guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config import SharedAdminRoom
from handlers.command import Command, Kind, UsageError, parse
from handlers.links import named_user
from handlers.message import Message
from removal.ids import UserID

NOT_A_SERVER = "short.invalid"
"""In the place of a server's name: an account whose server depends on it was written without one."""
_ACCOUNTS = frozenset({Kind.USER, Kind.ACCOUNT})
_NUMBERS = frozenset({Kind.REFERENCE, Kind.WAVE, Kind.ANY_REFERENCE})


class Whose(StrEnum):
    """Who answers a message."""

    OURS = "ours"
    OTHERS = "others"
    SHORT_NAME = "short_name"  # nobody acts; whoever answers for others asks for the whole Matrix ID
    NUMBER = "number"  # nobody acts; whoever answers for others asks whose number it is


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a message beside its words."""

    names_us: bool = False
    """It begins with this bot's Matrix ID, or replies to one of its messages."""
    names_other: bool = False
    """The same of another bot."""


def begins_with(content: dict[str, Any]) -> str | None:
    """The Matrix ID that a message begins with, typed or as a mention; None where it begins with none."""
    formatted, body = content.get("formatted_body"), content.get("body")
    if isinstance(formatted, str):
        link = formatted.lstrip().removeprefix("<p>").lstrip()
        if link.startswith('<a href="'):
            return named_user(link.removeprefix('<a href="').partition('"')[0])
    return named_user(body.lstrip()) if isinstance(body, str) else None


def whose(command: Command | None, message: Message, said: Said, server_name: str, shared: SharedAdminRoom) -> Whose:
    """Whose a command is; one that isn't known, or can't be read, belongs to nobody.

    Args:
        server_name: this bot's.
    """
    if said.names_us or said.names_other:
        return Whose.OURS if said.names_us else Whose.OTHERS
    nobodys = Whose.OURS if shared.answers_for_others else Whose.OTHERS
    if command is None:
        return nobodys
    if command.name == "ping":
        return Whose.OURS  # that is how one learns who is here
    parsed, elsewhere = parse(command, message, server_name), parse(command, message, NOT_A_SERVER)
    if isinstance(parsed, UsageError) or isinstance(elsewhere, UsageError):
        return nobodys
    arguments = {argument.name: argument.kind for argument in command.arguments}
    named = _users([parsed.values.get(name) for name, kind in arguments.items() if kind in _ACCOUNTS])
    if any(user.server_name == NOT_A_SERVER for each in elsewhere.values.values() for user in _users([each])):
        return Whose.SHORT_NAME
    if any(user.server_name == server_name for user in named):
        return Whose.OURS
    if named:
        others = {UserID.parse(bot).server_name for bot in shared.other_bots}
        return Whose.OTHERS if any(user.server_name in others for user in named) else nobodys
    if any(kind in _NUMBERS and name in parsed.values for name, kind in arguments.items()):
        return Whose.NUMBER
    return nobodys


def _users(values: Sequence[object]) -> list[UserID]:
    found: list[UserID] = []
    for value in values:
        found += [value] if isinstance(value, UserID) else []
        found += [each for each in value if isinstance(each, UserID)] if isinstance(value, tuple) else []
    return found
