"""Times, lengths of time and lists, as a language writes them. All times are UTC, in milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from babel import Locale
from babel.dates import format_date, format_timedelta
from babel.units import format_unit
from markupsafe import Markup

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class Formats:
    """The filters of the templates that depend on the language."""

    def __init__(self, locale: Locale, gettext: Callable[[str], str]) -> None:
        self._locale = locale
        self._unknown = gettext("unknown")

    def time(self, ts: int | None) -> str:
        """A point of time to the second, in a form that all languages share and that sorts."""
        moment = _moment(ts)
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else self._unknown

    def minute(self, ts: int | None) -> str:
        """The same to the minute."""
        moment = _moment(ts)
        return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else self._unknown

    def until(self, ts: int, now: int) -> str:
        """A point of time that is near: without the day where it is less than twelve hours away."""
        return f"{_moment(ts):%H:%M} UTC" if 0 <= ts - now < 12 * 3_600_000 else self.minute(ts)

    def day(self, ts: int | None) -> str:
        """The day alone."""
        moment = _moment(ts)
        return f"{moment:%Y-%m-%d}" if moment else self._unknown

    def date(self, ts: int | None) -> str:
        """A day that people think of as one, with its name: Friday, 4 December 2026, 12:00 UTC."""
        moment = _moment(ts)
        return f"{format_date(moment, 'full', self._locale)}, {moment:%H:%M} UTC" if moment else self._unknown

    def span(self, ms: int) -> str:
        """A length of time in the two largest units that matter."""
        seconds = max(0, round(ms / 1000))
        if seconds < 10 and ms % 1000:
            return format_unit(round(ms / 1000, 1), "duration-second", "long", locale=self._locale)
        parts = []
        for size, unit in _UNITS:
            count, seconds = divmod(seconds, size)
            if count:
                parts.append(format_unit(count, f"duration-{unit}", "long", locale=self._locale))
        shown = parts[:2] or [format_unit(0, "duration-second", "long", locale=self._locale)]
        return " ".join(shown)

    def ago(self, ts: int | None, now: int) -> str:
        """How long before `now` that was, or how long after it it will be: 3 hours ago."""
        if _moment(ts) is None or ts is None:
            return self._unknown
        return format_timedelta(timedelta(milliseconds=ts - now), add_direction=True, locale=self._locale)

    def listed(self, values: Sequence[Any]) -> Markup:
        """One after the other; what isn't `Markup` is escaped."""
        pattern = Markup(self._locale.list_patterns["standard"]["middle"])  # noqa: S704 - Unicode's
        shown = Markup("{}").format(values[0]) if values else Markup()
        for value in values[1:]:
            shown = pattern.format(shown, value)
        return shown


def _moment(ts: int | None) -> datetime | None:
    """None where nothing is known, or where it's no time that has a date."""
    try:
        return None if ts is None else datetime.fromtimestamp(ts / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
