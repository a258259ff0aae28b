"""What `init` prints: a line for each step, with a mark that says whether it did anything."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from texts import Texts, plain


class Mark(StrEnum):
    """What a line tells."""

    DONE = "✓"
    ALREADY = "·"
    NOTE = "!"
    FAILED = "✗"


class CannotGoOn(Exception):
    """Something has to be mended by a person first; it has been told already."""


class Lines:
    """Prints, in words of the group `init`."""

    def __init__(self) -> None:
        self.texts = Texts()

    def word(self, key: str, **values: Any) -> str:
        """The words `init.<key>`."""
        return plain(str(self.texts.word("init", key, **values)))

    def say(self, mark: Mark, key: str, **values: Any) -> None:
        """Prints them."""
        print(f"{mark} {self.word(key, **values)}")

    def stop(self, key: str, **values: Any) -> CannotGoOn:
        """Tells what has to be mended; to be raised."""
        self.say(Mark.FAILED, key, **values)
        return CannotGoOn()
