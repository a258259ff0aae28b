"""The homeserver's clock, read from the dates of its answers."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.client.clock import DRIFT_MS, HomeserverClock

NOW = 1_790_000_000_000
HOUR = 3_600_000


class Machine:
    """This machine's clocks and a homeserver's, in a test's hands. Milliseconds."""

    def __init__(self, ahead: int = 0) -> None:
        self.passed = 0
        self.set_by = 0
        self.ahead = ahead
        self.clock = HomeserverClock(lambda: NOW + self.passed + self.set_by, lambda: 5_000 + self.passed)

    @property
    def homeserver(self) -> int:
        """What is true."""
        return NOW + self.passed + self.ahead

    def asks(self, there: int = 20, back: int = 20, **headers: str) -> None:
        """One request: so many milliseconds there, so many back."""
        begun = self.clock.steady()
        self.passed += there
        date = formatdate(self.homeserver // 1000, usegmt=True)
        self.passed += back
        self.clock.heard({"Date": date, **headers}, begun, self.clock.steady())


@given(
    ahead=st.integers(-(10**9), 10**9),
    ways=st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 60_000), st.integers(0, 9_999)), min_size=1),
)
def test_the_homeservers_time_is_within_what_the_quickest_answer_allows(
    ahead: int, ways: list[tuple[int, int, int]]
) -> None:
    """However slow the others are, and whichever way was the slow one."""
    machine = Machine(ahead)
    for there, back, pause in ways:
        machine.asks(there, back)
        machine.passed += pause
    quickest = min(there + back for there, back, _ in ways)
    assert abs(machine.clock() - machine.homeserver) <= quickest + 1_000


@given(ways=st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 60_000)), min_size=1))
def test_a_clock_that_is_right_is_not_touched(ways: list[tuple[int, int]]) -> None:
    """Whatever the network does."""
    machine = Machine()
    for there, back in ways:
        machine.asks(there, back)
        assert machine.clock.offset_ms == 0


def test_many_answers_tell_more_than_one() -> None:
    """Whole seconds, read at different parts of them, leave less and less room."""
    machine = Machine(HOUR)
    for _ in range(30):
        machine.asks()
        machine.passed += 1_033
    assert abs(machine.clock.offset_ms - HOUR) <= 80


def test_before_the_first_answer_it_is_this_machines() -> None:
    """There is nothing else."""
    machine = Machine(HOUR)
    assert machine.clock() == NOW


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_when_this_machines_clock_is_set_wrong_nothing_moves(step: int) -> None:
    """And the difference is known at once, before any answer."""
    machine = Machine()
    machine.asks()
    machine.set_by = step
    assert abs(machine.clock() - machine.homeserver) <= 1_040
    assert abs(machine.clock.offset_ms + step) <= 1_040
    machine.set_by = 0
    assert machine.clock.offset_ms == 0


def test_one_odd_answer_moves_nothing_and_two_do() -> None:
    """A proxy's page may have any date; a homeserver that was set says it again."""
    machine = Machine()
    machine.asks()
    machine.ahead = HOUR
    machine.asks()
    assert machine.clock.offset_ms == 0
    machine.asks()
    assert abs(machine.clock.offset_ms - HOUR) <= 1_040
    machine.ahead = -HOUR
    machine.asks()
    machine.ahead = HOUR
    machine.asks()
    assert abs(machine.clock.offset_ms - HOUR) <= 1_040


def test_clocks_that_drift_are_followed() -> None:
    """A millisecond in a second is more than any does."""
    machine = Machine()
    for _ in range(5_000):
        machine.passed += 1_000
        machine.ahead += 1
        machine.asks()
        assert abs(machine.clock() - machine.homeserver) <= DRIFT_MS + 1_040


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT", "0", "Thu, 01 Jan 1970 00:00 +9999999"]
)
def test_what_is_no_date_tells_nothing(date: str) -> None:
    """Nor does none at all, or one that somebody kept for a while."""
    machine = Machine(HOUR)
    machine.clock.heard({"Date": date}, 0, 0)
    machine.clock.heard({}, 0, 0)
    machine.asks(Age="3600")
    assert machine.clock.offset_ms == 0
