"""How a command is declared, and how a message is read by its declaration.

One declaration a command: the parser, `!help`, the usage lines and the documentation all follow it. The parser finds
words, accounts and times; whether they make sense (another server, an unknown account, a moment that is past) is for
others to decide. What it can't read it returns as a `UsageError`, which holds no sentences: `texts/` has those.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from handlers.links import LinkKind
from handlers.message import DASHES, Message, Word
from removal.ids import USER_ID_MAX_BYTES, InvalidUserID, UserID, parse_reference, parse_wave_reference
from removal.times import parse_duration, parse_moment

# An e-mail address or a phone number, told from a Matrix ID; whether there is such a one, the homeserver knows.
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+|\+?[0-9][0-9()./-]{4,24}")

MAX_TEXT = 500
"""Characters that a text such as a reason may have."""


class Kind(StrEnum):
    """What an argument, or an option's value, is."""

    FLAG = "flag"  # options only: no value
    USER = "user"  # @user (this server), a full Matrix ID, a pill, a matrix.to or matrix: link → UserID
    ACCOUNT = "account"  # the same, or an e-mail address or a phone number → UserID, or str
    ROOM = "room"  # an id, an address, a link → str
    REFERENCE = "reference"  # R7 → int
    WAVE = "wave"  # B3 → WaveNumber
    ANY_REFERENCE = "any_reference"  # either of the two
    WORD = "word"  # one word or quoted text → str
    TEXT = "text"  # quoted text, or all words up to the next option → str
    DURATION = "duration"  # 7d, 1h30m → timedelta
    PAST = "past"  # 2h (ago) → timedelta, 2026-12-24 → datetime in UTC
    MOMENT = "moment"  # 2026-12-24, 2026-12-24T18:00Z → datetime in UTC


_EXAMPLES = {Kind.USER: "@user", Kind.ROOM: "#room", Kind.REFERENCE: "R7", Kind.WAVE: "B3", Kind.ANY_REFERENCE: "R7"}
"""An argument as people would write it."""


@dataclass(frozen=True, slots=True)
class WaveNumber:
    """The number of a wave."""

    number: int


Value = UserID | tuple[UserID, ...] | WaveNumber | str | int | bool | timedelta | datetime


@dataclass(frozen=True, slots=True)
class Argument:
    """A value that stands at its place in the order of the arguments. Optional ones come last."""

    name: str
    kind: Kind
    required: bool = True
    many: bool = False
    """Accounts only: as many as there are; the last argument."""


@dataclass(frozen=True, slots=True)
class Option:
    """A value, or a switch, that stands behind a name such as `--erase`, anywhere after the command's name."""

    name: str
    kind: Kind = Kind.FLAG
    value_name: str = ""
    """What usage shows for the value; the kind in capitals where it's left out."""
    excludes: tuple[str, ...] = ()
    """Options that contradict this one. One side declares it, both are refused."""
    many: bool = False
    """It chooses among many accounts, or is about many at once: help folds it away."""

    @property
    def shown(self) -> str:
        """As usage writes it: `--erase`, `--reason TEXT`."""
        return self.name if self.kind is Kind.FLAG else f"{self.name} {self.value_name or self.kind.upper()}"


@dataclass(frozen=True, slots=True)
class Command:
    """All that is to know of a command but what it does. Its words stand in `texts/` under its name."""

    name: str
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    takes_list: bool = False
    """It reads a list of accounts under it by itself; to others, all are words."""
    topic: str = ""
    """What `!help` folds it under; its words stand in the group `topic`. What is needed most has none."""


class Problem(StrEnum):
    """Why a command can't be understood. Behind each, the fields of `UsageError` that go with it."""

    UNKNOWN_OPTION = "unknown_option"  # typed, nearest
    MISSING_ARGUMENT = "missing_argument"  # name
    TOO_MANY_ARGUMENTS = "too_many_arguments"  # typed
    TWO_USERS = "two_users"  # typed
    NOT_A_USER = "not_a_user"  # typed, name, why, nearest: the Matrix ID that was perhaps meant
    NOT_A_ROOM = "not_a_room"  # typed, name
    NOT_A_REFERENCE = "not_a_reference"  # typed, name
    NOT_A_WAVE = "not_a_wave"  # typed, name
    NOT_A_DURATION = "not_a_duration"  # typed, name
    NOT_A_PAST = "not_a_past"  # typed, name
    NOT_A_MOMENT = "not_a_moment"  # typed, name
    STRANGE_CHARACTERS = "strange_characters"  # typed, name, code_points, nearest
    CONFLICT = "conflict"  # name, ids: what the text says (perhaps nothing) and what its formatting does
    MISSING_VALUE = "missing_value"  # name (of the option)
    UNWANTED_VALUE = "unwanted_value"  # name, typed
    GIVEN_TWICE = "given_twice"  # name
    CONTRADICTION = "contradiction"  # name, nearest: the two options
    TEXT_TOO_LONG = "text_too_long"  # name, limit
    UNFINISHED_QUOTE = "unfinished_quote"


