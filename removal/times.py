"""Lengths and points of time as people write them: `1h30m`, `2026-12-24`, `2026-12-24T18:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(
    r"(?:(?P<weeks>\d{1,5})w)?(?:(?P<days>\d{1,5})d)?(?:(?P<hours>\d{1,6})h)?(?:(?P<minutes>\d{1,7})m)?(?:(?P<seconds>\d{1,9})s)?",
    re.ASCII,
)
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[Tt](\d{2}:\d{2}(?::\d{2})?)(?:[Zz]|\+00:?00)?)?", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Reads `10m`, `7d`, `1h30m`, `0s`: whole numbers, each with its unit, the largest unit first.

    Only small letters are units, so that nobody who means a month by `1M` gets a minute.

    Raises:
        ValueError: it isn't such a length of time; `str()` of it says what would be.
    """
    found = _DURATION.fullmatch("".join(text.split()))
    if not found or not found.group():
        raise ValueError("a length of time is a number and a unit, such as 30s, 10m, 12h, 7d, 2w or 1h30m")
    return timedelta(**{unit: int(number) for unit, number in found.groupdict(default="0").items()})


def format_duration(length: timedelta) -> str:
    """The shortest writing that `parse_duration` reads back (`1h30m`); parts of a second are left out."""
    rest = length // timedelta(seconds=1)
    parts = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, seconds)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def parse_moment(text: str) -> datetime:
    """Reads a day (`2026-12-24`, its first moment) or a point of time (`2026-12-24T18:00Z`), always UTC.

    Raises:
        ValueError: it is neither, or no such day exists.
    """
    found = _MOMENT.fullmatch(text.strip())
    if not found:
        raise ValueError("a date is written 2026-12-24, a time 2026-12-24T18:00Z (UTC)")
    day, time = found.groups()
    return datetime.fromisoformat(f"{day}T{time or '00:00'}").replace(tzinfo=UTC)
