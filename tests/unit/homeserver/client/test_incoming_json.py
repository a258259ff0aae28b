"""The door for JSON: behind it, every text can be stored, and nothing else is altered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.client.incoming_json import decode

TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@given(JSON, st.booleans())
def test_everything_behind_the_door_can_be_stored(value: Any, escaped: bool) -> None:
    """Halves of surrogate pairs, escaped or as bytes; whatever holds none comes through unaltered."""
    text = json.dumps(value, ensure_ascii=escaped)
    came = decode(text.encode(errors="surrogatepass"))
    json.dumps(came, ensure_ascii=False).encode()
    whole = json.loads(json.dumps(value))  # joins two halves that stand side by side
    try:
        json.dumps(whole, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert came == whole


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (rb'"\ud800"', "\ufffd"),
        (rb'"\uD83D\ude00 \uDE00"', "\U0001f600 \ufffd"),
        (b'"\xed\xa0\x80"', "\ufffd"),
        ('"\ud800"'.encode("utf-16", "surrogatepass"), "\ufffd"),
        (rb'{"replacement_room": "\ud800", "body": "x"}', {"replacement_room": "\ufffd", "body": "x"}),
        (rb'[[["\udfff"]], {"a\ud800": {"b": "\ud800c"}}]', [[["\ufffd"]], {"a\ufffd": {"b": "\ufffdc"}}]),
        (rb'{"a\ud800": 1, "a\ufffd": 2}', {"a\ufffd": 2}),
        (rb'{"a\ufffd": 2, "a\ud800": 1}', {"a\ufffd": 2}),
        (rb'{"@a\ud800:hs.test": 100, "@a:hs.test": 0}', {"@a\ufffd:hs.test": 100, "@a:hs.test": 0}),
        (rb'"\\ud800"', r"\ud800"),
    ],
)
def test_a_half_becomes_unreadable(raw: bytes, expected: Any) -> None:
    """Alone, and nothing around it: no entry is lost, and nobody else's name is taken."""
    assert decode(raw) == expected


def test_no_nesting_is_too_deep() -> None:
    """What could be read can be mended."""
    value = decode(b"[" * 900 + rb'"\ud800"' + b"]" * 900)
    while isinstance(value, list):
        value = value[0]
    assert value == "\ufffd"
