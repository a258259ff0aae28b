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
from dataclasses import dataclass, replace
from typing import Any

from lxml import etree, html

from handlers.called import BLANKS, MARKS, Called, after_address, begins, usual_width
from handlers.links import Link, LinkKind, named_user, parse_link

MAX_HTML = 65_536
"""Characters of `formatted_body` that are read at most: no event is larger. A longer one counts as not there."""

DOUBLE_QUOTES = frozenset('"“”„‟«»″＂')
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
"""The hyphen, and what phones make of two of them."""
SINGLE_QUOTES = frozenset("'‘’‚‛‹›")
FENCE = "```"
"""What a code block begins and ends with."""
_LINE_END = re.compile(r"\r\n|\n|\r")
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
_SURROGATE = re.compile("[\ud800-\udfff]")
# What Markdown takes out of a word.
_MARKDOWN = str.maketrans("", "", "_*~`\\")


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
    bare: tuple[Word, ...] = ()
    """Where the command's name stands without the prefix before it, after the bot's name or a blank: those words. It
    may be no command then."""
    lines: tuple[str, ...] = ()
    """The list under a command, line by line; its lines aren't among the words then."""
    has_file: bool = False
    """Whether this is the caption of a file that was uploaded."""

    def as_talk(self) -> Message:
        """The same, where the bare words are no command's name."""
        return replace(self, command=None, words=() if self.is_edit else self.bare + self.words, bare=())

    @property
    def all_words(self) -> tuple[Word, ...]:
        """The words, those of the list under them too."""
        listed = "\n".join(line for line in self.lines if not line.lstrip().startswith(FENCE))
        return (*self.words, *_split([listed])[0])

    @property
    def text(self) -> str:
        """The words in one line, the command's own left out."""
        return " ".join(word.text for word in self.words)


def read(content: dict[str, Any], prefix: str, called: Called | None = None) -> Message | None:
    """Reads the content of an `m.room.message`.

    Args:
        content: the event's content, of any shape.
        prefix: what a command begins with, such as `!`.
        called: the names under which the bot may be addressed; at the beginning they are left out.

    Returns:
        None where it's no text that somebody wrote: notices, emotes, files without a caption, content without a body.
    """
    has_file = content.get("msgtype") == "m.file"
    if has_file:
        # A caption is the body where the file's name stands beside it ("Media captions").
        if not isinstance(content.get("filename"), str) or content["filename"] == content.get("body"):
            return None
        content = {**content, "msgtype": "m.text"}
    relation = content.get("m.relates_to")
    relation = relation if isinstance(relation, dict) else {}
    if relation.get("rel_type") == "m.replace" or "m.new_content" in content:
        edited = content.get("m.new_content")
        inner = _read_text(edited, prefix, called, is_reply=False) if isinstance(edited, dict) else None
        if content.get("msgtype") != "m.text":
            return None
        return Message(inner.command, (), is_edit=True, bare=inner.bare) if inner else Message(None, (), is_edit=True)
    # Every message in a thread answers another, for clients that know no threads; that one needn't be meant.
    falls_back = relation.get("rel_type") == "m.thread" and relation.get("is_falling_back") is True
    answered = None if falls_back else relation.get("m.in_reply_to")
    reply_to = answered.get("event_id") if isinstance(answered, dict) else None
    message = _read_text(content, prefix, called, is_reply=answered is not None)
    if message is None:
        return None
    known = isinstance(reply_to, str) and not _SURROGATE.search(reply_to)
    return replace(message, reply_to=reply_to if known else None, has_file=has_file)


