"""A person's own Matrix ID, typed: only that very id counts, and what comes near it is recognised as that."""

from __future__ import annotations

import pytest

from handlers.direct.confirmation import comes_near, matrix_id
from handlers.message import read

ALICE = "@alice:example.org"


def typed(body: str) -> tuple[str, bool]:
    """What counts as typed, and whether it comes near Alice's id."""
    message = read({"msgtype": "m.text", "body": body}, "!")
    assert message is not None
    return matrix_id(message), comes_near(message, ALICE, "example.org")


@pytest.mark.parametrize(
    "body",
    ["alice", "@alice", "alice:example.org", "@alice:example.org.", "Alice:example.org", "@Alice:Example.org",
     "<@alice:example.org>", "it is @alice:example.org", "alice@example.org", "@alice:example.org ok"],
)  # fmt: skip
def test_what_comes_near_does_not_count_and_is_recognised(body: str) -> None:
    """So that the answer can say what to type exactly."""
    counted, near = typed(body)
    assert counted != ALICE and near


def test_the_whole_id_counts() -> None:
    """As text."""
    assert typed(ALICE)[0] == ALICE


@pytest.mark.parametrize("body", ["bob", "@bob:example.org", "yes", "@alice:elsewhere.example", "what? why?"])
def test_anything_else_does_not_come_near(body: str) -> None:
    """Nobody is shown how the right answer would look who is far from it."""
    assert not typed(body)[1]
