"""Wishes in people's own words."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.direct.intent import asks_for_removal
from handlers.message import read
from texts import Texts

TEXTS = Texts("en", "!")


def wishes(body: str, **content: Any) -> bool:
    message = read({"msgtype": "m.text", "body": body, **content}, "!")
    assert message is not None
    return asks_for_removal(message, TEXTS)


@pytest.mark.parametrize(
    "body",
    ["delete my account", "Please, REMOVE my account!", "erase me", "delete", "Delete!", "I want to close this account",
     "!delete", "!erase", "!remove", "!delete-account", "!close", "deactivate my account",
     "!ban", "!gdpr", "gdpr"],
)  # fmt: skip
def test_a_wish(body: str) -> None:
    """A verb and what it is about, or the verb alone; as a command, the verb is enough."""
    assert wishes(body)


@pytest.mark.parametrize(
    "body",
    ["hello", "my account is fine", "can I delete a message?", "!help", "!status", "!deletion", "!cancel",
     "delete " + "word " * 60 + "account", "undeletable me"],
)  # fmt: skip
def test_no_wish(body: str) -> None:
    """Neither small talk, nor other commands, nor a long text in which the words happen to stand."""
    assert not wishes(body)
