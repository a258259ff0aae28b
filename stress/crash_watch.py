"""Watches the bot's database from a process of its own, and kills right after one of its commits.

    python crash_watch.py DATABASE REQUEST STEP (confirmed|done) WHO

What follows a commit is a millisecond away, too short for whoever shares a processor with others. So the bot runs in
slices (SIGCONT, a moment, SIGSTOP), and between them the database is looked at. Reads `BOT HOMESERVER` (process ids, 0
for none) from standard input, a line whenever they change; says `ready`, then `struck` or `missed`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import sys
import time
from contextlib import closing, suppress

SLICE = 0.0003
"""Seconds that the bot runs between two looks."""
PATIENCE = 200.0

REACHED, COMING, PAST = "reached", "coming", "past"


def where(connection: sqlite3.Connection, request: int, step: str, moment: str) -> str:
    """How far the request is from the point: the commit after which it was confirmed, or the step done."""
    row = connection.execute("SELECT data FROM requests WHERE id = ?", (request,)).fetchone()
    steps = {each["step"]: each["state"] for each in json.loads(row[0])["steps"]} if row else {}
    if not steps:
        return COMING
    names = list(steps)
    if moment == "confirmed":
        return REACHED if steps[names[0]] == "pending" else PAST
    if steps[step] != "done":
        return COMING
    following = names[names.index(step) + 1 :][:1]
    return PAST if any(steps[name] == "done" for name in following) else REACHED


class Bot:
    """The process that is run in slices."""

    def __init__(self) -> None:
        self.pid = 0
        self.homeserver = 0

    def hear(self) -> None:
        """Takes in new process ids."""
        while select.select([sys.stdin], [], [], 0)[0]:
            line = sys.stdin.readline()
            if not line:
                raise SystemExit(1)
            self.pid, self.homeserver = map(int, line.split())

    def send(self, number: signal.Signals) -> None:
        """Sends the bot a signal, where there is one."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def slice(self) -> None:
        """Lets it run for a moment."""
        self.send(signal.SIGCONT)
        time.sleep(SLICE)
        self.send(signal.SIGSTOP)

    def kill(self, who: str) -> None:
        """Kills whom the cell names."""
        if who != "bot" and self.homeserver:
            with suppress(ProcessLookupError):
                os.kill(self.homeserver, signal.SIGKILL)
        self.send(signal.SIGCONT if who == "homeserver" else signal.SIGKILL)


def main(database: str, request: int, step: str, moment: str, who: str) -> str:
    """Watches until the point is reached or past; returns which."""
    with suppress(PermissionError):
        os.nice(-10)
    bot = Bot()
    end = time.monotonic() + PATIENCE
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        print("ready", flush=True)
        seen, far = None, COMING
        try:
            while far != PAST and time.monotonic() < end:
                bot.hear()
                # Stopped while it holds a lock, the bot keeps us from reading: then it goes on for another moment.
                with suppress(sqlite3.OperationalError):
                    version = connection.execute("PRAGMA data_version").fetchone()
                    if version != seen:
                        seen, far = version, where(connection, request, step, moment)
                if far == REACHED and bot.pid:
                    bot.kill(who)
                    return "struck"
                bot.slice()
        finally:
            bot.send(signal.SIGCONT)
    return "missed"


if __name__ == "__main__":
    arguments = sys.argv[1:]
    print(main(arguments[0], int(arguments[1]), *arguments[2:]), flush=True)