def _read_text(content: dict[str, Any], prefix: str, called: Called | None, *, is_reply: bool) -> Message | None:
    body = content.get("body")
    if content.get("msgtype") != "m.text" or not isinstance(body, str):
        return None
    body = _whole(body)
    if is_reply or _FALLBACK.match(body):
        body = _without_fallback(body)
    formatted = content.get("formatted_body")
    has_html = content.get("format") == "org.matrix.custom.html" and isinstance(formatted, str)
    pieces = _read_html(_whole(str(formatted))) if has_html else []
    linked, addressed, pill = _links(pieces), False, ""
    if called is not None:
        pieces, pill = _without_pill(pieces, called, prefix)
        rest = after_address(body, replace(called, names=(*called.names, pill)) if pill else called, prefix)
        body, addressed = (body, False) if rest is None else (rest, True)
    plain = _with_lines(body, prefix, addressed=addressed)
    if not linked:
        return plain
    if pill and not addressed:
        return Message(None, plain.words)  # the formatting alone addresses the bot
    if not _links(pieces):
        return plain
    rich = _message(_compare(pieces, body), prefix, addressed=addressed)
    if rich.command != plain.command:
        return Message(None, rich.words)  # people with different clients would read different commands
    return replace(rich, words=_repair(rich.words, body))


def _links(pieces: list[_Piece]) -> bool:
    return any(isinstance(piece, _Anchor) and piece.link.kind is not LinkKind.EVENT for piece in pieces)


def _with_lines(body: str, prefix: str, *, addressed: bool) -> Message:
    """A message whose first line is a command and under which a list of accounts stands, or all of it as words."""
    head, _, rest = body.partition("\n")
    lines = lines_of(rest)
    listed = sum(line.lstrip(" \t\"'").startswith("@") for line in lines) > 1
    if listed or any(line.lstrip().startswith(FENCE) for line in lines):
        message = _message([head], prefix, addressed=addressed)
        if message.command is not None:
            return replace(message, lines=tuple(lines))
    return _message([body], prefix, addressed=addressed)


def lines_of(text: str) -> list[str]:
    """The lines of a text: cut where files cut them. `str.splitlines` knows ten more places, U+2028 among them, where a
    display name inside a line would begin a new one, and name somebody else.
    """
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


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


def _without_pill(pieces: list[_Piece], called: Called, prefix: str) -> tuple[list[_Piece], str]:
    """What `formatted_body` shows without the bot's name at its beginning, and the text of the link that it was."""
    first = next((at for at, piece in enumerate(pieces) if isinstance(piece, _Anchor)), len(pieces))
    before = "".join(str(piece) for piece in pieces[:first])
    anchor = pieces[first] if first < len(pieces) else None
    if not isinstance(anchor, _Anchor) or before.strip(BLANKS) not in ("", "@"):
        rest = after_address(before, called, prefix)
        return (pieces if rest is None else [rest, *pieces[first:]]), ""
    if anchor.link != Link(LinkKind.USER, called.user_id) or named_user(anchor.text) not in (None, called.user_id):
        return pieces, ""
    last = next((at for at in range(first + 1, len(pieces)) if isinstance(pieces[at], _Anchor)), len(pieces))
    after = "".join(str(piece) for piece in pieces[first + 1 : last])
    return [after.lstrip(BLANKS).lstrip(MARKS), *pieces[last:]], anchor.text or called.user_id


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


def _message(pieces: list[_Piece], prefix: str, *, addressed: bool = False) -> Message:
    words, unfinished = _split(pieces)
    first = _typed(words, 0)
    if begins(first, prefix):
        name = usual_width(first[len(prefix) :]).lower()
        if _COMMAND_NAME.fullmatch(name):
            return Message(name, tuple(words[1:]), unfinished_quote=unfinished)
    # `! help`, or `help` behind the bot's name.
    apart = 1 if begins(first, prefix) and len(first) == len(prefix) else 0 if addressed else None
    if apart is not None:
        name = usual_width(_typed(words, apart)).lower().rstrip("!?.,:")
        if _COMMAND_NAME.fullmatch(name):
            cut = apart + 1
            return Message(name, tuple(words[cut:]), unfinished_quote=unfinished, bare=tuple(words[:cut]))
    return Message(None, tuple(words))


def _typed(words: list[Word], at: int) -> str:
    """The text of a word that is neither a link nor quoted; empty where there is none."""
    word = words[at] if at < len(words) else None
    return word.text if word is not None and word.link is None and not word.quoted else ""


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