class Why(StrEnum):
    """Why something is no Matrix ID."""

    NO_AT = "no_at"
    NO_SERVER = "no_server"
    LOCALPART = "localpart"
    SERVER_NAME = "server_name"
    OTHER_CASE = "other_case"
    TOO_LONG = "too_long"
    OTHER_LINK = "other_link"


@dataclass(frozen=True, slots=True)
class UsageError:
    """Why a command can't be understood. `problem` says which of the other fields are filled."""

    problem: Problem
    name: str = ""
    """The argument's name, or the option's with its dashes."""
    typed: str = ""
    """What was written, hostile as it may be, cut to a sensible length."""
    nearest: str = ""
    why: Why | None = None
    code_points: tuple[str, ...] = ()
    """The characters that no id has, as `U+200B ZERO WIDTH SPACE`."""
    ids: tuple[str, str] | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command that was understood. Values are asked for by the argument's name, or the option's with its dashes.

    `user`, `reference` are for what the declaration requires; the others give None where nothing was given.
    """

    command: Command
    values: Mapping[str, Value] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """Whether the switch was given."""
        return self.values.get(name) is True

    def user(self, name: str) -> UserID:
        """The account that a required argument names.

        Raises:
            KeyError: the declaration doesn't require it, and it wasn't given.
        """
        value = self.values[name]
        assert isinstance(value, UserID)  # noqa: S101 - the parser made it by the declaration
        return value

    def users(self, name: str) -> tuple[UserID, ...]:
        """The accounts that an argument names which takes several; none where nothing was given."""
        value = self.values.get(name)
        return value if isinstance(value, tuple) else ()

    def wave(self, name: str) -> int | None:
        """The wave's number, None where a request was named."""
        value = self.values.get(name)
        return value.number if isinstance(value, WaveNumber) else None

    def optional_user(self, name: str) -> UserID | None:
        """The account that an optional argument or an option names."""
        return self.user(name) if name in self.values else None

    def reference(self, name: str) -> int:
        """The request's number that a required argument names.

        Raises:
            KeyError: the declaration doesn't require it, and it wasn't given.
        """
        value = self.values[name]
        assert isinstance(value, int)  # noqa: S101 - the parser made it by the declaration
        return value

    def text(self, name: str) -> str | None:
        """The text, word or room."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def duration(self, name: str) -> timedelta | None:
        """The length of time."""
        value = self.values.get(name)
        return value if isinstance(value, timedelta) else None

    def moment(self, name: str) -> datetime | None:
        """The point of time, in UTC."""
        value = self.values.get(name)
        return value if isinstance(value, datetime) else None

    def typed(self, name: str) -> str:
        """What stood in the message for this value, cut to a sensible length; empty where nothing was given."""
        return self.written.get(name, "")


# --- finding and explaining commands ---------------------------------------------------------------------------------


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that was probably meant, None where nothing comes near. `cutoff`: how near, up to 1 for the same."""
    return next(iter(difflib.get_close_matches(name[:40], list(names), cutoff=cutoff)), None)


def usage(command: Command, prefix: str) -> str:
    """The line that shows how to write it: `!deactivate <user> [--erase] [--reason TEXT]`."""
    shown = [(arg, f"{arg.name} …" if arg.many else arg.name) for arg in command.arguments]
    arguments = [f"<{name}>" if arg.required else f"[{name}]" for arg, name in shown]
    return " ".join([prefix + command.name, *arguments, *(f"[{option.shown}]" for option in command.options)])


def short_usage(command: Command, prefix: str) -> str:
    """How to write it with what it requires, or is mostly given, by example: `!deactivate @user`, `!status R7`."""
    given = [_EXAMPLES.get(arg.kind, f"<{arg.name}>") for arg in command.arguments if arg.required or arg.many]
    return " ".join([prefix + command.name, *given])


# --- parsing ---------------------------------------------------------------------------------------------------------


