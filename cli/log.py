"""What the bot writes to standard error: lines for people, or JSON for machines, each with the request it is about."""

from __future__ import annotations

import json
import logging
import sys

from config import Log
from engine.about import AboutFilter

OUR_LOGGERS = ("cli", "engine", "handlers", "homeserver", "lethe", "storage")


class _Lines(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        request = getattr(record, "request", "")
        self._style._fmt = f"%(asctime)s %(levelname)-7s %(name)s: {'[%(request)s] ' if request else ''}%(message)s"
        return super().format(record)


class _JsonLines(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"ts": self.formatTime(record), "level": record.levelname, "logger": record.name}
        if request := getattr(record, "request", ""):
            line["request"] = request
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(settings: Log) -> None:
    """Begins to log so, or goes on differently."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(AboutFilter())
    handler.setFormatter(_JsonLines() if settings.format == "json" else _Lines())
    # Only our own loggers get the wanted level. Libraries would write secrets at their debug level: peewee the
    # encryption keys, aiosqlite people's words.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(settings.level.upper())
