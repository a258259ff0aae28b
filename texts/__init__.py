"""Every sentence that a person reads: English templates, and gettext catalogues for other languages.

Plain text is derived from the same source.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from babel import Locale
from inscriptis import get_text
from inscriptis.css_profiles import RELAXED_CSS_PROFILE as DEFAULT_CSS
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound
from markupsafe import Markup, escape

from removal.ids import reference
from removal.lifecycle import can_close
from removal.protection import Refusal
from removal.request import Request
from texts.catalogue import Catalogue, known_languages
from texts.catalogue import UnknownLanguage as UnknownLanguage
from texts.formats import Formats
from texts.template import Group as Group
from texts.template import Page as Page
from texts.template import Template as Template

FOLDER = Path(__file__).parent
SOURCE = "en"
"""The language that the templates are written in, and the name of their folder."""
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
    if len(value) <= limit and value.isascii() and value.isprintable():
        return value  # nearly all are: character by character would be most of what a message costs
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


class Texts:
    """Renders the templates in one language."""

    def __init__(self, language: str = SOURCE, prefix: str = "!") -> None:
        """
        Raises:
            UnknownLanguage: there is no catalogue for it.
        """
        self.language, self._prefix = language, prefix
        catalogue = Catalogue(FOLDER / "locale", language, SOURCE)
        self._isolates = catalogue.locale.text_direction == "rtl"
        formats = Formats(catalogue.locale, catalogue.gettext)
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / SOURCE),
            auto_reload=False,  # else each use of a template asks the disk whether its file has changed
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_finalize,
            extensions=["jinja2.ext.i18n"],
        )
        self._environment.policies["ext.i18n.trimmed"] = True
        # Our own instead of `install_gettext_translations`: what is put into a sentence has to be cleaned like any
        # other value, and Jinja passes values to gettext without `finalize`.
        self._environment.newstyle_gettext = True  # type: ignore[attr-defined] # the extension adds it

        def gettext(message: str, /, **values: Any) -> Markup:
            return self._filled(catalogue.gettext(message), values)

        def ngettext(singular: str, plural: str, count: int, /, **values: Any) -> Markup:
            return self._filled(catalogue.ngettext(singular, plural, count), values)

        self._environment.filters.update(
            code=_code, quoted=_quoted, sentence=_sentence, short=_short, whole=_whole,
            linked=_linked, listed=lambda each: _listed(formats, each),
            time=formats.time, minute=formats.minute, day=formats.day,
            until=formats.until, date=formats.date, span=formats.span, ago=formats.ago,
        )  # fmt: skip
        self._environment.globals.update(
            gettext=gettext, ngettext=ngettext, word=self.word, words=self.words, prefix=prefix, ref=reference,
            can_close=can_close, language=language.replace("_", "-"), because=self._because,
            language_name=lambda name, itself=False: called(name, name if itself else language),
            other_languages=tuple(name for name in languages() if name != language),
            direction=Markup('dir="{}"').format(catalogue.locale.text_direction),
        )  # fmt: skip

    def speaking(self, language: str | None) -> Texts:
        """The same in another language; in this one where there is no such language."""
        return texts_in(language, self._prefix) if language in languages() and language is not None else self

    def _filled(self, message: str, values: dict[str, Any]) -> Markup:
        """A sentence of ours, or its translation, with strangers' values in it.

        In a language that is written from right to left, a value may be written the other way, and must not take the
        sentence around it along (Unicode Standard Annex 9, isolates).
        """
        shown = {name: _finalize(value) for name, value in values.items()}
        if self._isolates:
            shown = {name: _isolated(value) if isinstance(value, str) else value for name, value in shown.items()}
        return Markup(message) % shown  # noqa: S704 - ours

    def _because(self, request: Request) -> Markup:
        """Why a request ended: a person's words, or ours in this language, where it holds which (`own_reason`)."""
        return self.reason(request.ended_because, request.target_id)

    def reason(self, because: str, user_id: str) -> Markup:
        """A reason to read: a person's words as they are; for what `own_reason` made, the words of this language.

        Args:
            user_id: whom it is about.
        """
        found = _OURS.fullmatch(because)
        if found is None:
            return _whole(because)
        if found["refusal"]:
            server = user_id.partition(":")[2]
            return self.word("refusal", found["refusal"], user=user_id, server=server, similar=[], limit=0)
        return escape(self.render(Template(found["template"])).body)

    def word(self, group: Group, key: str | Enum, /, **values: Any) -> Markup:
        """The words for one value of an enumeration, e.g. `word("refusal", "server_admin", user=…)`.

        Args:
            group: a file in `texts/en/words/`.
            key: the name of a block in it; a `-` in it is a `_` there.

        Raises:
            KeyError: there are none; a test holds the words to the code's enumerations.
        """
        name = str(key.value if isinstance(key, Enum) else key).replace("-", "_")
        try:
            template = self._environment.get_template(f"words/{group}.html")
        except TemplateNotFound as error:
            raise KeyError(group) from error
        shown = "".join(template.blocks[name](template.new_context(values)))
        return Markup(shown.strip())  # noqa: S704 - rendered with autoescape

    def words(self, group: Group) -> frozenset[str]:
        """The keys of a group, each with `_` for `-`."""
        return frozenset(self._environment.get_template(f"words/{group}.html").blocks)

    def render(self, template: Template, /, **values: Any) -> Text:
        """Renders a template.

        Raises:
            jinja2.TemplateError: no such template, or a value that it needs is missing.
        """
        html = self._environment.get_template(f"{template}.html").render(**values)
        html = re.sub(r"\s*\n\s*", "\n", html).strip()
        html = re.sub(r">\n<", "><", html)  # a space within a line is one that people read: `</b> <code>`
        text, shown = Text(plain(html), html), 1.0
        while _size(text) > BODY_LIMIT:
            # Rather a cut plain text than a message that no server takes.
            shown *= 0.8
            body = plain(html)[: int(BODY_LIMIT * shown)] + "…"
            text = Text(body, str(escape(body)).replace("\n", "<br>"))
        return text

    def page(self, page: Page, /, **values: Any) -> str:
        """Renders a page for browsers, as whole HTML. Raises: as `render`."""
        return self._environment.get_template(f"page/{page}.html").render(**values)


