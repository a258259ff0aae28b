"""What is said to people about what goes and what stays: every sentence of it, in every language, under one key.

The key is the English sentence, as the proofs in tests/synapse/direct/test_claims.py have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from lxml import html

from removal.facts import Facts
from removal.plan import ALL_ROOMS, Media, Options
from tests.support.made_requests import moderation, own
from texts import Template, Texts, texts_in


def claims(language: str = "en") -> dict[str, set[str]]:
    """Key → what is said for it in this language: everything that stands in a list of the explanation or the prompt,
    for all plans that there are."""
    english, texts = texts_in("en", "!"), texts_in(language, "!")
    found: dict[str, set[str]] = {}
    for keys, said in zip(_lists(english), _lists(texts), strict=True):
        assert len(keys) == len(said), (keys, said)
        for key, sentence in zip(keys, said, strict=True):
            found.setdefault(key, set()).add(sentence)
    return found


def _lists(texts: Texts) -> Iterator[list[str]]:
    for erase, redact, media, sso, handover in product(
        (True, False), (True, False), Media, (True, False), (True, False)
    ):
        options = Options(erase, redact, media, sso, ((ALL_ROOMS, "@heir:example.org"),) if handover else ())
        for files, providers in ((0, ()), (7, ("oidc",))):
            facts = Facts(media=files, sso_providers=providers)
            if media is not Media.QUARANTINE:
                person = replace(own(), options=options, facts=facts)
                notice = texts.render(Template.OWN_OUTCOME, r=person, what="departure", changed=())
                yield _items(notice.formatted_body)
            prompt = texts.render(Template.CARD, r=replace(moderation(), options=options, facts=facts)).formatted_body
            # The lists of what happens and what stays stand behind the question.
            yield _items(prompt)


def _items(formatted_body: str) -> list[str]:
    items = html.fromstring(f"<div>{formatted_body}</div>").iter("li")
    sentences = (" ".join("".join(map(str, item.itertext())).split()) for item in items)
    return [sentence.replace(own().target_id, "ID") for sentence in sentences]
