"""E-mail addresses, as far as a program can tell: whether mail can be sent there, only sending shows."""

from __future__ import annotations

import re

LONGEST = 254
"""Characters, RFC 5321, 4.5.3.1.3."""
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*")
"""As browsers have it (HTML Living Standard, "Valid e-mail address"): no quotes, no comments, nothing that could be
more than one address or a header of its own."""


def email_address(typed: str) -> str | None:
    """The address that somebody typed, None where it can't be one."""
    found = typed.strip().removeprefix("mailto:")
    return found if len(found) <= LONGEST and _ADDRESS.fullmatch(found) else None
