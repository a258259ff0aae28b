"""What counts as stopping a removal when a direct message is flooded: generous, since it costs little."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from handlers.called import Called
from handlers.context import Context
from handlers.direct.confirmation import stops
from removal.incoming import Incoming

BOT = "@lethe:test"
CONTEXT = cast(Context, SimpleNamespace(settings=SimpleNamespace(command_prefix="!"), called=Called(BOT, ("lethe",))))


def said(body: str) -> Incoming:
    """A message by the person."""
    content: dict[str, Any] = {"msgtype": "m.text", "body": body}
    return Incoming("$said", "!direct:test", "@leaver:test", "m.room.message", content, 0)


@pytest.mark.parametrize(
    "body", ["!cancel", "Lethe: !cancel", "@lethe cancel", "Farewell Bot: !cancel", "Farewell Bot cancel R7"]
)
def test_a_cancel_is_heard_behind_any_name(body: str) -> None:
    """The bot's display name in this room, too, which only the homeserver knows."""
    assert stops(CONTEXT, said(body))


@pytest.mark.parametrize("body", ["!status", "hello", "cancellation", "Lethe: !help"])
def test_all_else_is_counted_with_the_rest(body: str) -> None:
    """Or a flood would be one of stops."""
    assert not stops(CONTEXT, said(body))