def parse(command: Command, message: Message, server_name: str) -> Parsed | UsageError:
    """Reads a message by a command's declaration.

    Args:
        command: the declaration.
        message: what `handlers.message.read` made of the event.
        server_name: the server that a short `@user` means.
    """
    if message.unfinished_quote:
        return UsageError(Problem.UNFINISHED_QUOTE)
    options = {option.name: option for option in command.options}
    values: dict[str, Value] = {}
    written: dict[str, str] = {}
    plain: list[Word] = []
    words = deque(message.words if command.takes_list else message.all_words)
    while words:
        word = words.popleft()
        spelled = _option_name(word)
        if spelled is None:
            plain.append(word)
            continue
        name, _, value = spelled.partition("=")
        name = name.lower()
        option = options.get(name)
        if option is None:
            return UsageError(Problem.UNKNOWN_OPTION, typed=_short(name), nearest=nearest(name, options) or "")
        if option.kind is Kind.FLAG:
            if "=" in spelled:
                return UsageError(Problem.UNWANTED_VALUE, name, _short(value))
            values[name] = True
            continue
        if name in values:
            return UsageError(Problem.GIVEN_TWICE, name)
        given = [Word(value)] if value else []
        if not value or (option.kind is Kind.TEXT and not word.quoted_value):
            given += _take(option.kind, words, options)
        found = _value(name, option.kind, given, server_name)
        if isinstance(found, UsageError):
            return found
        values[name], written[name] = found, _joined(given)
    for option in command.options:
        for other in option.excludes:
            if option.name in values and other in values:
                return UsageError(Problem.CONTRADICTION, option.name, nearest=other)
    return _place(command, plain, values, written, server_name)


def _place(
    command: Command, plain: list[Word], values: dict[str, Value], written: dict[str, str], server_name: str
) -> Parsed | UsageError:
    """Gives the words that belong to no option to the arguments, in order."""
    for argument in command.arguments:
        if not plain:
            if argument.required:
                return UsageError(Problem.MISSING_ARGUMENT, argument.name)
            break
        if argument.many:
            users = [read_user(word, server_name, argument.name) for word in plain]
            wrong = next((user for user in users if isinstance(user, UsageError)), None)
            if wrong is not None:
                return wrong
            values[argument.name] = tuple(user for user in users if isinstance(user, UserID))
            written[argument.name] = _joined(plain)
            return Parsed(command, values, written)
        count = len(plain) if argument.kind is Kind.TEXT else 1
        found = _value(argument.name, argument.kind, plain[:count], server_name)
        if isinstance(found, UsageError):
            # Of several words, a name perhaps, the first alone means nobody.
            several = found.why is Why.NO_AT and ":" not in found.typed and len(plain) > count
            return replace(found, nearest="") if several else found
        values[argument.name], written[argument.name] = found, _joined(plain[:count])
        del plain[:count]
    if plain:
        second = read_user(plain[0], server_name)
        if isinstance(second, UserID) and any(
            argument.kind in (Kind.USER, Kind.ACCOUNT) for argument in command.arguments
        ):
            return UsageError(Problem.TWO_USERS, typed=str(second))
        return UsageError(Problem.TOO_MANY_ARGUMENTS, typed=_short(plain[0].text))
    return Parsed(command, values, written)


def _option_name(word: Word) -> str | None:
    """The word as `--name` or `--name=value`, None where it's no option. A phone's long dash counts as two."""
    rest = word.text.lstrip(DASHES)
    if word.link is not None or word.quoted or rest == word.text or not rest[:1].isalpha():
        return None
    return f"-{rest}" if word.text == f"-{rest}" else f"--{rest}"


def _take(kind: Kind, words: deque[Word], options: Mapping[str, Option]) -> list[Word]:
    """Takes an option's value off the words that follow it: one, or of an unquoted text all up to a known option."""
    taken: list[Word] = []
    while words and not _known(words[0], options):
        taken.append(words.popleft())
        if kind is not Kind.TEXT or taken[0].quoted:
            break
    return taken


def _known(word: Word, options: Mapping[str, Option]) -> bool:
    spelled = _option_name(word)
    return spelled is not None and spelled.partition("=")[0].lower() in options


def _value(name: str, kind: Kind, words: list[Word], server_name: str) -> Value | UsageError:
    text = " ".join(word.text for word in words).strip()
    if not words or not (text or words[0].link):
        return UsageError(Problem.MISSING_VALUE if name.startswith("-") else Problem.MISSING_ARGUMENT, name)
    match kind:
        case Kind.USER:
            return read_user(words[0], server_name, name)
        case Kind.ACCOUNT:
            is_address = words[0].link is None and _ADDRESS.fullmatch(text)
            return text if is_address else read_user(words[0], server_name, name)
        case Kind.ROOM:
            return _room(words[0], server_name, name)
        case Kind.REFERENCE:
            return parse_reference(_bare(text)) or UsageError(Problem.NOT_A_REFERENCE, name, _short(text))
        case Kind.WAVE | Kind.ANY_REFERENCE:
            wave = parse_wave_reference(_bare(text))
            if wave is not None:
                return WaveNumber(wave)
            request = parse_reference(_bare(text)) if kind is Kind.ANY_REFERENCE else None
            problem = Problem.NOT_A_REFERENCE if kind is Kind.ANY_REFERENCE else Problem.NOT_A_WAVE
            return request or UsageError(problem, name, _short(text))
        case Kind.PAST:
            for parse_it in (parse_duration, parse_moment):
                with contextlib.suppress(ValueError):
                    return parse_it(text)
            return UsageError(Problem.NOT_A_PAST, name, _short(text))
        case Kind.DURATION | Kind.MOMENT:
            try:
                return parse_duration(text) if kind is Kind.DURATION else parse_moment(text)
            except ValueError:
                problem = Problem.NOT_A_DURATION if kind is Kind.DURATION else Problem.NOT_A_MOMENT
                return UsageError(problem, name, _short(text))
        case _:
            if len(text) > MAX_TEXT:
                return UsageError(Problem.TEXT_TOO_LONG, name, limit=MAX_TEXT)
            return text


