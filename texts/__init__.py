"""Every sentence that a person reads: templates, a folder per language; plain text is derived from the same source."""

from __future__ import annotations

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

FOLDER = Path(__file__).parent
BODY_LIMIT = 40_000
"""Bytes of HTML and plain text together: an encrypted event of 49,000 bytes is refused by homeservers."""
_SHOWN_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Text:
    """One message, ready for `m.room.message`: `body` plain, `formatted_body` the HTML subset of the specification."""

    body: str
    formatted_body: str


def clean(value: str) -> str:
    """Makes a stranger's text harmless to look at: one line, nothing invisible, nothing that turns the direction.

    Control, format, private-use and unassigned characters become �, so that two names that differ never look alike by
    means of something that can't be seen.
    """
    shown = []
    for char in value[: _SHOWN_LIMIT + 1]:
        category = unicodedata.category(char)
        if char in "\n\r\t\u2028\u2029":
            shown.append(" ")
        elif category[0] == "C" and char != "\u200d":  # the joiner holds emoji together
            shown.append("\ufffd")
        elif category in ("Zl", "Zp"):
            shown.append(" ")
        else:
            shown.append(char)
    text = "".join(shown)
    return text if len(text) <= _SHOWN_LIMIT else text[: _SHOWN_LIMIT - 1] + "…"


class Texts:
    """Renders the templates of one language."""

    def __init__(self, language: str = "en", prefix: str = "!") -> None:
        folder = FOLDER / language
        if not folder.is_dir():
            known = ", ".join(sorted(p.name for p in FOLDER.iterdir() if (p / "words.yaml").exists()))
            raise ValueError(f"there are no texts in language {language!r}; there are: {known}")
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
            code=_code, time=_time, date=_date, span=_span, room=_code, sentence=_sentence
        )
        self._environment.globals.update(word=self.word, prefix=prefix, ref=reference)  # also seen by `words.yaml`

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

    def render(self, name: str, /, **values: Any) -> Text:
        """Renders `name`.html.

        Raises:
            jinja2.TemplateError: no such template, or a value that it needs is missing.
        """
        html = self._environment.get_template(f"{name}.html").render(**values)
        html = re.sub(r"\s*\n\s*", "\n", html).strip()
        html = re.sub(r">\s+<", "><", html)
        text = Text(plain(html), html)
        if len(text.body.encode()) + len(text.formatted_body.encode()) > BODY_LIMIT:
            # Rather a cut plain text than a message that no server takes.
            body = text.body.encode()[: BODY_LIMIT // 2].decode(errors="ignore") + "…"
            return Text(body, str(escape(body)).replace("\n", "<br>"))
        return text


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


def _sentence(value: str) -> str:
    """With a full stop at its end, and one only."""
    return value if value.endswith((".", "!", "?", "…")) else value + "."


def _moment(ts: int) -> datetime:
    return datetime.fromtimestamp(ts / 1000, UTC)


def _time(ts: int | None) -> str:
    return _moment(ts).strftime("%Y-%m-%d %H:%M:%S UTC") if ts is not None else "unknown"


def _date(ts: int | None) -> str:
    return f"{_moment(ts):%A}, {_moment(ts).day} {_moment(ts):%B %Y, %H:%M} UTC" if ts is not None else "unknown"


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
