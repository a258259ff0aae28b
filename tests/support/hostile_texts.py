"""Strangers' texts at their worst, and what a message must be whatever they are."""

from __future__ import annotations

import json
import re
import unicodedata
from html.parser import HTMLParser

from texts import BODY_LIMIT, Text

LOCALPART = ("<u>&\"'`*_~{{1234*1000}}[x](y)</u>" * 9)[: 255 - len("@:example.org")]
HOSTILE_ID = f"@{LOCALPART}:example.org"
"""A Matrix ID of 255 bytes: historical localparts may hold any printable ASCII but the colon."""

HOSTILE = {
    "html": '<u>x</u><script>x</script><img src=x onerror="x"></code></p></li></ul><!-- <![CDATA[ &lt;u&gt;',
    "markdown": "**x** [link](https://evil.example) `code` ~~s~~ \\# > - 1. ||spoiler||",
    "template": "{{ 1234*1000 }} {% for x in y %} {# #}",
    "direction": "\u202etxt.exe\u202c \u2066\u2067\u2068\u2069 \u200e\u200f\u061c مرحبا",
    "lines": "first\nsecond\r\nsecond\x85second\u2028second\u2029second\x0bsecond\x0csecond",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x9b[31m\u200b\u2060\ufeff\u00ad\U000e0041\ue000\ufff9",
    "halves": "\ud800 \udfff x",
    "unseen": "\u3164\u115f\u1160\uffa0\u2800\u034f\u180b\ufe00\U000e0100a\u200db\ufe0f",
    "marks": "a" + "\u0301" * 1_000,
    "long": "x" * 60_000,
    "long lines": "first" + "\nsecond" * 10_000,
    "long emoji": "🙂" * 15_000,
    "long quotes": "\"'&<>" * 12_000,
    "spaces": " \u00a0\u2003\u3000 ",
    "mention": "@room https://matrix.to/#/@moderator:example.org",
    "one": "x",
}  # fmt: skip

ALLOWED = {"p", "b", "ul", "ol", "li", "code", "br", "a", "details", "summary", "span"}
"""The elements that our own texts use; all stand in the specification's list for `org.matrix.custom.html`."""
ATTRIBUTES = {
    ("a", "href"): r"https://(matrix\.to/#/|leave\.example\.org/link/).*",
    ("span", "data-mx-color"): "#[0-9a-f]{6}",
}
"""Their attributes, and what each may hold."""
_TAG = r"</?[a-z]+(?: (?:href|data-mx-color)=\"[^\"<>]*\")?>"


class _Reader(HTMLParser):
    """Notes what a client would make of a message."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            self.problems.append(f"<{tag}>")
        for name, value in attrs:
            if not re.fullmatch(ATTRIBUTES.get((tag, name), "(?!)"), str(value)):
                self.problems.append(f"{name}={value}")
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.problems.append(f"comment {data}")

    def handle_decl(self, decl: str) -> None:
        self.problems.append(f"declaration {decl}")

    def handle_pi(self, data: str) -> None:
        self.problems.append(f"instruction {data}")

    def unknown_decl(self, data: str) -> None:
        self.problems.append(f"declaration {data}")


def problems(text: Text) -> list[str]:
    """What is wrong with a message, whoever's words are in it; nothing, for a good one."""
    reader = _Reader()
    reader.feed(text.formatted_body)
    reader.close()
    found = reader.problems + [f"never closed: {tag}" for tag in reader.open]
    if re.search("[<>]", re.sub(_TAG, "", text.formatted_body)):
        found.append("a bare < or >")
    for shown in (text.body, text.formatted_body):
        found += [f"unseen: U+{ord(char):04X}" for char in set(shown) if char != "\n" and _unseen(char, shown)]
        if "1234000" in shown:
            found.append("a value was taken for a template")
    if any(line.strip().startswith("second") for line in text.body.splitlines()):
        found.append("a value made a line of its own")
    if not text.body.strip():
        found.append("nothing to read")
    if len(json.dumps([text.body, text.formatted_body])) > BODY_LIMIT:
        found.append("too large")
    return found


def _unseen(char: str, shown: str) -> bool:
    if char in "\u200d\ufe0f":  # these hold emoji together, and stand nowhere else
        return re.search(rf"(?<![\u2190-\u2bff\U0001f000-\U0001faff\ufe0f]){char}", shown) is not None
    return (
        unicodedata.category(char)[0] == "C" or char in "\u2028\u2029\u3164\u115f\u1160\uffa0\u2800\u034f\u180b\ufe00"
    )
