"""Writes what translators work on: `python -m docs.generate` does it, or `python -m docs.messages` alone.

Collects the sentences of texts/ into texts/locale/lethe.pot and brings each language's lethe.po up to date with it, as
Weblate and other gettext tools read them. A test fails where the .pot differs from what this makes.
"""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from texts import FOLDER

LOCALE = FOLDER / "locale"
TEMPLATE = LOCALE / "lethe.pot"
_LEFT_OUT = tuple(
    f'"{name}:' for name in ("POT-Creation-Date", "Generated-By", "Project-Id-Version", "Report-Msgid-Bugs-To")
)
_METHODS = [("en/**.html", "jinja2"), ("*.py", "python")]
_OPTIONS = {"en/**.html": {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}}


def catalog() -> Catalog:
    """All the sentences there are, each with the files where it stands."""
    found = Catalog(header_comment="# What Lethe says. The sentences stand in texts/; docs/contributing.md says how.")
    for file, _, message, comments, context in extract_from_dir(
        FOLDER, _METHODS, _OPTIONS, comment_tags=("Translators:",), strip_comment_tags=True
    ):
        found.add(message, locations=[(file, 0)], auto_comments=comments, context=context)
    return found


def pot() -> str:
    """The file that translations begin from. Without dates and line numbers it changes only with a sentence."""
    return _written(catalog())


def _written(found: Catalog) -> str:
    file = io.BytesIO()
    write_po(file, found, width=120, include_lineno=False, sort_output=True)
    lines = file.getvalue().decode().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_LEFT_OUT))


def update(path: Path) -> None:
    """Adds new sentences to a language's catalogue, and marks the ones that changed as fuzzy."""
    with path.open("rb") as file:
        translated = read_po(file, locale=path.parts[-3])
    translated.update(catalog(), no_fuzzy_matching=False)
    path.write_text(_written(translated), encoding="utf-8")


def main() -> None:
    """Writes all of them."""
    LOCALE.mkdir(exist_ok=True)
    TEMPLATE.write_text(pot(), encoding="utf-8")
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/lethe.po")):
        update(path)


if __name__ == "__main__":
    main()
