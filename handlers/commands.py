"""The tables of commands: each is declared once, beside the function that carries it out.

What a command is called and what it takes stands here; its words stand in `texts/` under the same names. The parser,
`!help`, the usage lines and docs/commands.md follow from both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from events import Incoming
from handlers import approval, audit, identities, moderation, mydata, own_requests, requests, self_service
from handlers.command import Argument, Command, Kind, Option, Parsed, UsageError, nearest, parse, usage
from handlers.desk import Asked, AskedDirect, Desk
from handlers.words import Message
from ledger import Entry

AskedT = TypeVar("AskedT", Asked, AskedDirect)
Handler = Callable[[Desk, AskedT], Awaitable[None]]

REFERENCE = Argument("reference", Kind.REFERENCE)
MAYBE_REFERENCE = Argument("reference", Kind.REFERENCE, required=False)
REASON = Option("--reason", Kind.TEXT)
HELP = Command("help", arguments=(Argument("command", Kind.WORD, required=False),))


class Commands(Generic[AskedT]):
    """The commands of one place."""

    def __init__(
        self, prefix: str, words: str, table: tuple[tuple[Command, Handler[AskedT]], ...], *, audited: bool = False
    ) -> None:
        """
        Args:
            words: what the groups of words begin with that belong to these commands.
            audited: the audit has what couldn't be understood, too.
        """
        self._audited = audited
        self._prefix = prefix
        self._words = words
        self._table: tuple[tuple[Command, Handler[AskedT]], ...] = table

    @property
    def all(self) -> tuple[Command, ...]:
        """The declarations, in the order in which help shows them."""
        return (HELP, *(command for command, _ in self._table))

    def knows(self, name: str) -> bool:
        """Whether there is a command of this name."""
        return self._find(name) is not None

    async def understood(self, desk: Desk, event: Incoming, message: Message) -> tuple[Handler[AskedT], Parsed] | None:
        """What a message asks for; None where that can't be understood, which has been answered then."""
        name = message.command or ""
        command = self._find(name)
        if command is None:
            await self._unknown(desk, event, name)
            return None
        parsed = parse(command, message, desk.server_name)
        if isinstance(parsed, UsageError):
            async with desk.ledger.entry(event) as entry:
                await entry.reply(
                    event, "usage_error", e=parsed, command=command.name, usage=usage(command, self._prefix)
                )
                await self._audit(entry, event, parsed.problem.value, command=command.name)
            return None
        handler = next((handler for declared, handler in self._table if declared is command), self._help)
        return handler, parsed

    def _find(self, name: str) -> Command | None:
        return next((command for command in self.all if command.name == name), None)

    async def _unknown(self, desk: Desk, event: Incoming, name: str) -> None:
        near = nearest(name, [command.name for command in self.all])
        async with desk.ledger.entry(event) as entry:
            await entry.reply(event, f"{self._words}unknown_command", typed=name, nearest=near)
            await self._audit(entry, event, "unknown_command")

    async def _audit(self, entry: Entry, event: Incoming, problem: str, command: str = "") -> None:
        if self._audited:
            await entry.audit("NotUnderstood", actor=event.sender, because=problem, command=command)

    async def _help(self, desk: Desk, asked: AskedT) -> None:
        """Shows the commands of this place, or one of them in full."""
        name = (asked.parsed.text("command") or "").removeprefix(self._prefix).lower()
        found = self._find(name)
        if name and found is None:
            await self._unknown(desk, asked.event, name)
            return
        async with desk.ledger.entry(asked.event) as entry:
            if found is None:
                commands = [(c.name, usage(c, self._prefix)) for c in self.all]
                await entry.reply(asked.event, f"{self._words}help", commands=commands)
            else:
                await entry.reply(
                    asked.event,
                    "help_command",
                    words=self._words,
                    name=found.name,
                    usage=usage(found, self._prefix),
                    options=[(option.shown, option.name) for option in found.options],
                )


def for_admin_room(prefix: str) -> Commands[Asked]:
    """What moderators may ask in the admin room."""
    return Commands(
        prefix,
        "",
        (
            (
                Command(
                    "deactivate",
                    arguments=(Argument("user", Kind.USER),),
                    options=(
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
            (Command("requests", options=(Option("--all"),)), requests.listing),
            (Command("status", arguments=(REFERENCE,)), requests.status),
            (Command("cancel", arguments=(REFERENCE,), options=(REASON,)), requests.cancel),
            (Command("retry", arguments=(REFERENCE,)), requests.retry),
            (Command("approve", arguments=(REFERENCE,)), approval.approve),
            (Command("refuse", arguments=(REFERENCE,), options=(REASON,)), approval.refuse),
            (Command("accept", arguments=(Argument("user", Kind.USER),)), identities.accept),
            (
                Command(
                    "audit",
                    arguments=(Argument("user", Kind.USER, required=False),),
                    options=(
                        Option("--request", Kind.REFERENCE, value_name="R7"),
                        Option("--since", Kind.DURATION, value_name="30d"),
                        Option("--export", Kind.WORD, value_name="jsonl|csv"),
                    ),
                ),
                audit.search,
            ),
        ),
        audited=True,
    )


def for_direct_messages(prefix: str) -> Commands[AskedDirect]:
    """What a person may ask in a direct message."""
    return Commands(
        prefix,
        "own_",
        (
            (
                Command(
                    "deactivate",
                    options=(
                        Option("--erase"),
                        Option("--no-erase", excludes=("--erase",)),
                        Option("--media"),
                        Option("--keep-media", excludes=("--media",)),
                        Option("--redact"),
                    ),
                ),
                self_service.deactivate,
            ),
            (Command("status", arguments=(MAYBE_REFERENCE,)), own_requests.status),
            (Command("cancel", arguments=(MAYBE_REFERENCE,)), own_requests.cancel),
            (
                Command("handover", arguments=(Argument("room", Kind.ROOM), Argument("user", Kind.USER))),
                own_requests.hand_over,
            ),
            (Command("mydata"), mydata.ask),
        ),
    )
