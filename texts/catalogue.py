"""The translations of one language: a gettext catalogue, read as translators save it."""

from __future__ import annotations

import io
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

DOMAIN = "lethe"
"""The name of the catalogues: `locale/<language>/LC_MESSAGES/lethe.po`, and `locale/lethe.pot`, what to translate."""
_CONVENTIONS = {"en": "en_GB"}
"""Whose dates and numbers a language has that is spoken in several countries: these read alike everywhere."""


class UnknownLanguage(ValueError):
    """There are no texts in this language. `str()` names the setting and what would be right."""


def known_languages(folder: Path, source: str) -> tuple[str, ...]:
    """Every language that has a catalogue, and the templates' own."""
    return tuple(sorted({source, *(path.parts[-3] for path in folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))}))


class Catalogue:
    """The sentences of one language. What isn't translated stays in English."""

    def __init__(self, folder: Path, language: str, source: str) -> None:
        """
        Args:
            folder: where the catalogues are.
            language: as its folder is called, e.g. `de` or `pt_BR`.
            source: the language of the templates, which needs no catalogue.

        Raises:
            UnknownLanguage: there is no catalogue for it.
        """
        known = known_languages(folder, source)
        if language not in known:
            raise UnknownLanguage(f"language: got {language!r}; there are: {', '.join(known)}")
        self.locale = Locale.parse(_CONVENTIONS.get(language, language))
        self._translations = NullTranslations()
        if language != source:
            with (folder / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
                catalog = read_po(file, locale=language, domain=DOMAIN)
            compiled = io.BytesIO()
            write_mo(compiled, catalog)
            compiled.seek(0)
            self._translations = Translations(compiled, domain=DOMAIN)

    def gettext(self, message: str) -> str:
        """The translation of a sentence."""
        return self._translations.gettext(message)

    def ngettext(self, singular: str, plural: str, count: int) -> str:
        """The translation of a sentence in the form that goes with a number."""
        return self._translations.ngettext(singular, plural, count)
