"""Reads a list of accounts: lines under a command, a code block, or a text or CSV file that somebody uploaded.

Nothing is guessed: a line that names no account is counted and named, and a list that can't be read for sure is refused
as a whole, with what was wrong and what would be right.
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from handlers.command import UsageError, read_user
from handlers.links import parse_link
from handlers.message import FENCE, Word, lines_of
from removal.ids import UserID

MAX_LINES = 20_000
MAX_BYTES = 5_000_000
LONGEST_LINE = 2_000
"""Characters of a line that may be one of a list of accounts."""
NOTED = 5
"""Wrong lines that are named; the rest is counted."""
ENDINGS = (".txt", ".csv", ".tsv", ".lst")
_HEADINGS = frozenset({"user_id", "userid", "user id", "mxid", "matrix_id", "matrix id", "matrixid"})
_LOOSE_HEADINGS = frozenset({"name", "user"})
"""What a column of accounts may be called, or one of display names, into which anybody writes what they like."""
_DECISIONS = frozenset({"decision", "outcome"})
_LEFT_OUT = frozenset({"excluded", "refused"})
"""What our own files say in these columns of accounts that somebody decided to leave alone."""
_SEPARATORS = (",", ";", "\t", "|")


class ListProblem(StrEnum):
    """Why a whole list is refused. Behind each, what `detail` of the error holds."""

    ENDING = "ending"  # the file's name
    TOO_LARGE = "too_large"  # bytes
    BINARY = "binary"
    ENCODING = "encoding"
    LONG_LINE = "long_line"  # the line's number
    TOO_MANY_LINES = "too_many_lines"  # how many
    TWO_COLUMNS = "two_columns"  # their numbers
    NO_ACCOUNT = "no_account"
    CSV = "csv"  # the line's number
    TOO_MANY_ACCOUNTS = "too_many_accounts"  # how many
    TWO_WAYS = "two_ways"
    BROKEN = "broken"  # why
    GONE = "gone"  # what the homeserver said
    UNREADABLE = "unreadable"
    PLAIN = "plain"


class BadList(Exception):
    """A list that can't be used."""

    def __init__(self, problem: ListProblem, detail: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.detail = detail


class Skipped(StrEnum):
    """What lines are passed over as."""

    BLANK = "blank"
    COMMENT = "comment"
    DUPLICATE = "duplicate"
    LEFT_OUT = "left_out"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class AccountList:
    """What a list names."""

    user_ids: tuple[str, ...]
    """Each once, in the list's order."""
    skipped: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    """The first wrong lines, as `line 7: …`."""


def read_users(users: Iterable[UserID]) -> AccountList:
    """The accounts that stood in the command itself."""
    named = [str(user) for user in users]
    once = tuple(dict.fromkeys(named))
    return AccountList(once, ((Skipped.DUPLICATE, len(named) - len(once)),) if len(named) > len(once) else ())


def read_file(data: bytes, name: str, server_name: str) -> AccountList:
    """Reads a file.

    Args:
        data: as it was uploaded, decrypted.
        name: the file's own, of which only the ending counts.
        server_name: the server that a short `@user` means.

    Raises:
        BadList: it can't be used.
    """
    ending = name.lower()[name.rfind(".") :] if "." in name else ""
    if ending not in ENDINGS and ending:
        raise BadList(ListProblem.ENDING, name)
    if len(data) > MAX_BYTES:
        raise BadList(ListProblem.TOO_LARGE, str(len(data)))
    return read_lines(lines_of(_text(data)), server_name)


def _text(data: bytes) -> str:
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # what spreadsheets call "Unicode text"
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadList(ListProblem.BINARY if b"\x00" in data[:65_536] else ListProblem.ENCODING) from None
    if any(char < " " and char not in "\t\n\r" for char in text):
        raise BadList(ListProblem.BINARY)
    return text


def read_lines(lines: list[str], server_name: str) -> AccountList:
    """Reads lines: one account each, or CSV with a column of accounts.

    Raises:
        BadList: they can't be used.
    """
    if len(lines) > MAX_LINES:
        raise BadList(ListProblem.TOO_MANY_LINES, str(len(lines)))
    long = next((number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE), None)
    if long is not None:
        raise BadList(ListProblem.LONG_LINE, str(long))
    skipped: Counter[str] = Counter()
    notes: list[str] = []

    def wrong(number: int, cell: str) -> None:
        skipped[Skipped.WRONG] += 1
        if len(notes) < NOTED:
            notes.append(f"{number}: {cell[:80]}")

    rows = _rows(lines, skipped, wrong)
    found: dict[str, None] = {}
    for number, cell in _cells(rows, server_name, skipped, wrong):
        user = _account(cell, server_name)
        if user is None:
            wrong(number, cell)
        elif str(user) in found:
            skipped[Skipped.DUPLICATE] += 1
        else:
            found[str(user)] = None
    if not found:
        raise BadList(ListProblem.NO_ACCOUNT, notes[0] if notes else "")
    return AccountList(tuple(found), tuple(sorted((kind, n) for kind, n in skipped.items() if n)), tuple(notes))


def _rows(lines: list[str], skipped: Counter[str], wrong: Callable[[int, str], None]) -> list[tuple[int, str]]:
    """The lines that may name an account, each with its number. Where there is a code block, what stands outside of it
    is talk.
    """
    rows: list[tuple[int, str]] = []
    fenced = any(line.strip().startswith(FENCE) for line in lines)
    inside = not fenced
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if bare.startswith(FENCE):
            inside = not inside
        elif not bare:
            skipped[Skipped.BLANK] += 1
        elif not inside:
            wrong(number, bare)
        elif bare.startswith(("#", "//")):
            skipped[Skipped.COMMENT] += 1
        else:
            rows.append((number, line))  # whole: a blank at its beginning may be an empty column
    return rows


def _account(cell: str, server_name: str) -> UserID | None:
    # Our own CSV files put an apostrophe in front of what a spreadsheet would take for a formula.
    text = cell.strip().strip('"').removeprefix("'").strip()
    user = read_user(Word(text, parse_link(text.strip("<>"))), server_name)
    return None if isinstance(user, UsageError) else user


def _cells(
    rows: list[tuple[int, str]], server_name: str, skipped: Counter[str], wrong: Callable[[int, str], None]
) -> list[tuple[int, str]]:
    """The one cell of each row that is to name an account, each with its line's number.

    Raises:
        BadList: there are several such columns, or none.
    """
    separator = _separator(rows, server_name)
    if separator is None:
        heading = bool(rows) and rows[0][1].strip().strip("\"'").lower() in _HEADINGS | _LOOSE_HEADINGS
        return rows[int(heading) :]
    table: list[tuple[int, list[str]]] = []
    for number, line in rows:
        try:
            table.append((number, next(csv.reader([line], delimiter=separator, strict=True))))
        except (csv.Error, StopIteration):
            raise BadList(ListProblem.CSV, str(number)) from None
    head = [cell.strip().lower() for cell in table[0][1]]
    at, heading = _column(table, head, server_name)
    body = []
    for number, row in table[int(heading) :]:
        if len(row) == len(head):
            body.append((number, row))
        else:  # who knows which cell is which: somebody's comma may stand in it
            wrong(number, separator.join(row))
    decided = [place for place, cell in enumerate(head) if heading and cell in _DECISIONS]
    kept = [row for row in body if not any(_cell(row[1], place) in _LEFT_OUT for place in decided)]
    skipped[Skipped.LEFT_OUT] += len(body) - len(kept)
    return [(number, _cell(row, at)) for number, row in kept]


def _cell(row: list[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _column(table: list[tuple[int, list[str]]], head: list[str], server_name: str) -> tuple[int, bool]:
    """Which column names the accounts, and whether the first row is a heading: by a name that leaves no doubt, else by
    what most of its cells hold. A few cells that look like accounts prove nothing: anybody may call themselves so.

    Raises:
        BadList: there are several such columns, or none.
    """
    named = [at for at, cell in enumerate(head) if cell in _HEADINGS]
    if len(named) == 1:
        return named[0], True
    heading = bool(named) or any(cell in _LOOSE_HEADINGS for cell in head)
    # A first row without any account is a heading of words that we don't know.
    heading = heading or (len(table) > 1 and all(_account(cell, server_name) is None for cell in table[0][1]))
    found = [at for at in named or range(len(head)) if _mostly_accounts(table[int(heading) :], at, server_name)]
    if len(found) > 1:
        raise BadList(ListProblem.TWO_COLUMNS, ", ".join(str(at + 1) for at in found))
    if not found:
        raise BadList(ListProblem.NO_ACCOUNT, ", ".join(table[0][1])[:80])
    return found[0], heading


def _separator(rows: list[tuple[int, str]], server_name: str) -> str | None:
    """What stands between columns; None where a line is an account."""
    sample = [line for _, line in rows[:50]]
    if not sample or sum(_account(line, server_name) is not None for line in sample) * 2 > len(sample):
        return None
    best = max(_SEPARATORS, key=lambda each: sum(each in line for line in sample))
    return best if any(best in line for line in sample) else None


def _mostly_accounts(table: list[tuple[int, list[str]]], at: int, server_name: str) -> bool:
    """Whether more than half of a column's cells name an account."""
    cells = [_cell(row, at) for _, row in table[:200]]
    return sum(_account(cell, server_name) is not None for cell in cells) * 2 > len(cells)
