"""Which request a line of the log is about: set where work on a request begins, added to every line until it ends."""

from __future__ import annotations

import logging
from contextvars import ContextVar

_ABOUT: ContextVar[str] = ContextVar("about", default="")


def about(reference: str) -> None:
    """From here on this task's lines are about this request (`R7`); "" for none."""
    _ABOUT.set(reference)


class AboutFilter(logging.Filter):
    """Gives each record `request`: the reference, or ""."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request = _ABOUT.get()
        return True
