"""The commands of one kind of room: finding the one that was typed, parsing it, and `!help`.

Each command is declared once, in `handlers/admin_room/commands.py` or `handlers/direct/commands.py`; its words stand in
`texts/` under the same name. The parser, `!help`, the usage lines and docs/commands.md follow from both.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from engine.unit_of_work import UnitOfWork
from handlers.command import Argument, Command, Kind, Parsed, UsageError, nearest, parse, short_usage
from handlers.context import Context, DirectCommand, ModeratorCommand
from handlers.message import Message
from removal.audit_action import AuditAction
from removal.incoming import Incoming
from texts import Template, Texts

CommandT = TypeVar("CommandT", ModeratorCommand, DirectCommand)
Handler = Callable[[Context, CommandT], Awaitable[None]]

HELP = Command("help", arguments=(Argument("command", Kind.WORD, required=False),))


class Commands(Generic[CommandT]):
    """The commands of the admin room, or of direct messages."""

    def __init__(
        self, prefix: str, words: str, table: tuple[tuple[Command, Handler[CommandT]], ...], *, audited: bool = False
    ) -> None:
        """
        Args:
            words: what the groups of words and the templates begin with that belong to these commands.
            audited: the audit has what couldn't be understood, too.
        """
        self._audited = audited
        self._prefix = prefix
        self._words = words
        self._table: tuple[tuple[Command, Handler[CommandT]], ...] = table

    @property
    def all(self) -> tuple[Command, ...]:
        """The declarations, in the order in which help shows them."""
        return (HELP, *(command for command, _ in self._table))

    @property
    def by_topic(self) -> dict[str, list[tuple[str, str]]]:
        """Topic → its commands, each with its usage, as help shows them; first those without one."""
        return self._by_topic(lambda _: True)

    def _by_topic(self, may: Callable[[str], bool]) -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for command in self.all:
            if may(command.name):
                found.setdefault(command.topic, []).append((command.name, self._shown(command)))
        return found

    def knows(self, name: str) -> bool:
        """Whether there is a command of this name."""
        return self._find(name) is not None

    async def understood(
        self, context: Context, event: Incoming, message: Message
    ) -> tuple[Handler[CommandT], Parsed] | None:
        """What a message asks for; None where that can't be understood, which has been answered then."""
        name = message.command or ""
        command = self._find(name)
        if command is None:
            await self._unknown(context, event, name)
            return None
        parsed = parse(command, message, context.server_name)
        if isinstance(parsed, UsageError):
            async with context.units.begin(event) as unit:
                await unit.messages.reply(
                    event,
                    Template.USAGE_ERROR,
                    e=parsed,
                    command=command.name,
                    usage=short_usage(command, self._prefix),
                    takes_reason=any(option.name == "--reason" for option in command.options),
                )
                await self._audit(unit, event, parsed.problem.value, command=command.name)
            return None
        handler = next((handler for declared, handler in self._table if declared is command), self._help)
        return handler, parsed

    def named(self, name: str) -> Command | None:
        """The declaration of a command."""
        return self._find(name)

    def _find(self, name: str) -> Command | None:
        return next((command for command in self.all if command.name == name), None)

    def means(self, word: str, texts: Texts) -> bool:
        """Whether a word names a command of this place, or is what people call one elsewhere, or nearly a name."""
        known = [command.name for command in self.all]
        return word in known or word in _verbs(texts) or nearest(word, known, cutoff=0.8) is not None

    def _shown(self, command: Command) -> str:
        return short_usage(command, self._prefix) + (" deactivate" if command is HELP else "")

    async def _unknown(self, context: Context, event: Incoming, name: str) -> None:
        known = {command.name for command in self.all}
        verbs = _verbs(context.units.texts) - known
        near = nearest(name, sorted(known | verbs))
        # What people call it elsewhere: `!delete`, `!ban`, `!erase-user`.
        if near in verbs or re.split("[-_]", name)[0] in verbs:
            near = "deactivate"
        async with context.units.begin(event) as unit:
            await unit.messages.reply(event, Template(f"{self._words}unknown_command"), typed=name, nearest=near)
            await self._audit(unit, event, "unknown_command")

    async def _audit(self, unit: UnitOfWork, event: Incoming, problem: str, command: str = "") -> None:
        if self._audited:
            await unit.audit(AuditAction.NOT_UNDERSTOOD, actor=event.sender, because=problem, command=command)

    async def _help(self, context: Context, asked: CommandT) -> None:
        """Shows the commands of this place, or one of them in full."""
        name = (asked.parsed.text("command") or "").removeprefix(self._prefix).lower()
        found = self._find(name)
        if name and found is None:
            await self._unknown(context, asked.event, name)
            return
        async with context.units.begin(asked.event) as unit:
            if found is None:
                shown = self._by_topic(asked.may)
                await unit.messages.reply(asked.event, Template(f"{self._words}help"), commands=shown)
            else:
                await unit.messages.reply(
                    asked.event,
                    Template.HELP_COMMAND,
                    words=self._words,
                    name=found.name,
                    usage=self._shown(found),
                    options=found.options,
                )


def _verbs(texts: Texts) -> set[str]:
    """What people call the removal of an account."""
    return set(texts.word("own_wish", "verbs").split())
