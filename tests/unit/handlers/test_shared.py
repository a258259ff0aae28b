"""Which of several bots in one admin room answers: each message by one of them, and nobody guesses."""

from __future__ import annotations

from typing import Any

import pytest

from config import SharedAdminRoom
from handlers.admin_room.commands import for_admin_room
from handlers.admin_room.shared import Said, Whose, begins_with, whose
from handlers.message import read

COMMANDS = for_admin_room("!")
BOTS = ("@lethe:one", "@lethe:two", "@lethe:three")


def answering(text: str, names: str = "") -> dict[str, Whose]:
    """What each of three bots makes of a message; the first answers for others."""
    message = read({"msgtype": "m.text", "body": text}, "!")
    assert message is not None and message.command is not None
    found = {}
    for bot in BOTS:
        server = bot.partition(":")[2]
        shared = SharedAdminRoom(
            other_bots=tuple(other for other in BOTS if other != bot), answers_for_others=server == "one"
        )
        said = Said(names == bot, names in BOTS and names != bot)
        found[server] = whose(COMMANDS.named(message.command), message, said, server, shared)
    return found


def those(text: str, names: str = "") -> list[str]:
    """The servers whose bots answer."""
    return [server for server, what in answering(text, names).items() if what is Whose.OURS]


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("!suspend @a:two", ["two"]),
        ("!info @a:three", ["three"]),
        ("!deactivate @a:one @b:two --erase", ["one", "two"]),
        ("!audit @a:three", ["three"]),
        ("!deactivate @a:two --handover @b:one", ["two"]),  # the target decides, not the successor
        ("!suspend @a:elsewhere", ["one"]),
        ("!info mail@example.org", ["one"]),
        ("!help", ["one"]), ("!requests", ["one"]), ("!version", ["one"]), ("!nonsense", ["one"]),
        ("!suspend", ["one"]), ("!suspend @a:two @b:two", ["one"]), ("!suspend @a:two --erase", ["one"]),
        ("!deactivate --match 'spam*'", ["one"]), ("!deactivate", ["one"]),
        ("!ping", ["one", "two", "three"]),
    ],
)  # fmt: skip
def test_who_answers(text: str, servers: list[str]) -> None:
    """An account's own server; what belongs to nobody, the one that the settings say; `!ping`, all."""
    assert those(text) == servers


@pytest.mark.parametrize("text", ["!suspend @a", "!deactivate @a @b:two", "!deactivate @a:two --handover @b"])
def test_a_short_name_is_nobodys(text: str) -> None:
    """`@a` would be another account for each bot: no bot acts."""
    assert set(answering(text).values()) == {Whose.SHORT_NAME}
    assert those(text, "@lethe:two") == ["two"]


@pytest.mark.parametrize("text", ["!status R7", "!cancel R1", "!retry B2", "!approve R3", "!pause B1", "!receipt R7"])
def test_a_number_is_nobodys(text: str) -> None:
    """Each bot has its own R7: no bot acts, unless one is named or replied to."""
    assert set(answering(text).values()) == {Whose.NUMBER}
    assert those(text, "@lethe:three") == ["three"]


def test_who_is_named_answers_alone() -> None:
    """Even about another server's account: it then says that it can't."""
    for text in ("!help", "!suspend @a:one", "!ping", "!deactivate --match x"):
        assert those(text, "@lethe:two") == ["two"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"body": "@lethe:two !help"}, "@lethe:two"),
        ({"body": "@lethe:two: !help"}, "@lethe:two"),
        (
            {"body": "Lethe: !help", "formatted_body": '<a href="https://matrix.to/#/@lethe:two">Lethe</a>: !help'},
            "@lethe:two",
        ),
        ({"body": "Lethe: !help"}, None),
        ({"body": "!suspend @lethe:two"}, None),
        ({"body": "x", "formatted_body": 'x <a href="https://matrix.to/#/@lethe:two">Lethe</a>'}, None),
        ({"body": 7, "formatted_body": []}, None),
        ({}, None),
    ],
)
def test_whom_a_message_begins_with(content: dict[str, Any], named: str | None) -> None:
    """By Matrix ID only: two bots may have the same display name."""
    assert begins_with(content) == named
