"""E-mail addresses as people type them."""

from __future__ import annotations

import pytest

from removal.addresses import LONGEST, email_address

DOMAIN = f"{'b' * 63}.{'c' * 63}.{'d' * 61}"
AS_LONG_AS_MAY_BE = f"{'a' * 64}@{DOMAIN}"


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("me@example.org", "me@example.org"),
        (" mailto:me+x@example.org ", "me+x@example.org"),
        ("me@localhost", "me@localhost"),
        ("me", None),
        ("", None),
        ("@me:example.org", None),
        ("a@b.example, c@d.example", None),
        ("a@b.example\r\nBcc: c@d.example", None),
        ("<a@b.example>", None),
        ("me@-example.org", None),
        ("me@example..org", None),
        ("a" * 65 + "@b.example", None),
        ("a" * 250 + "@b.example", None),
        (AS_LONG_AS_MAY_BE, AS_LONG_AS_MAY_BE),
        (AS_LONG_AS_MAY_BE + "d", None),
    ],
)
def test_what_counts_as_an_address(typed: str, address: str | None) -> None:
    """One, of at most 254 characters, and nothing that could become a header."""
    assert email_address(typed) == address


def test_the_longest_address_has_254_characters() -> None:
    """As much as a mail server has to take."""
    assert len(AS_LONG_AS_MAY_BE) == LONGEST == 254
