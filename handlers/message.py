"""Reads a message: which words a person wrote, and which people and rooms their links point to.

The content of an event is whatever its sender chose to put there. `read` never raises, takes time in proportion to
the message, and believes nothing but the two texts a client shows: `body` and `formatted_body`. `m.mentions` is never
looked at: in a reply it holds the author replied to.

Why both texts are needed: a pill puts only the display name into `body` (which may hold spaces, options, even another
Matrix ID), while Markdown takes underscores and stars out of a typed Matrix ID in `formatted_body`. So where
`formatted_body` links people or rooms it is read, each link being one word; otherwise `body` is. Where the two texts
name different accounts at the same place, the word is marked and nobody becomes a target.

Sources: Matrix specification, client-server API, "m.room.message", "Rich replies", "Event replacements"; appendices,
"matrix.to navigation" and "Matrix URI scheme".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

from lxml import etree, html

from removal.ids import InvalidUserID, UserID

MAX_HTML = 65_536
"""Characters of `formatted_body` that are read at most: no event is larger. A longer one counts as not there."""

DOUBLE_QUOTES = frozenset('"“”„‟«»″＂')
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
"""The hyphen, and what phones make of two of them."""
SINGLE_QUOTES = frozenset("'‘’‚‛‹›")
_LINK = re.compile(r"https?://|matrix:", re.IGNORECASE)
_COMMAND_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_FALLBACK = re.compile(r"> (?:\* )?<@[^\n>]*>")
# Elements that begin a new line where they're shown, and those that aren't shown at all.
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "caption", "dd", "details", "div", "dl", "dt", "footer", "h1",
     "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table",
     "tbody", "td", "tfoot", "th", "thead", "tr", "ul"}
)  # fmt: skip
_UNSEEN = frozenset(
    {"head", "iframe", "math", "mx-reply", "noscript", "object", "script", "style", "svg", "template", "textarea",
     "title"}
)  # fmt: skip
_MARKDOWN_LINK = re.compile(r"\[[^\[\]]*\]\(<?([^()<>\s]+)>?\)")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What Markdown takes out of a word.
_MARKDOWN = str.maketrans("", "", "_*~`\\")


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


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a message, as it's shown. A link is one word, however long its text; so is quoted text."""

    text: str
    link: Link | None = None
    quoted: bool = False
    quoted_value: bool = False
    """Whether it is something like `--reason="a b"`, whose value ends where the quotation mark closes."""
    conflict: tuple[str, str] | None = None
    """Where the message names two things at this place: what `body` or a link's text says (perhaps nothing), and what
    `formatted_body` does."""


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody wrote. Of an edit, only the command's name is kept: its words can name nobody."""

    command: str | None
    """The command's name in small letters, without the prefix; None where the message is no command."""
    words: tuple[Word, ...]
    """All words, the command's own left out."""
    is_edit: bool = False
    reply_to: str | None = None
    """The event it answers, as it claims."""
    unfinished_quote: bool = False

    @property
    def text(self) -> str:
        """The words in one line, the command's own left out."""
        return " ".join(word.text for word in self.words)


def read(content: dict[str, Any], prefix: str) -> Message | None:
    """Reads the content of an `m.room.message`.

    Args:
        content: the event's content, of any shape.
        prefix: what a command begins with, such as `!`.

    Returns:
        None where it's no text that somebody wrote: notices, emotes, files, content without a body.
    """
    relation = content.get("m.relates_to")
    relation = relation if isinstance(relation, dict) else {}
    if relation.get("rel_type") == "m.replace" or "m.new_content" in content:
        edited = content.get("m.new_content")
        inner = _read_text(edited, prefix, is_reply=False) if isinstance(edited, dict) else None
        return (
            Message(inner.command if inner else None, (), is_edit=True) if content.get("msgtype") == "m.text" else None
        )
    answered = relation.get("m.in_reply_to")
    reply_to = answered.get("event_id") if isinstance(answered, dict) else None
    message = _read_text(content, prefix, is_reply=answered is not None)
    if message is None or not isinstance(reply_to, str) or _SURROGATE.search(reply_to):
        return message
    return Message(message.command, message.words, reply_to=reply_to, unfinished_quote=message.unfinished_quote)


