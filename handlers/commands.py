"""The table of commands: each is declared once, beside the function that carries it out.

What a command is called and what it takes stands here; its words stand in `texts/` under the same names. The parser,
`!help`, the usage lines and docs/commands.md follow from both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from handlers import audit, moderation, requests
from handlers.command import ADMIN, Argument, Command, Kind, Option, Place, nearest, usage
from handlers.desk import Asked, Desk

Handler = Callable[[Desk, Asked], Awaitable[None]]

REFERENCE = Argument("reference", Kind.REFERENCE)
REASON = Option("--reason", Kind.TEXT)


class Commands:
    """The commands there are, and what each does."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._table: tuple[tuple[Command, Handler], ...] = (
            (Command("help", "", (Argument("command", Kind.WORD, required=False),)), self._help),
            (
                Command(
                    "deactivate",
                    "",
                    (Argument("user", Kind.USER),),
                    (
                        Option("--erase"),
                        Option("--redact"),
                        Option("--media"),
                        Option("--quarantine", excludes=("--media",)),
                        Option("--handover", Kind.USER),
                        Option("--forget-sso"),
                        REASON,
                        Option("--in", Kind.DURATION, value_name="7d"),
                        Option("--at", Kind.MOMENT, value_name="DATE", excludes=("--in",)),
                        Option("--dry-run"),
                    ),
                ),
                moderation.deactivate,
            ),
            (Command("requests", "", (), (Option("--all"),), ADMIN), requests.listing),
            (Command("status", "", (REFERENCE,)), requests.status),
            (Command("cancel", "", (REFERENCE,), (REASON,)), requests.cancel),
            (Command("retry", "", (REFERENCE,)), requests.retry),
            (
                Command(
                    "audit",
                    "",
                    (Argument("user", Kind.USER, required=False),),
                    (
                        Option("--request", Kind.REFERENCE, value_name="R7"),
                        Option("--since", Kind.DURATION, value_name="30d"),
                        Option("--export", Kind.WORD, value_name="jsonl|csv"),
                    ),
                ),
                audit.search,
            ),
        )

    @property
    def all(self) -> tuple[Command, ...]:
        """The declarations, in the order in which help shows them."""
        return tuple(command for command, _ in self._table)

    def find(self, name: str, place: Place) -> tuple[Command, Handler] | None:
        """The command that may be given in such a place, and what carries it out."""
        return next(((c, handler) for c, handler in self._table if c.name == name and place in c.rooms), None)

    def nearest(self, name: str, place: Place) -> str | None:
        """What was probably meant."""
        return nearest(name, [command.name for command in self.all if place in command.rooms])

    def usage(self, command: Command) -> str:
        """The line that shows how to write it."""
        return usage(command, self._prefix)

    async def _help(self, desk: Desk, asked: Asked) -> None:
        """Shows the commands that the caller may give here, or one of them in full."""
        await self.help_in(desk, asked, Place.ADMIN)

    async def help_in(self, desk: Desk, asked: Asked, place: Place) -> None:
        """The help of one place."""
        name = (asked.parsed.text("command") or "").removeprefix(self._prefix).lower()
        here = [command for command in self.all if place in command.rooms]
        found = next((command for command in here if command.name == name), None)
        async with desk.ledger.entry(asked.event) as entry:
            if not name:
                await entry.reply(asked.event, "help", commands=[(c.name, self.usage(c)) for c in here])
            elif found is None:
                await entry.reply(asked.event, "unknown_command", typed=name, nearest=self.nearest(name, place))
            else:
                options = [(option.shown, option.name) for option in found.options]
                await entry.reply(
                    asked.event, "help_command", name=found.name, usage=self.usage(found), options=options
                )
