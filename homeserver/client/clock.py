"""The homeserver's clock, as far as it can be read: from the `Date` of each answer, held against this machine's clocks.

`Date` tells whole seconds, and some time of the request's: between its start and its end, the homeserver's clock showed
it. So each answer gives a shortest and a longest distance, and what all answers have in common is narrower than any of
them; a slow one adds nothing. The distance is kept to a clock that nobody sets, so that a step of this machine's clock
moves nothing and shows at once.

Source: RFC 9110, 6.6.1 (Date), 5.6.7 (its format), 9111, 5.1 (Age).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

WARN_MS = 30_000
"""Clocks that differ by so much are worth a word."""
REFUSE_MS = 300_000
"""Where clocks differ by so much, nobody's confirmation is acted on."""
DRIFT_MS = 2_000
"""Two answers that contradict each other by no more show clocks that drift. By more, one of them is odd, or the
homeserver's clock was set: then the next answer decides."""


def local_ms() -> int:
    """This machine's clock. Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """A clock that only grows and that nobody sets. Milliseconds since some time; suspended hours count on Linux."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000


class HomeserverClock:
    """Called, it gives the homeserver's time: this machine's, moved as little as the answers demand. Milliseconds since
    1970; this machine's time before the first answer.

    Args:
        local: this machine's clock, milliseconds since 1970.
        steady: milliseconds that only grow.
    """

    def __init__(self, local: Callable[[], int] = local_ms, steady: Callable[[], int] = steady_ms) -> None:
        self.local = local
        self.steady = steady
        self._between: tuple[int, int] | None = None
        """The homeserver's time less the steady one: at least and at most."""
        self._doubt: tuple[int, int] | None = None

    def __call__(self) -> int:
        now = self.local()
        if self._between is None:
            return now
        least, most = self._between
        steady = self.steady()
        return min(max(now, steady + least), steady + most)

    @property
    def offset_ms(self) -> int:
        """How far the homeserver is ahead of this machine, at least; negative where it is behind."""
        return self() - self.local()

    @property
    def about_ms(self) -> int:
        """The same for people: where it is minutes, whole ones, since `Date` isn't exact."""
        unit = 60_000 if abs(self.offset_ms) >= REFUSE_MS - 1_000 else 1_000
        return round(self.offset_ms / unit) * unit

    def heard(self, headers: Mapping[str, str], begun: int, ended: int) -> None:
        """Takes in an answer.

        Args:
            headers: the answer's. Without a `Date`, or with an `Age` (somebody kept it), it tells nothing.
            begun: when the request was sent, by the steady clock.
            ended: when the answer was there.
        """
        if "Age" in headers:
            return
        try:
            told = int(parsedate_to_datetime(headers.get("Date", "")).timestamp() * 1000)
        except (TypeError, ValueError, OverflowError):
            return
        new = (told - ended, told + 1_000 - begun)
        known = self._between
        if known is None or (both := _common(known, new)) is not None:
            self._between, self._doubt = new if known is None else both, None
        elif _common((known[0] - DRIFT_MS, known[1] + DRIFT_MS), new) is not None:
            self._between, self._doubt = new, None
        elif self._doubt is not None and (both := _common(self._doubt, new)) is not None:
            self._between, self._doubt = both, None
        else:
            self._doubt = new


def _common(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int] | None:
    """What two spans have in common."""
    least, most = max(one[0], other[0]), min(one[1], other[1])
    return (least, most) if least <= most else None
