"""What each kind of value is read from, what is said where it can't be, and how a command is shown to people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handlers.command import Argument, Command, Kind, Option, Problem, UsageError, Why, nearest, short_usage, usage
from removal.ids import UserID
from tests.unit.handlers.test_command import DEACTIVATE, HANDOVER, OTHER, REFUSE, SPAMMER, STATUS, pill
from tests.unit.handlers.test_command import refused as refused_by
from tests.unit.handlers.test_command import understood as understood_by

PAUSE = Command("pause", (Argument("wave", Kind.WAVE),))
CANCEL = Command("cancel", (Argument("reference", Kind.ANY_REFERENCE),))
EXCLUDE = Command("exclude", (Argument("wave", Kind.WAVE), Argument("accounts", Kind.USER, many=True)))
WAVE = Command("wave", (Argument("accounts", Kind.USER, required=False, many=True),), takes_list=True)
INFO = Command("info", (Argument("whom", Kind.ACCOUNT),))
REDACT = Command(
    "redact", (Argument("user", Kind.USER),), (Option("--since", Kind.PAST), Option("--room", Kind.ROOM))
)  # fmt: skip


# --- waves and requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("typed", "number"), [("B3", 3), ("b12", 12), ("`B3`", 3)])
@pytest.mark.parametrize("command", [PAUSE, CANCEL])
def test_a_wave_is_named_by_its_number(command: Command, typed: str, number: int) -> None:
    """Capital or small, also as code; also where a request could be named instead."""
    assert understood_by(f"!{command.name} {typed}", command=command).wave(command.arguments[0].name) == number


@pytest.mark.parametrize("typed", ["R7", "r7", "`R7`"])
def test_where_either_may_be_named_a_request_is_no_wave(typed: str) -> None:
    """`R7` is the request, and no wave was named."""
    found = understood_by(f"!cancel {typed}", command=CANCEL)
    assert (found.reference("reference"), found.wave("reference")) == (7, None)


@pytest.mark.parametrize("typed", ["R7", "3", "B", "B0", "@spammer"])
def test_anything_else_is_no_wave(typed: str) -> None:
    """A request's number least of all: it would be another thing that is paused."""
    assert refused_by(f"!pause {typed}", command=PAUSE) == UsageError(Problem.NOT_A_WAVE, "wave", typed)


@pytest.mark.parametrize("typed", ["7", "B0", "R0", "@spammer"])
def test_where_either_may_be_named_anything_else_is_no_reference(typed: str) -> None:
    """The argument and what was typed are named."""
    assert refused_by(f"!cancel {typed}", command=CANCEL) == UsageError(Problem.NOT_A_REFERENCE, "reference", typed)


# --- accounts --------------------------------------------------------------------------------------------------------


def test_many_accounts_are_taken_whole_or_not_at_all() -> None:
    """One that can't be read is told by what was typed: the others alone are never taken."""
    found = understood_by("!exclude B3 @spammer @bystander", command=EXCLUDE)
    assert found.command is EXCLUDE
    assert found.users("accounts") == (SPAMMER, OTHER)
    assert found.typed("accounts") == "@spammer @bystander"
    error = UsageError(Problem.NOT_A_USER, "accounts", "bystander", "@bystander:test", why=Why.NO_AT)
    assert refused_by("!exclude B3 @spammer bystander", command=EXCLUDE) == error


def test_a_list_under_a_command_that_reads_it_by_itself_is_no_words() -> None:
    """So only what stands in the command's own line is an argument."""
    assert understood_by("!wave\n@spammer\n@bystander", command=WAVE).users("accounts") == ()
    assert understood_by("!wave @other\n@spammer\n@bystander", command=WAVE).users("accounts") == (
        UserID("other", "test"),
    )


@pytest.mark.parametrize("typed", ["spammer@mail.example", "+49301234567", "030/123-456"])
def test_an_account_may_be_named_by_an_address(typed: str) -> None:
    """An e-mail address or a phone number comes back as it was typed."""
    assert understood_by(f"!info {typed}", command=INFO).text("whom") == typed


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("!info @spammer", None),
        ("!info @spammer:test", None),
        ("!info matrix:u/spammer:test", None),
        ("!info me@mail.example", f"!info {pill(SPAMMER, 'me@mail.example')}"),
    ],
)
def test_an_account_that_may_be_an_address_may_be_a_matrix_id(body: str, html: str | None) -> None:
    """Then it's no text; and a pill means whom it links, whatever address they call themselves."""
    found = understood_by(body, html, INFO)
    assert (found.user("whom"), found.text("whom")) == (SPAMMER, None)


