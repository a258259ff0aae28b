"""`make ci`: every part of the checks that doesn't take an hour, one after the other, and a table of what came of them.

A part that fails doesn't keep the others from running. What was skipped is listed with the reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_COUNTS = re.compile(r"^(?:=+ )?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s.*$")
_SKIPPED = re.compile(r"^SKIPPED \[(\d+)\] \S+: (.+)$")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Part:
    """One target of the Makefile.

    Args:
        name: what it is called in the table.
        target: the target, with its arguments.
        without: why it isn't run at all; empty where it is.
    """

    name: str
    target: tuple[str, ...]
    without: str = ""


@dataclass
class Result:
    """What came of a part."""

    part: Part
    seconds: float = 0.0
    failed: bool = False
    summary: str = ""
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason → how many tests."""


def parts(mas: str) -> list[Part]:
    """All of them, in their order.

    Args:
        mas: the path of a real Matrix Authentication Service; empty where there is none.
    """
    tests = ("ARGS=-r sR",)
    return [
        Part("lint", ("lint",)),
        Part("tests", ("test", *tests)),
        Part("workers", ("test-workers", *tests)),
        Part("federation", ("test-federation", *tests)),
        Part(
            "MAS", ("test-mas", f"MAS={mas}"), "" if mas else "there is no mas-cli here: make ci MAS=/path/to/mas-cli"
        ),
        Part("simulation", ("simulate",)),
        Part("crash", ("crash-short",)),
        Part("crash with MAS", ("crash-short-mas",)),
        Part("fuzz", ("fuzz-short",)),
    ]


def read(part: Part, lines: Iterable[str]) -> Result:
    """What a part's output says: pytest's counts and reasons; of other programs, the last line."""
    result = Result(part)
    counted = False
    for line in (_COLOURS.sub("", each).strip() for each in lines):
        if found := _COUNTS.fullmatch(line):
            result.summary, counted = found.group(1), True
        elif found := _SKIPPED.fullmatch(line):
            result.skipped[found.group(2)] += int(found.group(1))
        elif line and not counted and not line.startswith("make["):
            result.summary = line
    return result


def run(part: Part, make: Sequence[str]) -> Result:
    """Runs a part and shows its output as it comes."""
    if part.without:
        return Result(part, summary="skipped", skipped=Counter({part.without: 1}))
    print(f"\n--- {part.name}: make {' '.join(part.target)}", flush=True)
    begun, lines = time.monotonic(), []
    with subprocess.Popen(
        [*make, *part.target], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    result = read(part, lines)
    result.seconds, result.failed = time.monotonic() - begun, process.returncode != 0
    return result


def table(results: Sequence[Result]) -> str:
    """Part, time, what came of it; then what was skipped and why."""
    lines = [f"{'part':12}{'time':>8}  result"]
    for each in results:
        spent = "–" if each.part.without else f"{each.seconds:.0f} s"
        lines.append(f"{each.part.name:12}{spent:>8}  {'FAILED: ' if each.failed else ''}{each.summary}")
    lines.append(f"{'all':12}{sum(each.seconds for each in results):>6.0f} s")
    reasons = [(each.part.name, why, count) for each in results for why, count in sorted(each.skipped.items())]
    lines += ["", "Skipped:" if reasons else "Nothing was skipped."]
    for name, why, count in reasons:
        lines.append(f"  {name}{f' ({count} tests)' if count > 1 else ''}: {why}")
    return "\n".join(lines)


def main() -> int:
    mas = os.environ.get("MAS") or shutil.which("mas-cli") or ""
    results = [run(part, (os.environ.get("MAKE", "make"), "--no-print-directory")) for part in parts(mas)]
    print(f"\n{table(results)}")
    return 1 if any(each.failed for each in results) else 0


if __name__ == "__main__":
    sys.exit(main())
