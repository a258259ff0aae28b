"""Every sentence that a person reads: templates, a folder per language; plain text is derived from the same source."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from inscriptis import get_text
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from removal.ids import reference
from texts.template import Template as Template

FOLDER = Path(__file__).parent
BODY_LIMIT = 40_000
"""Bytes that HTML and plain text together may take as JSON, which writes other alphabets at up to three times their
size: an encrypted event of 49,000 bytes is refused by homeservers."""
SHOWN_LIMIT = 255
"""Bytes of a stranger's text that are shown: as many as the longest Matrix ID has."""
_SHORT_LIMIT = 80
_WHOLE_LIMIT = 2_000

# What is invisible or blank although Unicode doesn't count it among the controls: fillers, selectors, an empty pattern.
_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)
_HOLDS_EMOJI_TOGETHER = frozenset("\u200d\ufe0e\ufe0f")
_MARKS_IN_A_ROW = 3
"""More of them, one above the other, would cover the lines around."""


@dataclass(frozen=True, slots=True)
class Text:
    """One message, ready for `m.room.message`: `body` plain, `formatted_body` the HTML subset of the specification."""

    body: str
    formatted_body: str


def clean(value: str, limit: int = SHOWN_LIMIT) -> str:
    """Makes a stranger's text harmless to look at: one line, nothing invisible, nothing that turns the direction.

    Control, format, private-use and unassigned characters become �, so that two names that differ never look alike by
    means of something that can't be seen.

    Args:
        value: the text, of any length.
        limit: how many bytes of it are shown; what is cut ends with an ellipsis.
    """
    shown: list[str] = []
    marks = 0
    for char in value[: limit + 1]:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= _MARKS_IN_A_ROW:
            shown.append(_seen(char, shown[-1] if shown else " "))
    text = "".join(shown).encode()
    return text.decode() if len(text) <= limit else text[: limit - 3].decode(errors="ignore") + "…"


def _seen(char: str, before: str) -> str:
    category = unicodedata.category(char)
    if category[0] == "Z" or char in "\n\r\t":
        return " "
    if char in _HOLDS_EMOJI_TOGETHER and (before == "\ufe0f" or unicodedata.category(before) in ("So", "Sk", "Sm")):
        return char
    return "\ufffd" if category[0] == "C" or char in _UNSEEN else char


class UnknownLanguage(ValueError):
    """There are no texts in this language. `str()` names the setting and what would be right."""


class Texts:
    """Renders the templates of one language."""

    def __init__(self, language: str = "en", prefix: str = "!") -> None:
        folder = FOLDER / language
        if not folder.is_dir():
            known = ", ".join(sorted(p.name for p in FOLDER.iterdir() if (p / "words.yaml").exists()))
            raise UnknownLanguage(f"language: got {language!r}; there are: {known}")
        self._words: dict[str, dict[str, str]] = yaml.safe_load((folder / "words.yaml").read_text("utf-8"))
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_finalize,
        )
        self._environment.filters.update(
            code=_code, time=_time, date=_date, span=_span, sentence=_sentence, short=_short, whole=_whole
        )
        self._environment.globals.update(
            word=self.word, words=self.words, prefix=prefix, ref=reference
        )  # also seen by `words.yaml`

    def word(self, group: str, key: str | Enum, /, **values: Any) -> Markup:
        """The words for one value of an enumeration, e.g. `word("refusal", "server_admin", user=…)`.

        Raises:
            KeyError: there are none; a test holds the words to the code's enumerations.
        """
        name = str(key.value if isinstance(key, Enum) else key)
        return Markup(self._environment.from_string(self._words[group][name]).render(**values).strip())  # noqa: S704 - autoescaped

    def words(self, group: str) -> dict[str, str]:
        """All the words of a group, as they stand in the file."""
        return self._words[group]

    def render(self, template: Template, /, **values: Any) -> Text:
        """Renders a template.

        Raises:
            jinja2.TemplateError: no such template, or a value that it needs is missing.
        """
        html = self._environment.get_template(f"{template}.html").render(**values)
        html = re.sub(r"\s*\n\s*", "\n", html).strip()
        html = re.sub(r">\s+<", "><", html)
        text, shown = Text(plain(html), html), 1.0
        while _size(text) > BODY_LIMIT:
            # Rather a cut plain text than a message that no server takes.
            shown *= 0.8
            body = plain(html)[: int(BODY_LIMIT * shown)] + "…"
            text = Text(body, str(escape(body)).replace("\n", "<br>"))
        return text


def _size(text: Text) -> int:
    return len(json.dumps([text.body, text.formatted_body]))


def plain(html: str) -> str:
    """The same message as plain text, for clients that show `body`, and for notifications."""
    lines = get_text(html).splitlines()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    if isinstance(value, Enum):
        return value.value
    return clean(value) if isinstance(value, str) else value


def _code(value: str) -> Markup:
    return Markup("<code>{}</code>").format(clean(value))


def _short(value: str) -> Markup:
    """A name in a list of many."""
    return escape(clean(value, _SHORT_LIMIT))


def _whole(value: str) -> Markup:
    """What a person wrote or a program said, in full: a reason, a cause."""
    return escape(clean(value, _WHOLE_LIMIT))


def _sentence(value: str) -> str:
    """With a full stop at its end, and one only."""
    return value if value.endswith((".", "!", "?", "…")) else value + "."


def _moment(ts: int | None) -> datetime | None:
    """None where nothing is known, or where it's no time that has a date."""
    try:
        return None if ts is None else datetime.fromtimestamp(ts / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _time(ts: int | None) -> str:
    moment = _moment(ts)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "unknown"


def _date(ts: int | None) -> str:
    moment = _moment(ts)
    return f"{moment:%A}, {moment.day} {moment:%B %Y, %H:%M} UTC" if moment else "unknown"


def _span(ms: int) -> str:
    """A length of time in the two largest units that matter."""
    seconds = max(0, round(ms / 1000))
    if seconds < 10 and ms % 1000:
        return f"{ms / 1000:.1f} s"
    parts = []
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"
