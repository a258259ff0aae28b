"""What a machine needs for some of the tests, beside Python."""

from __future__ import annotations

import os

import pytest

REQUIRED = "TESTS_NEED_EVERYTHING"
"""Where this environment variable is set, what is missing is an error instead of a reason to skip: CI sets it."""


def skip_without(missing: list[str], what: str) -> None:
    """Skips the test that asks for it, where Debian packages are missing, and says which.

    Args:
        missing: the packages.
        what: the tests, for the message.
    """
    if not missing:
        return
    message = f"{what} needs programs that aren't installed. On Debian: apt-get install {' '.join(missing)}"
    if os.environ.get(REQUIRED):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