def test_what_is_neither_account_nor_address_is_told() -> None:
    """As for every account, with what was perhaps meant."""
    error = UsageError(Problem.NOT_A_USER, "whom", "spammer", "@spammer:test", why=Why.NO_AT)
    assert refused_by("!info spammer", command=INFO) == error


def test_a_name_with_its_server_is_offered_whatever_follows() -> None:
    """Of several words, one with a colon is hardly somebody's first name."""
    error = UsageError(Problem.NOT_A_USER, "user", "spammer:test", "@spammer:test", why=Why.NO_AT)
    assert refused_by("!deactivate spammer:test please") == error


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("@spammer:other.test.", UsageError(Problem.NOT_A_USER, "whom", "@spammer:other.test.", "@spammer:other.test",
                                            why=Why.SERVER_NAME)),
        ("@spammer:test.", UsageError(Problem.NOT_A_USER, "whom", "@spammer:test.", str(SPAMMER),
                                      why=Why.SERVER_NAME)),
        ("@spammer:TEST", UsageError(Problem.NOT_A_USER, "whom", "@spammer:TEST", str(SPAMMER), why=Why.OTHER_CASE)),
        ("@:no_server:80", UsageError(Problem.NOT_A_USER, "whom", "@:no_server:80", why=Why.LOCALPART)),
        (f"@{'a' * 244}:no_server",
         UsageError(Problem.NOT_A_USER, "whom", f"@{'a' * 244}:no_server", why=Why.SERVER_NAME)),
        ("@a\ue000:test",
         UsageError(Problem.STRANGE_CHARACTERS, "whom", "@a\ue000:test", code_points=("U+E000",))),
        ("`?`", UsageError(Problem.NOT_A_USER, "whom", "?", why=Why.NO_AT)),
        ("``", UsageError(Problem.NOT_A_USER, "whom", "``", why=Why.NO_AT)),
    ],
)  # fmt: skip
def test_why_it_is_no_account_is_told(typed: str, error: UsageError) -> None:
    """The sentence's full stop, capitals, a part that is missing or wrong, a character that has no name."""
    assert refused_by(f"!info {typed}", command=INFO) == error


def test_what_is_told_of_long_texts_is_cut() -> None:
    """Three hundred characters of what was typed, eight strange ones; a thousand are looked at for whom was meant."""
    assert refused_by(f"!deactivate @spammer {'x' * 300}").typed == "x" * 300
    assert refused_by(f"!deactivate @spammer {'x' * 301}").typed == "x" * 300 + "…"
    letters = [chr(0x430 + number) for number in range(9)]
    named = refused_by(f"!deactivate @{''.join(letters)}").code_points
    assert [point.split()[0] for point in named] == [f"U+{ord(letter):04X}" for letter in letters[:8]]
    ending = "." * (1_000 - len("spammer:test"))
    assert refused_by(f"!deactivate spammer:test{ending}%").nearest == str(SPAMMER)
    assert refused_by(f"!deactivate spammer:test{ending[1:]}%").nearest == ""


# --- times -----------------------------------------------------------------------------------------------------------


def test_a_time_in_the_past_is_a_length_or_a_date() -> None:
    """Each is only what it is."""
    ago = understood_by("!redact @spammer --since 2h", command=REDACT)
    assert (ago.duration("--since"), ago.moment("--since"), ago.text("--since")) == (timedelta(hours=2), None, None)
    on = understood_by("!redact @spammer --since 2026-12-24", command=REDACT)
    assert (on.duration("--since"), on.moment("--since")) == (None, datetime(2026, 12, 24, tzinfo=UTC))


@pytest.mark.parametrize("typed", ["yesterday", "2026-02-30", "2", "1M", "99999999999999s"])
def test_anything_else_is_no_time_in_the_past(typed: str) -> None:
    """The option and what was typed are named."""
    error = UsageError(Problem.NOT_A_PAST, "--since", typed)
    assert refused_by(f"!redact @spammer --since {typed}", command=REDACT) == error


