"""`make mutate`: what became of the mutants that mutmut made of the heart, the gates, the audit and the parser.

A mutant that no test can tell from the code is *equivalent*: tests/equivalent_mutants.toml names each, with the reason.
Of the others, GOAL have to be killed. Which survive is listed by line, and what stands in the file and is true no more.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
GOAL = 0.97
KILLED = frozenset({"killed", "timeout", "segfault", "caught by type check"})
"""What mutmut calls a mutant that was noticed. One that never ends is noticed, too."""
UNKNOWN = frozenset({"not checked", "check was interrupted by user"})


@dataclass(frozen=True)
class Change:
    """What a mutant changes.

    Args:
        file: from the root of the repository.
        was, becomes: the line, without the spaces around it.
    """

    file: str
    was: str
    becomes: str


@dataclass(frozen=True)
class Mutant:
    name: str
    status: str
    change: Change
    line: int
    """In the file."""


def change_of(file: str, diff: str) -> Change:
    """What a diff of one mutant changes; of several lines, all of them."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    return Change(file, was, " ".join(line[1:].strip() for line in lines if line.startswith("+")))


def line_of(source: str, change: Change) -> int:
    """Where the line stands; 0 where it can't be found."""
    stripped = [line.strip() for line in source.splitlines()]
    return next((number for number, line in enumerate(stripped, 1) if line and change.was.startswith(line)), 0)


def explained(text: str) -> dict[Change, str]:
    """The equivalent mutants that a file names: what is changed → why nobody can notice it.

    Raises:
        ValueError: an entry has no reason, or stands there twice.
    """
    found: dict[Change, str] = {}
    for entry in tomllib.loads(text).get("equivalent", []):
        change = Change(entry["file"], entry["was"].strip(), entry["becomes"].strip())
        if not entry.get("why", "").strip() or change in found:
            raise ValueError(f"{change.file}: {change.was!r} → {change.becomes!r} has no reason, or stands here twice")
        found[change] = entry["why"]
    return found


def report(mutants: Iterable[Mutant], equivalent: dict[Change, str]) -> tuple[str, bool]:
    """The table, and whether the goal was reached and nothing in the file is out of date."""
    counts: dict[str, Counter[str]] = {}
    survivors: list[Mutant] = []
    seen: set[Change] = set()
    wrong: list[str] = []
    checked: set[str] = set()
    for mutant in mutants:
        count = counts.setdefault(mutant.change.file, Counter())
        if mutant.status in UNKNOWN:
            count["unknown"] += 1
            continue
        checked.add(mutant.change.file)
        named = mutant.change in equivalent
        if mutant.status in KILLED:
            count["killed"] += 1
        elif named:
            count["equivalent"] += 1
            seen.add(mutant.change)
        else:
            count["survived"] += 1
            survivors.append(mutant)
    for change in equivalent:
        if change.file in checked and not counts[change.file]["unknown"] and change not in seen:
            wrong.append(
                f"{change.file}: {change.was!r} → {change.becomes!r} is named as equivalent and survives no more"
            )
    lines = [f"{'file':36}{'killed':>8}{'survived':>10}{'equivalent':>12}{'unknown':>9}{'rate':>9}"]
    total: Counter[str] = Counter()
    for file, count in sorted(counts.items()):
        lines.append(_row(file, count))
        total += count
    lines.append(_row("all", total))
    lines += [""] if survivors else []
    for mutant in sorted(survivors, key=lambda each: (each.change.file, each.line)):
        lines.append(f"{mutant.change.file}:{mutant.line}: {mutant.status} ({mutant.name})")
        lines.append(f"    - {mutant.change.was}\n    + {mutant.change.becomes}")
    lines += wrong
    return "\n".join(lines), _rate(total) >= GOAL and not wrong


def _rate(count: Counter[str]) -> float:
    tried = count["killed"] + count["survived"]
    return count["killed"] / tried if tried else 1.0


def _row(name: str, count: Counter[str]) -> str:
    numbers = f"{count['killed']:>8}{count['survived']:>10}{count['equivalent']:>12}{count['unknown']:>9}"
    return f"{name:36}{numbers}{_rate(count):>9.1%}"


def made() -> list[Mutant]:
    """What mutmut left in mutants/."""
    # They look for mutmut's settings in the directory where one stands, as soon as they are imported.
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    found: list[Mutant] = []
    for meta in sorted((ROOT / "mutants").rglob("*.py.meta")):
        file = str(meta.relative_to(ROOT / "mutants").with_suffix(""))
        data = SourceFileMutationData(path=Path(file))
        data.load()
        source = (ROOT / file).read_text()
        for name, code in data.exit_code_by_key.items():
            status = status_by_exit_code[code]
            change = Change(file, "", "")
            if status not in KILLED | UNKNOWN:
                change = change_of(file, get_diff_for_mutant(name, path=file))
            found.append(Mutant(name, status, change, line_of(source, change) if change.was else 0))
    return found


def main() -> int:
    text, good = report(made(), explained(EQUIVALENT.read_text()))
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
