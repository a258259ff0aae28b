"""Lengths and points of time as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from removal.times import format_duration, parse_duration, parse_moment


@pytest.mark.parametrize(
    ("typed", "length"),
    [
        ("0s", timedelta()),
        ("1h30m", timedelta(hours=1, minutes=30)),
        (" 1h 30m ", timedelta(hours=1, minutes=30)),
        ("2w 3d\t4h 5m 6s", timedelta(weeks=2, days=3, hours=4, minutes=5, seconds=6)),
        ("1 d", timedelta(days=1)),
    ],
)
def test_a_length_of_time_may_be_written_with_spaces(typed: str, length: timedelta) -> None:
    """The largest unit comes first."""
    assert parse_duration(typed) == length


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (timedelta(), "0s"),
        (timedelta(milliseconds=999), "0s"),
        (timedelta(days=15, hours=1, minutes=2, seconds=3), "15d1h2m3s"),
        (timedelta(minutes=90), "1h30m"),
    ],
)
def test_a_length_of_time_is_written_as_short_as_can_be(length: timedelta, written: str) -> None:
    """Parts of a second are left out, and so is what is zero."""
    assert format_duration(length) == written


@pytest.mark.parametrize("typed", ["", "soon", "1M", "30m1h"])
def test_whoever_types_no_length_of_time_is_told_how_one_is_written(typed: str) -> None:
    """With examples of every unit."""
    told = "a length of time is a number and a unit, such as 30s, 10m, 12h, 7d, 2w or 1h30m"
    with pytest.raises(ValueError, match=f"^{told}$"):
        parse_duration(typed)


@pytest.mark.parametrize("typed", ["", "tomorrow", "24.12.2026", "2026-12-24 18:00"])
def test_whoever_types_no_moment_is_told_how_one_is_written(typed: str) -> None:
    """A day and a time, and that it is UTC."""
    told = "a date is written 2026-12-24, a time 2026-12-24T18:00Z (UTC)"
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        parse_moment(typed)


def test_a_day_begins_at_midnight_utc() -> None:
    """Spaces around it don't matter."""
    assert parse_moment(" 2026-12-24 ") == datetime(2026, 12, 24, tzinfo=UTC)
    assert parse_moment("2026-12-24T18:00Z") == datetime(2026, 12, 24, 18, tzinfo=UTC)
