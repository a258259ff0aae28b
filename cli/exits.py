"""How a command ends: the exit codes, and the sentence for whoever typed it. docs/operations.md explains both."""

from __future__ import annotations

EXIT_CANNOT_RUN = 1
EXIT_DEAD_TOKEN = 3
EXIT_ANOTHER_RUNS = 4


class Ended(Exception):
    """The command can't go on. `str()` is said to whoever started it.

    Args:
        code: the process's exit code.
    """

    def __init__(self, sentence: str, code: int = EXIT_CANNOT_RUN) -> None:
        self.code = code
        super().__init__(sentence)