_PLAIN = ParserConfig(
    css={**DEFAULT_CSS, **{name: HtmlElement(display=Display.block) for name in ("details", "summary")}}
)
"""What HTML looks like as plain text. What clients fold stands on lines of its own."""


@cache
def languages() -> tuple[str, ...]:
    """The languages that there are, as their folders are called."""
    return known_languages(FOLDER / "locale", SOURCE)


@cache
def language_called(typed: str) -> str | None:
    """The language that somebody means: by its code, or by its name in any of the languages; None for another."""
    wanted = typed.strip().casefold().replace("-", "_")
    for language in languages():
        names = {language, *(called(language, speaker).casefold() for speaker in languages())}
        if wanted in names or wanted.partition("_")[0] == language:
            return language
    return None


def called(language: str, speaker: str) -> str:
    """What a language is called in another, or in itself."""
    return str(Locale.parse(language).get_display_name(speaker))


def own_reason(what: Template | Refusal) -> str:
    """A reason of ours for the end of a request, which everybody reads in their own language: see `Texts.reason`."""
    return f"our words: {'refusal.' if isinstance(what, Refusal) else ''}{what.value}"


_REASONS = (Template.CONFIRMER_GONE, Template.OWN_THIRD_PERSON)
_OURS = re.compile(f"our words: (refusal\\.(?P<refusal>{'|'.join(Refusal)})|(?P<template>{'|'.join(_REASONS)}))")


def is_own_reason(because: str) -> bool:
    """Whether `own_reason` made it."""
    return _OURS.fullmatch(because) is not None


@cache
def texts_in(language: str, prefix: str) -> Texts:
    """The texts of a language; the same object for the same arguments. Raises: UnknownLanguage."""
    return Texts(language, prefix)


def _size(text: Text) -> int:
    return len(json.dumps([text.body, text.formatted_body]))


def plain(html: str) -> str:
    """The same message as plain text, for clients that show `body`, and for notifications."""
    lines = get_text(html, _PLAIN).splitlines()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    if isinstance(value, Enum):
        return value.value
    return clean(value) if isinstance(value, str) else value


def _isolated(value: str) -> Markup:
    return Markup("\u2068{}\u2069").format(value)


def _listed(formats: Formats, values: Iterable[Any]) -> Markup:
    """One after the other, with commas or what the language has for them."""
    return formats.listed([_finalize(value) for value in values])


def _code(value: str) -> Markup:
    return Markup("<code>{}</code>").format(clean(value))


def _linked(address: str) -> Markup:
    """An address of ours that can be clicked, and read whole."""
    return Markup('<a href="{0}">{0}</a>').format(address)


def _quoted(value: str) -> Markup:
    """A room's name among others."""
    return Markup("“{}”").format(clean(value, _SHORT_LIMIT))


def _short(value: str) -> Markup:
    """A name in a list of many."""
    return escape(clean(value, _SHORT_LIMIT))


def _whole(value: str) -> Markup:
    """What a person wrote or a program said, in full: a reason, a cause."""
    return escape(clean(value, _WHOLE_LIMIT))


def _sentence(value: str) -> str:
    """With a full stop at its end, and one only."""
    return value if value.endswith((".", "!", "?", "…")) else value + "."
