"""`make bench`: figures that say whether the bot is slow, each as a ratio to something measured in the same run.

`make bench ARGS="--wave 1000"` measures a wave only, of so many accounts. Its table goes into docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import history, removal, takeover, wave
from engine.steps import PAUSE

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- wave: written by `make bench` -->", "<!-- end of wave -->"


async def main(accounts: int, *, only_wave: bool) -> None:
    """Measures and prints."""
    if not only_wave:
        await singles()
    wave.open_files()
    figures = await wave.measure(accounts)
    table = wave.table(figures)
    print(table)
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{run()}\n\n{table}\n\n{END}{after}", "utf-8")


def run() -> str:
    """Which run the table is from."""
    today = datetime.now(UTC)
    synapse, python = version("matrix-synapse"), platform.python_version()
    return f"{today:%-d %B %Y}, {os.cpu_count()} cores, Synapse {synapse} on SQLite, Python {python}."


async def singles() -> None:
    """One removal after the other, and commands."""
    by_hand, by_bot = await removal.measure()
    print("A removal with erasure of an account in one room (from ✅ to the receipt), medians of five:")
    print(f"  through the bot {by_bot:.2f} s, the same calls by hand {by_hand:.2f} s: {by_bot / by_hand:.2f} ×")
    print(f"  ({PAUSE:.1f} s of both are the pause before the rooms are looked at again)")
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
    chosen = parser.parse_args()
    asyncio.run(main(chosen.wave or 1000, only_wave=chosen.wave is not None))
