"""Identifiers: Matrix IDs and the references people type.

Source: Matrix specification, appendices, "Identifier Grammar".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import unquote

USER_ID_MAX_BYTES = 255
"""The specification's limit for a whole Matrix ID, the `@` and the server name included."""

# A server name: a DNS name or an IPv4 address, or an IPv6 address in brackets; a port may follow.
_SERVER_NAME = re.compile(r"(?:[A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# Historical localparts may hold any printable ASCII but the colon; real accounts with such names exist.
_LOCALPART = re.compile(r"[\x21-\x39\x3b-\x7e]+")
# What people and programs write around an id: brackets, quotation marks, Markdown, the sentence's own punctuation.
_UNSEEN = "\u200b\u200e\u200f\u2060\u2066\u2067\u2068\u2069\ufeff"
_OPENING = "<([{\"'*`~|“”„‟‘’‚‛«»‹›" + _UNSEEN
_CLOSING = ">)]}\"'*`~|“”„‟‘’‚‛«»‹›.,:;!?…" + _UNSEEN
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
"""What a keyboard for Chinese, Japanese or Korean makes of ASCII."""
_NAME = re.compile(r"[A-Za-z0-9._=/+-]+")
_REFERENCE = re.compile(r"[Rr]([1-9][0-9]{0,17})")
_WAVE_REFERENCE = re.compile(r"[Bb]([1-9][0-9]{0,17})")


class InvalidUserID(ValueError):
    """What was given is no Matrix ID. `str()` of it says why."""


@dataclass(frozen=True, slots=True, order=True)
class UserID:
    """A Matrix ID, taken apart. `str()` gives it back whole, byte for byte: case matters."""

    localpart: str
    server_name: str

    def __str__(self) -> str:
        return f"@{self.localpart}:{self.server_name}"

    @classmethod
    def parse(cls, text: str) -> UserID:
        """Takes `@localpart:server_name` apart.

        Raises:
            InvalidUserID: it isn't one.
        """
        if not text.startswith("@"):
            raise InvalidUserID("a Matrix ID begins with @")
        localpart, colon, server_name = text[1:].partition(":")
        if not colon:
            raise InvalidUserID("a Matrix ID has a colon before its server name")
        if not _LOCALPART.fullmatch(localpart):
            raise InvalidUserID("the part between @ and : is empty or holds characters that no Matrix ID has")
        if not _SERVER_NAME.fullmatch(server_name):
            raise InvalidUserID("the part after the colon is no server name")
        if len(text.encode()) > USER_ID_MAX_BYTES:
            raise InvalidUserID(f"a Matrix ID has at most {USER_ID_MAX_BYTES} bytes")
        return cls(localpart, server_name)

    @classmethod
    def meant_by(cls, text: str, server_name: str) -> UserID | None:
        """The Matrix ID that somebody probably meant who wrote something that comes near one: `spam`, `spam:server`,
        `spam@server`, `<@spam:server>`, `@spam:server.`, a link without its `https:`.

        To be shown, never to be acted on: it is a guess.

        Args:
            text: one word.
            server_name: the server that is meant where none is named.

        Returns:
            A Matrix ID that differs from `text`, or None.
        """
        bare = re.split(r"/#/(?:user/)?", text.translate(FULL_WIDTH), maxsplit=1)[-1]
        bare = unquote(bare) if bare.startswith("%40") else bare
        # A localpart may begin and end with an underscore; before an @ and in a server name it's Markdown's.
        opening, closing = ("_" if "@" in bare else ""), ("_" if ":" in bare else "")
        bare = bare.lstrip(_OPENING + opening).rstrip(_CLOSING + closing)
        bare = re.sub(r"['’]s$", "", bare)
        name = bare.removeprefix("@")
        localpart, colon, server = name.partition(":")
        if not colon:
            localpart, at, server = name.rpartition("@")  # as addresses of other networks are written
            if not at:
                localpart, server = name, server_name
            elif server.lower() != server_name.lower():
                return None
        if not bare.startswith("@") and (not _NAME.fullmatch(localpart) or parse_reference(localpart)):
            return None
        try:
            meant = cls.parse(f"@{localpart}:{server_name if server.lower() == server_name.lower() else server}")
        except InvalidUserID:
            return None
        return None if str(meant) == text else meant


def matches_any(user_id: str, globs: tuple[str, ...] | list[str]) -> bool:
    """Whether a glob (`*`, `?`, `[…]`) names this Matrix ID. A glob without `@` is held against the localpart."""
    localpart = user_id[1:].partition(":")[0]
    return any(fnmatchcase(user_id if glob.startswith("@") else localpart, glob) for glob in globs)


def reference(request_id: int) -> str:
    """The name people use for a request: `R` and its number."""
    return f"R{request_id}"


def parse_reference(text: str) -> int | None:
    """The number of a typed reference (`R7`, `r7`), or None where it is none."""
    found = _REFERENCE.fullmatch(text.strip())
    return int(found.group(1)) if found else None


def wave_reference(wave_id: int) -> str:
    """The name people use for a wave: `B` and its number."""
    return f"B{wave_id}"


def parse_wave_reference(text: str) -> int | None:
    """The number of a typed reference of a wave (`B3`, `b3`), or None where it is none."""
    found = _WAVE_REFERENCE.fullmatch(text.strip())
    return int(found.group(1)) if found else None
