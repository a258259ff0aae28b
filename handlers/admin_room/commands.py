"""The commands of the admin room: each is declared once, beside the function that carries it out."""

from __future__ import annotations

from handlers.admin_room import (
    approval,
    asked_rungs,
    audit,
    deactivate,
    ladder,
    look,
    moderators,
    receipt,
    requests,
    second_factor,
    wave_commands,
)
from handlers.command import Argument, Command, Kind, Option
from handlers.command_set import Commands
from handlers.context import ModeratorCommand

REFERENCE = Argument("reference", Kind.REFERENCE)
REASON = Option("--reason", Kind.TEXT)
ANY_REFERENCE = Argument("reference", Kind.ANY_REFERENCE)
WAVE = Argument("reference", Kind.WAVE)
SOMEBODY = Argument("user", Kind.USER, required=False)


def for_admin_room(prefix: str) -> Commands[ModeratorCommand]:
    """What moderators may ask in the admin room."""
    return Commands(
        prefix,
        "",
        (
            (
                Command(
                    "deactivate",
                    arguments=(Argument("user", Kind.USER, required=False, many=True),),
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
                        Option("--match", Kind.WORD, value_name="'spam*'", many=True),
                        Option("--registered-after", Kind.PAST, value_name="2h|DATE", many=True),
                        Option("--registered-before", Kind.PAST, value_name="2h|DATE", many=True),
                        Option("--never-joined", many=True),
                        Option("--no-messages", many=True),
                        Option("--ip-of", Kind.USER, many=True),
                        Option("--now", excludes=("--in", "--at"), many=True),
                    ),
                    takes_list=True,
                ),
                deactivate.deactivate,
            ),
            (Command("requests", options=(Option("--all"),)), requests.listing),
            (
                Command("status", arguments=(ANY_REFERENCE, Argument("user", Kind.USER, required=False))),
                requests.status,
            ),
            (Command("cancel", arguments=(ANY_REFERENCE,), options=(REASON,)), requests.cancel),
            (Command("retry", arguments=(ANY_REFERENCE,)), requests.retry),
            (Command("close", arguments=(REFERENCE,), options=(REASON,)), requests.close),
            (Command("exclude", arguments=(WAVE, Argument("user", Kind.USER, many=True))), wave_commands.exclude),
            (Command("pause", arguments=(WAVE,)), wave_commands.pause),
            (Command("resume", arguments=(WAVE,)), wave_commands.resume),
            (Command("receipt", arguments=(ANY_REFERENCE,)), receipt.receipt),
            (Command("approve", arguments=(REFERENCE,)), approval.approve),
            (Command("refuse", arguments=(REFERENCE,), options=(REASON,)), approval.refuse),
            (Command("totp-reset", arguments=(Argument("user", Kind.USER),)), second_factor.reset),
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
            *asked_rungs.COMMANDS,
        ),
        audited=True,
    )