def read_user(word: Word, server_name: str | None, name: str = "user") -> UserID | UsageError:
    """Reads the account that a word names.

    Args:
        word: the word; only itself and its own link count.
        server_name: the server that a short `@user` means; None where only a full Matrix ID will do.
        name: the argument's or option's name, for the error.
    """
    if word.conflict is not None:
        return UsageError(Problem.CONFLICT, name, ids=(_short(word.conflict[0]), _short(word.conflict[1])))
    if word.link is not None and word.link.kind is not LinkKind.USER:
        return UsageError(Problem.NOT_A_USER, name, _short(word.text or word.link.target), why=Why.OTHER_LINK)
    text = word.link.target if word.link is not None else _bare(word.text)
    strange = _named(char for char in text if not "!" <= char <= "~")
    meant = UserID.meant_by(text[:1_000], server_name) if server_name is not None else None
    nearest = str(meant or "")
    if strange and [char for char in text if not _invisible(char)][:1] == ["@"]:
        return UsageError(Problem.STRANGE_CHARACTERS, name, _short(text), nearest, code_points=strange)
    short = word.link is None and re.fullmatch(r"@[^@:]*[^@:,;!?<>()\[\]{}\"'*]", text)
    if server_name is not None and short:
        text = f"{text}:{server_name}"
    try:
        found = UserID.parse(text)
    except InvalidUserID:
        return UsageError(Problem.NOT_A_USER, name, _short(text), nearest, why=_why(text))
    if nearest and found.server_name.endswith("."):  # the sentence's
        return UsageError(Problem.NOT_A_USER, name, _short(text), nearest, why=Why.SERVER_NAME)
    if nearest and server_name not in (None, found.server_name) and nearest.endswith(f":{server_name}"):
        return UsageError(Problem.NOT_A_USER, name, _short(text), nearest, why=Why.OTHER_CASE)
    return found


def _why(text: str) -> Why:
    """Why a text is no Matrix ID that is printable ASCII where it begins with `@`."""
    localpart, colon, _ = text[1:].partition(":")
    if not text.startswith("@"):
        return Why.NO_AT
    if not colon:
        return Why.NO_SERVER
    if len(text) > USER_ID_MAX_BYTES:
        return Why.TOO_LONG
    return Why.SERVER_NAME if localpart else Why.LOCALPART


def _room(word: Word, server_name: str, name: str) -> str | UsageError:
    if word.conflict is not None:
        return UsageError(Problem.CONFLICT, name, ids=(_short(word.conflict[0]), _short(word.conflict[1])))
    text = word.link.target if word.link is not None else _bare(word.text)
    if word.link is None and text.startswith("#") and ":" not in text:
        text = f"{text}:{server_name}"
    # A room id since room version 12 has no server name: it's opaque and never taken apart.
    if (word.link and word.link.kind is not LinkKind.ROOM) or not re.fullmatch(r"![^\s]{1,254}|#[^\s:]+:[^\s]+", text):
        return UsageError(Problem.NOT_A_ROOM, name, _short(text))
    if any(map(_invisible, text)):
        return UsageError(Problem.STRANGE_CHARACTERS, name, _short(text), code_points=_named(filter(_invisible, text)))
    return text


def _bare(text: str) -> str:
    """An id without the backticks that people put around it against Markdown."""
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "`" else text


def _invisible(char: str) -> bool:
    return unicodedata.category(char).startswith("C")  # control, format, private, unassigned, half of a pair


def _named(chars: Iterable[str]) -> tuple[str, ...]:
    """Characters by code point and name, each once, at most eight."""
    return tuple(f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip() for char in list(dict.fromkeys(chars))[:8])


def _joined(words: Iterable[Word]) -> str:
    return _short(" ".join(word.text for word in words))


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"