def _read_text(content: dict[str, Any], prefix: str, *, is_reply: bool) -> Message | None:
    body = content.get("body")
    if content.get("msgtype") != "m.text" or not isinstance(body, str):
        return None
    body = _whole(body)
    if is_reply or _FALLBACK.match(body):
        body = _without_fallback(body)
    plain = _message([body], prefix)
    formatted = content.get("formatted_body")
    if content.get("format") != "org.matrix.custom.html" or not isinstance(formatted, str):
        return plain
    pieces = _read_html(_whole(formatted))
    if not any(isinstance(piece, _Anchor) and piece.link.kind is not LinkKind.EVENT for piece in pieces):
        return plain
    rich = _message(_compare(pieces, body), prefix)
    if rich.command != plain.command:
        return Message(None, rich.words)  # people with different clients would read different commands
    return Message(rich.command, _repair(rich.words, body), unfinished_quote=rich.unfinished_quote)


def _whole(text: str) -> str:
    """The text with halves of surrogate pairs, which can't be stored or sent, shown as unreadable."""
    return _SURROGATE.sub("\ufffd", text)


def _without_fallback(body: str) -> str:
    """The body of a reply without the quoted lines in front of it."""
    lines = body.split("\n")
    first = next((number for number, line in enumerate(lines) if not line.startswith(">")), len(lines))
    if first and first < len(lines) and not lines[first].strip():
        first += 1
    return "\n".join(lines[first:])


# --- links -----------------------------------------------------------------------------------------------------------


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
    markdown = _MARKDOWN_LINK.match(text)
    link = parse_link(markdown.group(1) if markdown else first.strip("<>"))
    candidate = link.target if link and link.kind is LinkKind.USER else first.rstrip(":,").strip("`")
    try:
        return str(UserID.parse(candidate))
    except InvalidUserID:
        return None


# --- formatted_body --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A link in `formatted_body`, with the text that is shown for it."""

    link: Link
    text: str
    conflict: tuple[str, str] | None = None


_Piece = str | _Anchor


def _read_html(text: str) -> list[_Piece]:
    """What is shown of `formatted_body`: runs of text and links, in order. Empty where it can't be read."""
    if len(text) > MAX_HTML:
        return []
    # lxml refuses control characters.
    text = "".join(" " if unicodedata.category(char) == "Cc" else char for char in text)
    parser = html.HTMLParser(remove_comments=True, remove_pis=True)
    try:
        root = html.fragment_fromstring(text, create_parent="div", parser=parser)
    except (etree.LxmlError, ValueError, AssertionError):
        return []
    return list(_shown(root))


def _shown(root: html.HtmlElement) -> Iterator[_Piece]:
    # Walked by a loop of its own, so that no nesting is too deep for it.
    unseen = 0
    anchor: tuple[html.HtmlElement, Link] | None = None
    inside: list[str] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        new_line = "\n" if tag in _BLOCKS else ""
        if event == "start":
            unseen += tag in _UNSEEN
            link = parse_link(element.get("href") or "") if tag == "a" and anchor is None and not unseen else None
            if link is not None:
                anchor, inside = (element, link), []
            said = new_line + (element.text or "")
        else:
            unseen -= tag in _UNSEEN
            if anchor is not None and anchor[0] is element:
                yield _Anchor(anchor[1], " ".join("".join(inside).split()))
                anchor = None
            said = new_line + (element.tail or "")
        if said and not unseen:
            if anchor is None:
                yield said
            else:
                inside.append(said)


def _compare(pieces: list[_Piece], body: str) -> list[_Piece]:
    """Marks the links to people that are shown as somebody else, in their own text or in `body` at the same place."""
    flat = " ".join(body.split())
    targets = {piece.link.target for piece in pieces if isinstance(piece, _Anchor)}
    others = [name for name in map(named_user, flat.split()) if name is not None and name not in targets]
    position, run, first = 0, "", True
    marked: list[_Piece] = []
    for piece in pieces:
        if isinstance(piece, str):
            run += piece
            marked.append(piece)
            continue
        run = " ".join(run.split())
        found = (0 if flat.startswith(run) else -1) if first else flat.find(run, position)
        if found >= 0:
            position = found + len(run)
            named = named_user(flat[position : position + 2_048].lstrip())
        else:  # the texts differ before this link: whoever body names beside the links may be meant here
            named = others[0] if others else None
        run, first = "", False
        people = (named_user(piece.text), named) if piece.link.kind is LinkKind.USER else ()
        other = next((name for name in people if name is not None and name != piece.link.target), None)
        marked.append(_Anchor(piece.link, piece.text, (other, piece.link.target) if other else None))
    return marked


