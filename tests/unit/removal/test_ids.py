"""Matrix IDs and references as people type them."""

from __future__ import annotations

import pytest

from removal.ids import (
    USER_ID_MAX_BYTES,
    InvalidUserID,
    UserID,
    matches_any,
    parse_reference,
    parse_wave_reference,
    reference,
    wave_reference,
)

LONGEST = "@" + "a" * (USER_ID_MAX_BYTES - len("@:server")) + ":server"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("spam:server", "a Matrix ID begins with @"),
        ("", "a Matrix ID begins with @"),
        ("@spam", "a Matrix ID has a colon before its server name"),
        ("@:server", "the part between @ and : is empty or holds characters that no Matrix ID has"),
        ("@späm:server", "the part between @ and : is empty or holds characters that no Matrix ID has"),
        ("@spam:", "the part after the colon is no server name"),
        ("@spam:ser_ver", "the part after the colon is no server name"),
        ("@spam:server:port", "the part after the colon is no server name"),
        ("@spam:[::1", "the part after the colon is no server name"),
        (LONGEST.replace("@", "@a"), "a Matrix ID has at most 255 bytes"),
    ],
)
def test_what_is_no_matrix_id_is_said_to_be_none_and_why(text: str, why: str) -> None:
    """The first thing that is wrong with it, in words for whoever typed it."""
    with pytest.raises(InvalidUserID) as refused:
        UserID.parse(text)
    assert str(refused.value) == why


@pytest.mark.parametrize("text", [LONGEST, "@a:b", "@A/b=c:server:8448", "@x:[::1]:80", "@@x:server", "@!:1.2.3.4"])
def test_a_matrix_id_is_given_back_as_it_was(text: str) -> None:
    """Byte for byte: case matters."""
    assert str(UserID.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("spam", "@spam:server"),
        ("spam:server", "@spam:server"),
        ("spam:other", "@spam:other"),
        ("spam@server", "@spam:server"),
        ("spam@SERVER", "@spam:server"),
        ("spam@other", None),
        ("<@spam:server>", "@spam:server"),
        ("**@spam:server**,", "@spam:server"),
        ("_@spam:server_", "@spam:server"),
        ("@_spam_:server", None),
        ("_spam_", "@_spam_:server"),
        ("@spam:server's", "@spam:server"),
        ("@spam:server’s", "@spam:server"),
        ("＠spam：server", "@spam:server"),
        ("matrix.to/#/@spam:server", "@spam:server"),
        ("matrix.to/#/user/@spam:server", "@spam:server"),
        ("matrix.to/#/%40spam%3Aserver", "@spam:server"),
        ("@spam:SERVER", "@spam:server"),
        ("@spam:server", None),
        ("@spam:server:", "@spam:server"),
        ("@späm:server", None),
        ("late!", "@late:server"),
        ("so-and so", None),
        ("R7", None),
        ("", None),
        ("@", None),
    ],
)
def test_what_comes_near_a_matrix_id_is_understood_but_never_taken_for_one(text: str, meant: str | None) -> None:
    """It's shown to be asked about. A Matrix ID as it should be means nothing else."""
    guess = UserID.meant_by(text, "server")
    assert (None if guess is None else str(guess)) == meant


def test_a_glob_without_an_at_sign_is_held_against_the_localpart() -> None:
    """One with it, against the whole."""
    assert matches_any("@spam7:server", ["spam*"])
    assert matches_any("@spam7:server", ("nobody", "@*:server"))
    assert not matches_any("@spam7:server", ["@spam*:other", "server", "*:server", "@spam7"])
    assert not matches_any("@spam7:server", [])


@pytest.mark.parametrize("server", ["server", "server:8448", "[::1]:80"])
def test_a_localpart_ends_at_the_first_colon(server: str) -> None:
    """A server's port is no part of it."""
    assert matches_any(f"@spam7:{server}", ["spam?"])
    assert not matches_any(f"@spam7:{server}", ["spam7:*"])


@pytest.mark.parametrize("text", ["", "7", "R", "R0", "R07", "R-1", "R1.5", "RR7", "R7x", "R" + "1" * 19, "B7", "Ｒ7"])
def test_what_is_no_reference_is_none(text: str) -> None:
    """Also what a number would be made of with some goodwill."""
    assert parse_reference(text) is None
    assert parse_wave_reference(text.translate({ord("R"): "B", ord("B"): "R"})) is None


def test_a_reference_is_read_as_it_is_written() -> None:
    """In small letters, and with spaces around it, too."""
    for number in (1, 7, 10**17):
        assert parse_reference(reference(number)) == parse_reference(f" r{number} ") == number
        assert parse_wave_reference(wave_reference(number)) == parse_wave_reference(f" b{number} ") == number
    assert (reference(7), wave_reference(7)) == ("R7", "B7")
