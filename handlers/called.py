"""The bot's own name at the beginning of a message: `Lethe: …`, `@lethe …`, a link; and the prefix of commands."""

from __future__ import annotations

from dataclasses import dataclass

from handlers.links import MARKDOWN_LINK, Link, LinkKind, parse_link
from removal.ids import FULL_WIDTH

BLANKS = " \t\r\n\u00a0\u200b\u200e\u200f\u202f\u2060\u2066\u2067\u2068\u2069\u3000\ufeff"
MARKS = ":,;：，、–—-"


@dataclass(frozen=True, slots=True)
class Called:
    """What the bot goes by where somebody addresses it: its Matrix ID, and further names."""

    user_id: str = ""
    names: tuple[str, ...] = ()


def after_address(text: str, called: Called, prefix: str) -> str | None:
    """What follows the bot's name at the beginning of a text, None where the text doesn't begin with it.

    The name may be the Matrix ID, its localpart, a display name or a link, with `@` before it and a mark behind it.
    """
    text = text.lstrip(BLANKS)
    markdown = MARKDOWN_LINK.match(text)
    first = markdown.group() if markdown else next(iter(text.split(maxsplit=1)), "").rstrip(MARKS)
    link = parse_link(markdown.group(1) if markdown else first.strip("<>"))
    names = [first] if link == Link(LinkKind.USER, called.user_id) else []
    names += sorted({called.user_id, *called.names} - {""}, key=len, reverse=True)
    for name in names:
        for spelled in (name, f"@{name}"):
            if text[: len(spelled)].lower() != spelled.lower():
                continue
            rest = text[len(spelled) :].lstrip(BLANKS)
            mark = rest[:1] if rest[:1] and rest[:1] in MARKS else ""
            blank = len(rest) < len(text) - len(spelled)
            rest = rest[len(mark) :]
            # Without a blank it's another name that begins alike, or a Matrix ID of another server.
            if rest and (rest[0] in BLANKS or (blank and not mark) or begins(rest, prefix[:1])):
                return rest.lstrip(BLANKS)
    return None


def begins(text: str, prefix: str) -> bool:
    """Whether a text begins with the prefix of commands, in whatever width and case it is written."""
    return bool(text) and usual_width(text[: len(prefix)]).lower() == prefix.lower()


def usual_width(text: str) -> str:
    """With full-width letters and marks, as some keyboards write them, in their usual width."""
    return text.translate(FULL_WIDTH)
