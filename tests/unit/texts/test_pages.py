"""The pages for browsers: whole HTML whatever strangers are called, with nothing that a browser would run or load."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from markupsafe import escape

from homeserver.client.person import Offer, Provider
from removal.facts import Facts
from removal.plan import Kind
from removal.protection import Refusal
from tests.support.hostile_texts import HOSTILE, HOSTILE_ID
from tests.support.made_requests import NOW
from tests.unit.texts.test_texts import requests_with
from texts import FOLDER, Page, Texts

TEXTS = Texts()
VOID = {"meta", "link", "input", "br"}
ALLOWED = VOID | {
    "html", "head", "title", "body", "header", "main", "h1", "h2", "p", "b", "code", "ul", "li", "a", "span", "form",
    "button", "label", "fieldset", "legend", "details", "summary",
}  # fmt: skip

Values = dict[str, Any]


def offers(h: str) -> list[Offer]:
    """Each way that a homeserver may offer."""
    providers = (Provider("", ""), Provider("oidc-x", h))
    return [Offer(password, found) for password in (True, False) for found in ((), providers)]


CASES: dict[Page, Callable[[str], list[Values]]] = {
    Page.START: lambda h: [{}],
    Page.LINK: lambda h: [{"user": HOSTILE_ID, "secret": "x" * 43}],
    Page.LOG_IN: lambda h: [{"offer": offer, "expected": who} for offer in offers(h) for who in (None, HOSTILE_ID)],
    Page.WAIT: lambda h: [{"until_ts": NOW, "wait_ms": 61_000}],
    Page.OPTIONS: lambda h: [
        {"user": HOSTILE_ID, "facts": Facts(media=media), "asked": asked}
        for media in (0, 1, 7)
        for asked in (None, ("erase", "media"), ("media",))
    ],
    Page.CONFIRM: lambda h: [{"r": r, "shown": "x" * 64, "mail": True} for r in requests_with(h, Kind.OWN)],
    Page.STATUS: lambda h: [
        {"r": r, "can_cancel": yes, "mail": True, "wanted": yes}
        for r in requests_with(h, Kind.OWN)
        for yes in (True, False)
    ],
    Page.PROBLEM: lambda h: [
        *({"what": what, "values": words(h)} for what in TEXTS.words("page_problem")),
        *({"what": "refused", "values": {**words(h), "refusal": refusal}} for refusal in Refusal),
    ],
}


def words(h: str) -> Values:
    """All that the words of a problem may need."""
    return {"user": HOSTILE_ID, "expected": HOSTILE_ID, "server": h, "incident": h, "similar": [], "limit": 3}


class Reader(HTMLParser):
    """Notes what a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.problems: list[str] = []
        self.headings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            self.problems.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.problems.append(f"{name}={value}")
            if name in ("href", "action", "src") and not str(value).startswith("/page/"):
                self.problems.append(f"{name}={value}")
        self.headings += tag == "h1"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.problems.append(f"comment {data}")


def rendered(page: Page, **values: Any) -> str:
    """A page below a path of its own."""
    return TEXTS.page(
        page, path=lambda path: escape(f"/page{path}"), server="example.org", csrf="c" * 64, back="/", **values
    )


def test_every_page_is_a_file_and_has_its_case() -> None:
    """A page that is added is rendered here too, or this fails."""
    files = {path.stem for path in (FOLDER / "en" / "page").glob("*.html") if not path.stem.startswith("_")}
    assert {str(page) for page in Page} == files == {str(page) for page in CASES}


@pytest.mark.parametrize("h", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("page", Page)
def test_no_text_gets_out_of_its_place_on_a_page(page: Page, h: str) -> None:
    """Whatever strangers are called: only elements of ours, all closed, no script, no style, no address elsewhere."""
    for values in CASES[page](h):
        reader = Reader()
        html = rendered(page, **values)
        reader.feed(html)
        reader.close()
        assert (reader.problems, reader.open, reader.headings) == ([], [], 1)
        assert "1234000" not in html  # a value was taken for a template


def test_a_page_says_its_language_and_direction() -> None:
    """For screen readers, and for languages that are written from right to left."""
    assert '<html lang="en" dir="ltr">' in rendered(Page.START)


def test_what_must_be_chosen_is_asked_and_nothing_else() -> None:
    """Files are asked about where there are some; what the chat has asked already isn't asked again."""
    asked = {
        (media, questions): ["asked_erase" in html, "asked_media" in html]
        for media in (0, 1)
        for questions in (None, ("media",))
        for html in [rendered(Page.OPTIONS, user=HOSTILE_ID, facts=Facts(media=media), asked=questions)]
    }
    assert asked == {
        (0, None): [True, False],
        (1, None): [True, True],
        (0, ("media",)): [False, True],
        (1, ("media",)): [False, True],
    }
