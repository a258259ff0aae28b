"""The commands of a direct message: each is declared once, beside the function that carries it out."""

from __future__ import annotations

from handlers import second_factor
from handlers.command import Argument, Command, Kind, Option
from handlers.command_set import Commands
from handlers.context import DirectCommand
from handlers.direct import deactivate, language, mydata, receipt, requests

REFERENCE = Argument("reference", Kind.REFERENCE, required=False)


def for_direct_messages(prefix: str) -> Commands[DirectCommand]:
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
                deactivate.deactivate,
            ),
            (Command("status", arguments=(REFERENCE,)), requests.status),
            (Command("cancel", arguments=(REFERENCE,)), requests.cancel),
            (
                Command("handover", arguments=(Argument("room", Kind.ROOM), Argument("user", Kind.USER))),
                requests.hand_over,
            ),
            (Command("receipt", arguments=(Argument("address", Kind.WORD, required=False),)), receipt.by_mail),
            (Command("mydata"), mydata.ask),
            (Command("totp"), second_factor.begin),
            (Command("language", arguments=(Argument("language", Kind.WORD, required=False),)), language.choose),
        ),
    )
