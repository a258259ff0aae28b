"""The commands of the admin room: each is declared once, beside the function that carries it out."""

from __future__ import annotations

from handlers.admin_room import approval, audit, deactivate, ladder, look, moderators, receipt, requests
from handlers.command import Argument, Command, Kind, Option
from handlers.command_set import Commands
from handlers.context import ModeratorCommand

REFERENCE = Argument("reference", Kind.REFERENCE)
REASON = Option("--reason", Kind.TEXT)


def for_admin_room(prefix: str) -> Commands[ModeratorCommand]:
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
                deactivate.deactivate,
            ),
            (Command("requests", options=(Option("--all"),)), requests.listing),
            (Command("status", arguments=(REFERENCE,)), requests.status),
            (Command("receipt", arguments=(REFERENCE,)), receipt.receipt),
            (Command("cancel", arguments=(REFERENCE,), options=(REASON,)), requests.cancel),
            (Command("retry", arguments=(REFERENCE,)), requests.retry),
            (Command("close", arguments=(REFERENCE,), options=(REASON,)), requests.close),
            (Command("approve", arguments=(REFERENCE,)), approval.approve),
            (Command("refuse", arguments=(REFERENCE,), options=(REASON,)), approval.refuse),
            (Command("accept", arguments=(Argument("user", Kind.USER),)), moderators.accept),
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
            *look.COMMANDS,
            *ladder.COMMANDS,
        ),
        audited=True,
    )
