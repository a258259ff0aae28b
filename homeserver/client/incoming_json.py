"""Reads the JSON that a homeserver sends, so that every text in it can be stored, printed and sent.

JSON may hold halves of surrogate pairs (`"\\ud800"`), which no UTF-8 has: writing one to the database, the log or an
address raises. Whoever may put a text into an event or a room's state could stop the bot with it, and to drop the
whole answer would hide everybody else's events. So each half becomes U+FFFD, the sign for what can't be read; nothing
is left out, so that nothing seems to be gone that is there.

This doesn't make two identifiers equal: no Matrix ID, event id or server name holds U+FFFD, so that a changed one can
only be confused with another broken one. Where a key is changed into one that is there already, that one stays.
"""

from __future__ import annotations

import json
import re
from typing import Any

UNREADABLE = "\ufffd"
_HALF = re.compile("[\ud800-\udfff]")
# Where a half can come from: its escape, its bytes, or an encoding other than UTF-8. Homeservers seldom write either.
_SUSPECT = re.compile(rb"\\u[dD]|\xed[\xa0-\xbf]|\x00|^\xff|^\xfe")
_INTEGER_DIGITS = 300


def decode(raw: bytes) -> Any:
    """What the JSON says.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    value = json.loads(raw, parse_int=_integer)
    return mended(value) if _SUSPECT.search(raw) else value


def _integer(digits: str) -> int | float:
    """Python refuses integers of thousands of digits; old room versions allow them, and one must not hide a room."""
    return int(digits) if len(digits) <= _INTEGER_DIGITS else float(digits)


def mended(value: Any) -> Any:
    """The same with U+FFFD for every half of a surrogate pair; lists and objects are altered in place."""
    around = [value]
    waiting: list[Any] = [around]  # not by recursion: no nesting is too deep
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            broken = [key for key in each if _HALF.search(key)]
            for key in broken:
                held = each.pop(key)
                each.setdefault(_HALF.sub(UNREADABLE, key), held)
        places: Any = each.items() if isinstance(each, dict) else enumerate(each)
        for place, inner in list(places):
            if isinstance(inner, str):
                each[place] = _HALF.sub(UNREADABLE, inner)
            elif isinstance(inner, dict | list):
                waiting.append(inner)
    return around[0]
