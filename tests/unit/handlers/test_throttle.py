"""How much one person may ask for."""

from __future__ import annotations

from handlers.throttle import REMEMBERED, Throttle


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_no_more_than_the_limit_within_the_time() -> None:
    """So many pass, the next one doesn't; each makes room again once it is old enough."""
    clock = Clock()
    throttle = Throttle(2, 1_000, clock)
    assert [throttle.allows("@one"), throttle.allows("@one"), throttle.allows("@one")] == [True, True, False]
    clock.now = 999
    assert not throttle.allows("@one")
    clock.now = 1_000
    assert [throttle.allows("@one"), throttle.allows("@one"), throttle.allows("@one")] == [True, True, False]


def test_what_was_refused_doesnt_count() -> None:
    """Who goes on asking is heard again as soon as somebody patient would be."""
    clock = Clock()
    throttle = Throttle(1, 1_000, clock)
    assert throttle.allows("@one")
    for clock.now in range(100, 1_000, 100):
        assert not throttle.allows("@one")
    clock.now = 1_000
    assert throttle.allows("@one")


def test_everybody_is_counted_alone() -> None:
    """One who does too much takes nothing from the others."""
    throttle = Throttle(1, 1_000, Clock())
    assert throttle.allows("@one") and not throttle.allows("@one")
    assert throttle.allows("@two")


def test_a_flood_of_names_doesnt_fill_the_memory() -> None:
    """Only the last ones are remembered; whoever was just here is among them."""
    throttle = Throttle(1, 1_000, Clock())
    for number in range(REMEMBERED):
        throttle.allows(f"@{number}")
    assert not throttle.allows("@0")  # seen again, so it isn't the one that has to go
    throttle.allows("@another")
    assert not throttle.allows("@0")
    assert throttle.allows("@1")
