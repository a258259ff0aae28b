"""Links to people, rooms and events: matrix.to addresses and `matrix:` URIs.

Sources: Matrix specification, appendices, "matrix.to navigation" and "Matrix URI scheme".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from removal.ids import InvalidUserID, UserID

MARKDOWN_LINK = re.compile(r"\[[^\[\]]*\]\(<?([^()<>\s]+)>?\)")
_LINK = re.compile(r"https?://|matrix:", re.IGNORECASE)


class LinkKind(StrEnum):
    """What a link points to."""

    USER = "user"
    ROOM = "room"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Link:
    """A link to something of Matrix. `target` is what it says after decoding: it needn't be a valid id."""

    kind: LinkKind
    target: str


def parse_link(text: str) -> Link | None:
    """Reads a `https://matrix.to/#/…` address or a `matrix:` URI, percent-encoded or not, None where it's neither."""
    text = text.strip()
    if not _LINK.match(text) or len(text) > 2_048 or re.search(r"\s", text):
        return None
    try:
        parts = urlsplit(text)
        if parts.scheme.lower() in ("http", "https") and parts.netloc.lower() in ("matrix.to", "www.matrix.to"):
            if parts.path not in ("", "/") or not parts.fragment.startswith("/"):
                return None
            return _matrix_to(parts.fragment[1:].partition("?")[0])
        if parts.scheme.lower() == "matrix":
            return _matrix_uri(parts.path.lstrip("/") if parts.netloc else parts.path)
    except ValueError:
        return None  # not an address at all, or not UTF-8 once decoded
    return None


def _decode(text: str) -> str:
    return unquote(text, errors="strict")


def _matrix_to(path: str) -> Link | None:
    sigil = _decode(path[:3])[:1]
    if sigil == "@":  # a localpart may hold slashes, and nothing follows a user
        return Link(LinkKind.USER, _decode(path.removesuffix("/")))
    room, _, event = path.partition("/")
    if sigil not in ("!", "#"):
        return None
    return Link(LinkKind.EVENT, _decode(event)) if event else Link(LinkKind.ROOM, _decode(room))


def _matrix_uri(path: str) -> Link | None:
    kind, _, rest = path.partition("/")
    if not rest:
        return None
    match kind:
        case "u" | "user":
            return Link(LinkKind.USER, "@" + _decode(rest))
        case "r" | "room" | "roomid":
            room, _, event = rest.partition("/")
            if event:
                return Link(LinkKind.EVENT, "$" + _decode(event.partition("/")[2]))
            return Link(LinkKind.ROOM, ("!" if kind == "roomid" else "#") + _decode(room))
        case _:
            return None


def named_user(text: str) -> str | None:
    """The full Matrix ID that the first word of a text is or links to, None where it's neither."""
    first = next(iter(text.split(maxsplit=1)), "")
    markdown = MARKDOWN_LINK.match(text)
    link = parse_link(markdown.group(1) if markdown else first.strip("<>"))
    candidate = link.target if link and link.kind is LinkKind.USER else first.rstrip(":,").strip("`")
    try:
        return str(UserID.parse(candidate))
    except InvalidUserID:
        return None
