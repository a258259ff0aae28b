"""`make bench`: figures that say whether the bot is slow, each as a ratio to something measured in the same run.

`make bench ARGS="--wave 1000"` measures a wave only, of so many accounts (with `--on sqlite` or `--on postgresql` on
that one), `make bench ARGS=--growth` waves of several sizes. The tables go into docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import answer, history, removal, takeover, wave
from engine.steps import PAUSE
from sandbox.programs import program

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
ANSWERS = 100
DATABASES = ("sqlite", "postgresql")
GROWTH = (100, 1_000, 10_000)
GROWTH_ROOMS = 1
"""Rooms that an account is in at most where it is measured how the cost grows."""


async def main(accounts: int, databases: Sequence[str], *, only_wave: bool) -> None:
    """Measures and prints."""
    if not only_wave:
        await singles()
    wave.open_files()
    if "sqlite" in databases:
        write("wave", f"{run('SQLite')}\n\n{wave.table(await wave.measure(accounts))}")
    if "postgresql" not in databases:
        return
    if program("postgres") is None:
        print("PostgreSQL isn't installed: the same on it isn't measured. On Debian: apt-get install postgresql")
        return
    figures = await wave.measure(accounts, on_postgres=True)
    write("wave on PostgreSQL", f"{run('PostgreSQL')}\n\n{wave.table(figures)}")


async def growth(sizes: Sequence[int]) -> None:
    """How the cost of a wave grows with it."""
    wave.open_files()
    runs = [(size, await wave.bot_alone(size, GROWTH_ROOMS)) for size in sizes]
    write("growth", f"{run('SQLite')} Accounts in no room or one.\n\n{wave.growth_table(runs)}")


def write(what: str, words: str) -> None:
    """Prints it, and puts it into docs/performance.md, between the two lines for it."""
    print(words)
    text = PAGE.read_text("utf-8")
    begin, end = f"<!-- {what}: written by `make bench` -->", f"<!-- end of {what} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n\n{words}\n\n{end}{after}", "utf-8")


def run(database: str) -> str:
    """Which run the table is from."""
    today = datetime.now(UTC)
    synapse, python = version("matrix-synapse"), platform.python_version()
    return f"{today:%-d %B %Y}, {os.cpu_count()} cores, Synapse {synapse} on {database}, Python {python}."


async def singles() -> None:
    """One removal after the other, and commands."""
    by_hand, by_bot = await removal.measure()
    print("A removal with erasure of an account in one room (from ✅ to the receipt), medians of five:")
    print(f"  through the bot {by_bot:.2f} s, the same calls by hand {by_hand:.2f} s: {by_bot / by_hand:.2f} ×")
    print(f"  ({PAUSE:.1f} s of both are the pause before the rooms are looked at again)")
    await answer.main(ANSWERS)
    running, answering = await takeover.measure()
    print("A bot is killed while a stand-by waits on the same data directory, medians of five:")
    print(f"  the stand-by runs after {running:.2f} s, and has answered after {answering:.2f} s")
    figures = await history.measure()
    print(f"With {history.REQUESTS:,} old requests and {history.AUDIT_ROWS:,} audit rows, against {history.SMALL}:")
    for text, few, many in figures.commands:
        print(f"  {text:32} {few * 1000:7.2f} ms → {many * 1000:7.2f} ms: {many / few:.2f} ×")
    empty, full = figures.start_up
    print(f"  {'start-up of the process':32} {empty * 1000:7.0f} ms → {full * 1000:7.0f} ms: {full / empty:.2f} ×")
    print(
        f"  first answer after a start on the full one, with a retention to keep: {figures.first_answer * 1000:.0f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measures how fast the bot is.")
    parser.add_argument("--wave", type=int, metavar="ACCOUNTS", help="only a wave, of so many accounts")
    parser.add_argument("--on", choices=DATABASES, help="the wave on this database of Synapse's only")
    parser.add_argument(
        "--growth", type=int, nargs="*", metavar="ACCOUNTS", help="only how a wave's cost grows: 100 to 10,000 accounts"
    )
    chosen = parser.parse_args()
    if chosen.growth is not None:
        asyncio.run(growth(chosen.growth or GROWTH))
    else:
        on = [chosen.on] if chosen.on else DATABASES
        asyncio.run(main(chosen.wave or 1000, on, only_wave=chosen.wave is not None))
