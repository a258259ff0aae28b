"""What `check` finds: each with the words for it, what would mend it, and, where that is safe, the mending itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from homeserver.client.reach import Found
from texts import Group, Texts, plain


class Mark(StrEnum):
    """How a look turned out."""

    GOOD = "✓"
    WARNING = "!"
    BAD = "✗"


LEVELS = {Mark.GOOD: "ok", Mark.WARNING: "warning", Mark.BAD: "error"}
"""What a mark is called in the JSON."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `key` stays the same between versions, for whoever watches it; the words may change."""

    mark: Mark
    key: str
    text: str
    remedy: str = ""
    fixed: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As `check --json` shows it."""
        level = LEVELS[self.mark]
        return {"key": self.key, "level": level, "text": self.text, "remedy": self.remedy, "fixed": self.fixed}


class Report:
    """Collects the findings, and prints them as they come unless they are wanted as JSON.

    A new finding is one call of `good`, `warn` or `bad` with a key that `texts` has words for in the groups `check`
    and, for the latter two, `check_remedy`.

    Args:
        as_json: prints nothing before `end`.
        fixing: whether to mend what is safe to mend.
    """

    def __init__(self, texts: Texts, *, as_json: bool = False, fixing: bool = False) -> None:
        self._texts = texts
        self._as_json = as_json
        self.fixing = fixing
        self.findings: list[Finding] = []

    @property
    def failed(self) -> bool:
        """Whether anything is missing."""
        return any(finding.mark is Mark.BAD for finding in self.findings)

    def good(self, key: str, **values: Any) -> None:
        """Something is as it should be."""
        self._add(Finding(Mark.GOOD, key, self._words("check", key, values)))

    def warn(self, key: str, **values: Any) -> None:
        """Something works and could be better."""
        self._problem(Mark.WARNING, key, values)

    def bad(self, key: str, **values: Any) -> None:
        """The bot can't run like this."""
        self._problem(Mark.BAD, key, values)

    def fixed(self, key: str, **values: Any) -> None:
        """Something was wrong and is mended now. Only where `fixing` says that it may be."""
        self._add(Finding(Mark.GOOD, key, self._words("check", key, values), fixed=True))

    def _problem(self, mark: Mark, key: str, values: dict[str, Any]) -> None:
        known = key in self._texts.words("check_remedy")
        remedy = self._words("check_remedy", key, values) if known else ""
        self._add(Finding(mark, key, self._words("check", key, values), remedy))

    def _words(self, group: Group, key: str, values: dict[str, Any]) -> str:
        return plain(str(self._texts.word(group, key, **values)))

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        if not self._as_json:
            print("\n".join(lines(finding)))

    def end(self) -> int:
        """Says how it is altogether; returns the exit code: 0 where the bot could run, 1 where something is missing."""
        if self._as_json:
            found = [finding.as_dict() for finding in self.findings]
            print(json.dumps({"ok": not self.failed, "findings": found}, ensure_ascii=False, indent=2))
        elif self.failed:
            print(f"{Mark.BAD} {self._words('check', 'verdict_bad', {})}")
        else:
            print(f"{Mark.GOOD} {self._words('check', 'verdict_good', {})}")
        return 1 if self.failed else 0


def lines(finding: Finding) -> list[str]:
    """A finding as a terminal shows it."""
    if finding.fixed:
        return [f"{finding.mark} {finding.text}", "  → mended"]
    return [f"{finding.mark} {finding.text}", *([f"  → {finding.remedy}"] if finding.remedy else [])]


def print_config_problems(problems: list[str]) -> None:
    """Settings that can't be used, as `check --json` tells them."""
    found = [Finding(Mark.BAD, "config", problem).as_dict() for problem in problems]
    print(json.dumps({"ok": False, "findings": found}, ensure_ascii=False, indent=2))


def explain(texts: Texts, found: Found, asked: str) -> str:
    """What was found where the homeserver should be, and what mends it, in one line."""
    values = {"asked": asked, "url": found.url, "detail": found.detail}
    groups: tuple[Group, ...] = ("check", "check_remedy")
    return " ".join(plain(str(texts.word(group, f"reach_{found.reach}", **values))) for group in groups)
