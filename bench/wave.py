"""A wave through the bot, against the best plain script: each on a fresh copy of the same homeserver, in one run."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.bystanders import Bystanders
from bench.crowd import Crowd, crowd
from bench.plain_script import deactivate, suspend, synadm
from sandbox.homeserver import Homeserver
from sandbox.lethe import Lethe
from sandbox.scene import Scene
from storage.packing import unpack
from tests.support.waves import Asked, upload

QUIET_SECONDS = 20.0
SIDE_BY_SIDE, RECKLESS = 4, 32
SYNADM_SAMPLE = 25
_TICKS = 100
"""Clock ticks a second, in which Linux counts a process's CPU time."""


@dataclass(frozen=True)
class Run:
    """One way of doing it. Seconds."""

    took: float
    median: float
    p95: float
    server_each: float
    """CPU of Synapse's own process for each account, from the first call to the last."""


@dataclass(frozen=True)
class BotRun(Run):
    """The bot's, with what only it can tell."""

    review: float
    first_suspension: float
    suspending: float
    cpu_each: float
    memory_before: int
    memory_most: int
    database_each: int
    unproven: int


@dataclass(frozen=True)
class Figures:
    """All of one run."""

    accounts: int
    quiet: tuple[float, float]
    bot: BotRun
    hurried: BotRun
    """With `--now`."""
    script: Run
    reckless: Run
    raw_suspend: float
    synadm_each: float | None


async def measure(accounts: int, most_rooms: int = 10, *, on_postgres: bool = False) -> Figures:
    """Everything, one after the other."""
    base = Crowd(accounts, most_rooms, on_postgres)
    users = crowd(0, accounts)
    async with _server(base) as (homeserver, _, bystanders):
        quiet = await _quiet(bystanders)
        bot = await through_the_bot(homeserver, bystanders, users)
    async with _server(base) as (homeserver, _, bystanders):
        hurried = await through_the_bot(homeserver, bystanders, users, "--now")
    runs = []
    for side_by_side in (SIDE_BY_SIDE, RECKLESS):
        async with _server(base) as (homeserver, token, bystanders):
            cpu = _cpu(homeserver.pid or 0)
            with _talking(bystanders):
                took = await deactivate(homeserver, token, users, side_by_side)
            runs.append(Run(took, *bystanders.figures(), (_cpu(homeserver.pid or 0) - cpu) / accounts))
    async with _server(base) as (homeserver, token, _):
        raw = await suspend(homeserver, token, users, SIDE_BY_SIDE)
        with tempfile.TemporaryDirectory() as folder:
            each = await synadm(homeserver, token, "bench", users[:SYNADM_SAMPLE], Path(folder))
    return Figures(accounts, quiet, bot, hurried, runs[0], runs[1], raw, each)


async def bot_alone(accounts: int, most_rooms: int) -> BotRun:
    """What the bot takes for a wave of this size with `--now`, with nothing to compare it to."""
    async with _server(Crowd(accounts, most_rooms)) as (homeserver, _, bystanders):
        return await through_the_bot(homeserver, bystanders, crowd(0, accounts), "--now")


@asynccontextmanager
async def _server(base: Crowd) -> AsyncIterator[tuple[Homeserver, str, Bystanders]]:
    homeserver = await base.homeserver()
    await homeserver.start()
    try:
        token = await homeserver.register("bench", "bench", admin=True)
        bystanders = await Bystanders.on(homeserver)
        try:
            yield homeserver, token, bystanders
        finally:
            await bystanders.close()
    finally:
        await homeserver.close()


@contextlib.contextmanager
def _talking(bystanders: Bystanders) -> Any:
    task = asyncio.ensure_future(bystanders.talk())
    try:
        yield
    finally:
        task.cancel()


async def _quiet(bystanders: Bystanders) -> tuple[float, float]:
    with _talking(bystanders):
        await asyncio.sleep(QUIET_SECONDS)
    return bystanders.figures()


async def through_the_bot(homeserver: Homeserver, bystanders: Bystanders, users: list[str], *options: str) -> BotRun:
    """A file with all accounts, ✅, and the wait for the last line. Args: options: of the command."""
    stage = Scene(homeserver)
    try:
        many = {"other_moderator_above": 20_000, "type_number_above": 20_000}
        await stage.set_up(bulk=many, moderators={"max_removals_per_hour": 1_000_000}, log={"level": "info"})
        began = time.monotonic()
        wave = await asked_by_file(stage, users, *options)
        review = time.monotonic() - began
        pid = stage.bot.pid or 0
        size, cpu, memory = _size(stage.bot), _cpu(pid), _memory(pid, "VmRSS")
        server_cpu = _cpu(homeserver.pid or 0)
        with _talking(bystanders):
            began, began_ts = time.monotonic(), time.time() * 1000
            await wave.press()
            await wave.ended(timeout=4 * 3600)
            took = time.monotonic() - began
        suspended = _suspended(stage.bot)
        return BotRun(
            took,
            *bystanders.figures(),
            (_cpu(homeserver.pid or 0) - server_cpu) / len(users),
            review=review,
            first_suspension=(suspended[0] - began_ts) / 1000,
            suspending=(suspended[-1] - suspended[0]) / 1000,
            cpu_each=(_cpu(pid) - cpu) / len(users),
            memory_before=memory,
            memory_most=_memory(pid, "VmHWM"),
            database_each=(_size(stage.bot) - size) // len(users),
            unproven=sum(state != "done" for state in wave.members().values()),
        )
    finally:
        await stage.close()