# --- rooms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "html", "error"),
    [
        ("!handover lobby", None, UsageError(Problem.NOT_A_ROOM, "room", "lobby")),
        ("!handover https://matrix.to/#/@spammer:test", None, UsageError(Problem.NOT_A_ROOM, "room", str(SPAMMER))),
        ("!handover #lob\u200bby:test", None,
         UsageError(Problem.STRANGE_CHARACTERS, "room", "#lob\u200bby:test", code_points=("U+200B ZERO WIDTH SPACE",))),
        ("!handover #other Bystander", f"!handover #lobby {pill(OTHER, 'Bystander')}",
         UsageError(Problem.CONFLICT, "room", ids=("", "#lobby"))),
    ],
)  # fmt: skip
def test_what_is_no_room_is_told_with_its_reason(body: str, html: str | None, error: UsageError) -> None:
    """Not a room, something unseen in it, or two texts that say different things."""
    assert refused_by(body, html, HANDOVER) == error
    option = body.replace("!handover", "!redact @spammer --room")
    formatted = html and html.replace("!handover", "!redact @spammer --room")
    assert refused_by(option, formatted, REDACT).name == "--room"


@pytest.mark.parametrize("unseen", ["\u200b", "\u0007", "\ue000", "\u0378"])
def test_nothing_unseen_is_in_a_rooms_address(unseen: str) -> None:
    """Formatting, control, private and unassigned characters."""
    assert refused_by(f"!handover #lob{unseen}by:test", command=HANDOVER).problem is Problem.STRANGE_CHARACTERS


# --- options and texts -----------------------------------------------------------------------------------------------


def test_a_text_may_be_as_long_as_its_limit() -> None:
    """Five hundred characters are taken, and not one more."""
    assert understood_by(f"!deactivate @spammer --reason {'x' * 500}").text("--reason") == "x" * 500
    assert refused_by(f"!deactivate @spammer --reason {'x' * 501}").problem is Problem.TEXT_TOO_LONG


def test_an_option_with_its_value_glued_to_it_ends_a_text_too() -> None:
    """Unquoted, a reason runs to the next option, however that is written."""
    found = understood_by("!deactivate @spammer --reason sends spam --in=7d")
    assert (found.text("--reason"), found.duration("--in")) == ("sends spam", timedelta(days=7))


@pytest.mark.parametrize("typed", ["--x", "--x=1", "--x1"])
def test_a_short_option_is_one(typed: str) -> None:
    """One letter behind the dashes makes an option, and an unknown one is told."""
    error = UsageError(Problem.UNKNOWN_OPTION, typed=typed.partition("=")[0])
    assert refused_by(f"!deactivate @spammer {typed}") == error


def test_an_empty_argument_is_a_missing_one() -> None:
    """Quotation marks around nothing name nobody."""
    assert refused_by('!deactivate ""') == UsageError(Problem.MISSING_ARGUMENT, "user")


def test_what_was_typed_is_kept_word_by_word() -> None:
    """With one blank between the words."""
    found = understood_by("!refuse R7 please   ask again", command=REFUSE)
    assert found.command is REFUSE
    assert (found.typed("request"), found.typed("reason")) == ("R7", "please ask again")


# --- how commands are shown ------------------------------------------------------------------------------------------


def test_usage_shows_where_several_may_stand() -> None:
    """By an ellipsis behind the name."""
    assert usage(EXCLUDE, "!") == "!exclude <wave> <accounts …>"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (DEACTIVATE, "!deactivate @user"),
        (STATUS, "!status R7"),
        (PAUSE, "!pause B3"),
        (CANCEL, "!cancel R7"),
        (HANDOVER, "!handover #room"),
        (REFUSE, "!refuse R7 <reason>"),
        (EXCLUDE, "!exclude B3 @user"),
        (WAVE, "!wave @user"),
        (Command("requests", options=(Option("--all"),)), "!requests"),
    ],
)
def test_the_short_usage_is_an_example(command: Command, line: str) -> None:
    """What is required, or mostly given, as people would write it; no options."""
    assert short_usage(command, "!") == line


def test_how_near_a_name_must_come_can_be_chosen() -> None:
    """The stricter it is, the fewer are found; the nearest comes first; of what was typed, forty characters count."""
    assert nearest("statis", ["status"]) == "status"
    assert nearest("statis", ["status"], cutoff=0.9) is None
    assert nearest("status", ["state", "statu", "status"]) == "status"
    assert nearest("x" * 60_000, ["x" * 40], cutoff=1.0) == "x" * 40
