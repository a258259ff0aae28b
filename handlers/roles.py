"""Roles: who is named in one may use its commands in the admin room, and no others.

That holds whatever power the person has there, for typing a command and for confirming what one asks for. Protections,
four eyes and being in the room at all are the same for everybody: no role lifts them.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from config import ConfigError, Settings
from removal.plan import Aim
from removal.request import Request

FREE = frozenset({"help"})
"""What everybody may who is heard at all."""
_ASKED_BY = {Aim.REMOVE: "deactivate", Aim.REDACT: "redact", Aim.MEDIA: "media", Aim.REACTIVATE: "reactivate"}


@dataclass(frozen=True, slots=True)
class Roles:
    """What the settings say of roles. Somebody who is named in several may use the commands of all of them."""

    commands: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By Matrix ID, the names of the commands."""

    @classmethod
    def of(cls, settings: Settings) -> Roles:
        """The roles of the settings (`roles`)."""
        found: dict[str, frozenset[str]] = {}
        for role in settings.roles.values():
            for user_id in role.users:
                found[user_id] = found.get(user_id, frozenset()) | set(role.commands)
        return cls(found)

    @property
    def users(self) -> frozenset[str]:
        """Everybody who is named in a role."""
        return frozenset(self.commands)

    def allow(self, user_id: str, command: str) -> bool:
        """Whether no role of this person, or one of them that has the command, speaks for it."""
        return command in FREE or user_id not in self.commands or command in self.commands[user_id]


def command_of(request: Request) -> str:
    """The command that asks for such a request: who may not use it may not confirm it either."""
    return _ASKED_BY[request.options.aim]


def check_commands(settings: Settings, known: Collection[str]) -> None:
    """Args: known: the names of the commands that there are.

    Raises:
        ConfigError: a role names one that there isn't.
    """
    problems = []
    for name, role in settings.roles.items():
        for position, command in enumerate(role.commands, start=1):
            if command not in known:
                near = difflib.get_close_matches(command, list(known), n=1)
                meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
                problems.append(
                    f"roles.{name}.commands[{position}]: got {command!r}; there is no such command; {meant}"
                )
    if problems:
        raise ConfigError(problems)