async def asked_by_file(stage: Scene, users: list[str], *options: str) -> Asked:
    """The prompt for a list of accounts that was uploaded."""
    content = await upload(stage.moderator, "\n".join(users).encode(), "list.txt")
    content["body"] = " ".join(("!deactivate", "--erase", *options))
    said = await stage.moderator.send(stage.room, "m.room.message", content)
    prompt = await stage.moderator.reply_to(said, 1800, containing="to go on")
    return Asked(stage, said, prompt, stage.moderator)


def _suspended(bot: Lethe) -> list[int]:
    """When each account was known to be suspended, ms, by the bot's own records."""
    with closing(sqlite3.connect(bot.database)) as database:
        rows = database.execute("SELECT data FROM requests WHERE wave_id IS NOT NULL").fetchall()
    ended = (unpack(data)["steps"][0]["ended_ts"] for (data,) in rows)
    return sorted(ts for ts in ended if ts)


def _size(bot: Lethe) -> int:
    with closing(sqlite3.connect(bot.database)) as database:
        ((pages,),) = database.execute("PRAGMA page_count").fetchall()
        ((size,),) = database.execute("PRAGMA page_size").fetchall()
    return int(pages) * int(size)


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int, what: str) -> int:
    """Bytes: `VmRSS` is what a process has now, `VmHWM` the most it ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def table(figures: Figures) -> str:
    """The figures as a table for docs/performance.md."""
    bot, hurried, script, reckless = figures.bot, figures.hurried, figures.script, figures.reckless
    quiet, n = figures.quiet[0], figures.accounts
    both = (bot, hurried)
    rows = [
        ("what", "through the bot", "with `--now`", "against", "ratio"),
        ("---",) * 5,
        (f"{n:,} accounts in 0 to 10 rooms, erased, proofs included", *(f"{each.took:.1f} s" for each in both),
         f"{script.took:.1f} s, plain script, {SIDE_BY_SIDE} side by side",
         _ratios(*(each.took / script.took for each in both))),
        ("first suspension after ✅", *(f"{each.first_suspension:.2f} s" for each in both), "2 s", ""),
        ("all suspended", *(f"{n / each.suspending:.0f} a second" for each in both),
         f"{n / figures.raw_suspend:.0f} a second, the calls alone, {SIDE_BY_SIDE} side by side",
         _ratios(*(figures.raw_suspend / each.suspending for each in both))),
        ("other people's messages meanwhile, median", *(f"{each.median * 1000:.0f} ms" for each in both),
         f"{quiet * 1000:.0f} ms on the quiet server", _ratios(*(each.median / quiet for each in both))),
        ("the same, 95th percentile", *(f"{each.p95 * 1000:.0f} ms" for each in both),
         f"{figures.quiet[1] * 1000:.0f} ms on the quiet server",
         _ratios(*(each.p95 / figures.quiet[1] for each in both))),
        (f"the same under the plain script, {SIDE_BY_SIDE} / {RECKLESS} side by side, median", "", "",
         f"{script.median * 1000:.0f} / {reckless.median * 1000:.0f} ms",
         _ratios(script.median / quiet, reckless.median / quiet)),
        ("the same, 95th percentile", "", "", f"{script.p95 * 1000:.0f} / {reckless.p95 * 1000:.0f} ms", ""),
        (f"plain script, {RECKLESS} side by side", "", "", f"{reckless.took:.1f} s", ""),
        ("CPU of the bot, an account", *(f"{each.cpu_each * 1000:.1f} ms" for each in both), "", ""),
        ("CPU of Synapse, an account", *(f"{each.server_each * 1000:.0f} ms" for each in both),
         f"{script.server_each * 1000:.0f} ms under the plain script, {SIDE_BY_SIDE} side by side",
         _ratios(*(each.server_each / script.server_each for each in both))),
        ("memory of the bot at most", *(f"{each.memory_most / 1e6:.0f} MB" for each in both),
         f"{bot.memory_before / 1e6:.0f} MB before", ""),
        ("database, an account", *(f"{each.database_each:,} bytes" for each in both),
         f"{bot.database_each * 20_000 / 1e6:.0f} MB for 20,000", ""),
        ("review (command to prompt)", *(f"{each.review:.1f} s" for each in both), "", ""),
        ("not done at the end", *(f"{each.unproven}" for each in both), "", ""),
    ]  # fmt: skip
    if figures.synadm_each is not None:
        whole = figures.synadm_each * n
        said = f"{whole:.0f} s, `synadm user deactivate` one after another ({SYNADM_SAMPLE} measured)"
        faster = " / ".join(f"{whole / each.took:.1f}" for each in both)
        rows.insert(3, ("the same", *(f"{each.took:.1f} s" for each in both), said, f"{faster} × faster"))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _ratios(*values: float) -> str:
    return " / ".join(f"{value:.2f}" for value in values) + " ×"


def growth_table(runs: Sequence[tuple[int, BotRun]]) -> str:
    """One line for each size of a wave, for docs/performance.md."""
    rows = [
        ("accounts", "to the prompt", "✅ to the end", "an account", "CPU of the bot", "memory at most", "database"),
        ("---",) * 7,
        *(
            (
                f"{accounts:,}", f"{each.review:.1f} s", f"{each.took:.0f} s", f"{each.took / accounts * 1000:.0f} ms",
                f"{each.cpu_each * 1000:.1f} ms an account", f"{each.memory_most / 1e6:.0f} MB",
                f"{each.database_each:,} bytes an account",
            )
            for accounts, each in runs
        ),
    ]  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def open_files() -> None:
    """Many connections at once need many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard) if soft < 4096 else soft, hard))
