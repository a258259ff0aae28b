"""The languages: which there are, what is promised in each, and one that nobody speaks, written from right to left."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from babel.messages.pofile import read_po, write_po

from docs.messages import catalog
from handlers.direct.commands import for_direct_messages
from removal.protection import Refusal
from tests.support.claims import claims
from tests.support.made_requests import LEAVER, own
from tests.unit.texts.test_lengths import PROMPT, shown
from tests.unit.texts.test_texts import CASES
from texts import (
    BODY_LIMIT,
    FOLDER,
    Template,
    Texts,
    language_called,
    languages,
    own_reason,
    texts_in,
)
from texts.catalogue import Catalogue

OTHERS = [language for language in languages() if language != "en"]
LETTERS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "אבגדהוזחטיכלמנסעפצקרשתםןףץ")
FSI, PDI = "\u2068", "\u2069"


@pytest.mark.parametrize("language", OTHERS)
def test_each_language_promises_the_same(language: str) -> None:
    """Every sentence of what goes and what stays has its translation, each its own and always the same; the key is the
    one that the proofs have (tests/synapse/direct/test_claims.py)."""
    said = claims(language)
    assert set(said) == set(claims())
    assert all(len(each) == 1 for each in said.values()), said
    translations = [sentence for each in said.values() for sentence in each]
    assert len(set(translations)) == len(translations)
    assert not set(translations) & set(said)  # none is left in English


def test_a_legal_sentence_that_is_only_guessed_stays_english(tmp_path: Path) -> None:
    """Weblate marks a translation as fuzzy when its English changed: what was true of the old sentence isn't said of
    the new one. `test_every_message_is_translated` fails then."""
    sentence = "Your messages are redacted."
    path = tmp_path / "de" / "LC_MESSAGES" / "lethe.po"
    shutil.copytree(FOLDER / "locale" / "de", tmp_path / "de")
    with path.open("rb") as file:
        translated = read_po(file, locale="de")
    assert Catalogue(tmp_path, "de", "en").gettext(sentence) != sentence
    message = translated.get(sentence)
    assert message is not None
    message.flags.add("fuzzy")
    with path.open("wb") as out:
        write_po(out, translated)
    assert Catalogue(tmp_path, "de", "en").gettext(sentence) == sentence


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("de", "de"), ("Deutsch", "de"), ("german", "de"), ("ALLEMAND", "de"), ("de-AT", "de"), ("pt", None), ("", None)],
)
def test_a_language_is_known_by_its_names(typed: str, meant: str | None) -> None:
    """By its code, and by what it's called in each of the languages that there are."""
    assert language_called(typed) == meant


def test_one_without_a_catalogue_is_spoken_in_the_installations_own() -> None:
    """Somebody chose it with an earlier version, or chose none."""
    german = texts_in("de", "?")
    assert german.speaking("xx") is german
    assert german.speaking(None) is german
    assert "?language" in german.speaking("fr").render(Template.OWN_GREETING).body


@pytest.mark.parametrize("reason", [*Refusal, Template.OWN_THIRD_PERSON, Template.CONFIRMER_GONE])
def test_our_own_reasons_are_read_in_each_language(reason: Template | Refusal) -> None:
    """Never the key; what a person wrote stays as it is, even where it begins like one of ours."""
    stopped = replace(own(), ended_by="@lethe:example.org", ended_because=own_reason(reason))
    read = {
        language: texts_in(language, "!").render(Template.OWN_OUTCOME, r=stopped, what="cancelled").body
        for language in languages()
    }
    assert len(set(read.values())) == len(languages())
    assert not any(own_reason(reason).partition(": ")[2] in body for body in read.values())
    forged = own_reason(reason) + " perhaps"
    assert str(texts_in("en", "!").reason(forged, LEAVER)) == forged


# --- a language from right to left ------------------------------------------------------------------------------------


def pseudo(message: str) -> str:
    """Nearly twice as long, in Hebrew letters; placeholders and markup as they are."""
    parts = re.split(r"(%\(\w+\)s|<[^>]*>|&\w+;)", message)
    kept = [part if number % 2 else part.lower().translate(LETTERS) for number, part in enumerate(parts)]
    return "".join(kept) + " " + "שלום " * (len(message) // 8)


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Texts]:
    """The texts in a catalogue for Hebrew that nobody wrote."""
    folder = tmp_path_factory.mktemp("texts")
    shutil.copytree(FOLDER / "en", folder / "en")
    found = catalog()
    found.locale = "he"
    for message in found:
        if message.id:
            ids = (message.id,) if isinstance(message.id, str) else message.id
            forms = [pseudo(ids[-1])] * found.num_plurals
            message.string = pseudo(ids[0]) if isinstance(message.id, str) else tuple(forms)
    written = io.BytesIO()
    write_po(written, found)
    path = folder / "locale" / "he" / "LC_MESSAGES" / "lethe.po"
    path.parent.mkdir(parents=True)
    path.write_bytes(written.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("texts.FOLDER", folder)
        yield Texts("he")


def test_every_message_can_be_written_from_right_to_left(mirrored: Texts) -> None:
    """Nothing that strangers wrote gets lost, each direction that is turned is turned back, and each fits into an
    event."""
    for template in Template:
        for values in CASES[template]("stranger"):
            shown_, english = mirrored.render(template, **values), texts_in("en", "!").render(template, **values)
            assert len(json.dumps([shown_.body, shown_.formatted_body])) <= BODY_LIMIT
            if shown_.body.endswith("…"):
                continue  # the longest audit: letters beyond ASCII take six bytes each, so it had to be cut
            assert shown_.body.count("stranger") == english.body.count("stranger"), (template, shown_.body)
            assert shown_.body.count(FSI) == shown_.body.count(PDI), template


def test_a_name_keeps_to_itself(mirrored: Texts) -> None:
    """A Matrix ID runs the other way than the sentence: it is isolated, so that the date behind it isn't torn apart."""
    body = mirrored.render(Template.OWN_OUTCOME, r=replace(own(), due_ts=1_700_000_000_000), what="scheduled").body
    assert f"{FSI}{LEAVER}{PDI}" in body


def test_the_page_says_its_direction(mirrored: Texts) -> None:
    """Browsers turn the whole page around."""
    html = mirrored.page("start", path=str, server="example.org", csrf="")  # type: ignore[arg-type]
    assert '<html lang="he" dir="rtl">' in html
    assert '<html lang="de" dir="ltr">' in texts_in("de", "!").page("start", path=str, server="x", csrf="")  # type: ignore[arg-type]


@pytest.mark.parametrize("language", OTHERS)
def test_the_prompt_fits_on_one_screen_in_each_language(language: str) -> None:
    """As in English."""
    prompt = texts_in(language, "!").render(Template.OWN_CARD, r=own(), account_page=None)
    assert shown(prompt) <= PROMPT * 1.25, prompt.body


def test_help_has_the_language() -> None:
    """Whoever can't read the bot finds it there."""
    assert "!language" in str(for_direct_messages("!").by_topic)