def _repair(words: tuple[Word, ...], body: str) -> tuple[Word, ...]:
    """Gives typed ids back what Markdown took out of them in `formatted_body`; marks those that `body` lacks."""
    typed: dict[str, set[str]] = {}
    for word in _split([body])[0]:
        typed.setdefault(word.text.translate(_MARKDOWN), set()).add(word.text)
    repaired = []
    for word in words:
        candidates = typed.get(word.text.translate(_MARKDOWN), set())
        if word.link is not None or word.quoted or word.text[:1] not in ("@", "#", "!") or word.text in candidates:
            repaired.append(word)
        elif len(candidates) == 1:
            repaired.append(Word(next(iter(candidates))))
        else:
            repaired.append(Word(word.text, conflict=(" ".join(sorted(candidates)), word.text)))
    return tuple(repaired)


# --- words -----------------------------------------------------------------------------------------------------------


def _message(pieces: list[_Piece], prefix: str) -> Message:
    words, unfinished = _split(pieces)
    if words and words[0].link is None and not words[0].quoted and _begins(words[0].text, prefix):
        name = words[0].text[len(prefix) :].lower()
        if _COMMAND_NAME.fullmatch(name):
            return Message(name, tuple(words[1:]), unfinished_quote=unfinished)
    return Message(None, tuple(words))


def _begins(text: str, prefix: str) -> bool:
    return text[: len(prefix)].lower() == prefix.lower()


def _split(pieces: list[_Piece]) -> tuple[list[Word], bool]:
    """Cuts a message into words. Returns them, and whether a quotation mark was opened and never closed.

    A quotation mark opens where a word begins (or after `--option=`) and closes where one ends, so that the ones in
    `don't` and `5"` are letters. A single one that nothing closes is a letter too.
    """
    atoms: list[str | _Anchor] = [atom for piece in pieces for atom in (piece if isinstance(piece, str) else [piece])]
    closes = {quotes: _closing(atoms, quotes) for quotes in (DOUBLE_QUOTES, SINGLE_QUOTES)}
    words: list[Word] = []
    unfinished = False
    at = 0
    while at < len(atoms):
        atom = atoms[at]
        if isinstance(atom, _Anchor):
            words.append(Word(atom.text, atom.link, conflict=atom.conflict))
            at += 1
            if at < len(atoms) and atoms[at] in (":", ",") and _ends_word(atoms, at + 1):
                at += 1  # clients put these behind a pill
            continue
        if atom.isspace():
            at += 1
            continue
        text, quoted = "", False
        opened = atom in DOUBLE_QUOTES or atom in SINGLE_QUOTES
        while at < len(atoms):
            atom = atoms[at]
            if isinstance(atom, _Anchor) or atom.isspace():
                break
            quotes = next((quotes for quotes in closes if atom in quotes), None)
            if quotes and not quoted and (not text or (text.endswith("=") and text[0] in DASHES)):
                end = closes[quotes][at + 1]
                if end is not None:
                    text += "".join(inner if isinstance(inner, str) else inner.text for inner in atoms[at + 1 : end])
                    at, quoted = end + 1, True
                    continue
                unfinished = unfinished or quotes is DOUBLE_QUOTES
            text += atom
            at += 1
        if quoted or not all(unicodedata.category(char) == "Cf" for char in text):
            link = None if quoted else parse_link(text.strip("<>"))
            words.append(Word(" ".join(text.split()), link, quoted and opened, quoted and not opened))
    return words, unfinished


def _closing(atoms: list[str | _Anchor], quotes: frozenset[str]) -> list[int | None]:
    """For each place the next one, it included, where such a quotation mark closes. One pass, from the end."""
    following: list[int | None] = [None] * (len(atoms) + 1)
    for at in range(len(atoms) - 1, -1, -1):
        closing = atoms[at] in quotes and (_ends_word(atoms, at + 1) or atoms[at + 1] in (".", ",", ";", ":", "!", "?"))
        following[at] = at if closing else following[at + 1]
    return following


def _ends_word(atoms: list[str | _Anchor], at: int) -> bool:
    atom = atoms[at] if at < len(atoms) else " "
    return isinstance(atom, str) and atom.isspace()
