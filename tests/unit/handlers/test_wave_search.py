"""What of a glob the homeserver is asked to search for: everything that the glob names must hold it."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.admin_room.wave_search import literal


@pytest.mark.parametrize(
    ("glob", "searched"),
    [
        ("spam*", "spam"),
        ("*pills-2026?", "pills-2026"),
        ("@spam*:lethe.test", "spam"),
        ("a[bcdefgh]*", "a"),
        ("s_pam*", "pam"),
        ("Spam.bot=*", "pam.bot="),
        ("*", ""),
        ("[a-z]*", ""),
    ],
)
def test_what_is_searched_for(glob: str, searched: str) -> None:
    """Neither wildcards of Synapse's own, nor capital letters, nor one character out of several."""
    assert literal(glob) == searched


@given(st.text("abAB01._=-*?[]!", max_size=12), st.text("abAB01._=-", min_size=1, max_size=12))
def test_nobody_is_missed(glob: str, localpart: str) -> None:
    """Whoever a glob names is among those that the homeserver finds."""
    if fnmatchcase(localpart, glob):
        assert literal(glob) in localpart
