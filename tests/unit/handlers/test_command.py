"""Parsing commands: only what stands at its place names a target, and whatever isn't understood is told precisely."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.command import (
    Argument,
    Command,
    Kind,
    Option,
    Parsed,
    Problem,
    UsageError,
    Why,
    nearest,
    parse,
    read_user,
    usage,
)
from handlers.message import Message, Word, read
from removal.ids import UserID
from removal.times import format_duration, parse_duration, parse_moment

SPAMMER = UserID("spammer", "test")
OTHER = UserID("bystander", "test")
DEACTIVATE = Command(
    "deactivate",
    (Argument("user", Kind.USER),),
    (
        Option("--erase"),
        Option("--no-erase", excludes=("--erase",)),
        Option("--reason", Kind.TEXT),
        Option("--dry-run"),
        Option("--in", Kind.DURATION, value_name="7d"),
        Option("--at", Kind.MOMENT, excludes=("--in",)),
        Option("--handover", Kind.USER, value_name="@user"),
    ),
)
STATUS = Command("status", (Argument("request", Kind.REFERENCE),))
HANDOVER = Command("handover", (Argument("room", Kind.ROOM), Argument("user", Kind.USER, required=False)))
REFUSE = Command("refuse", (Argument("request", Kind.REFERENCE), Argument("reason", Kind.TEXT)))


def message(body: str, html: str | None = None) -> Message:
    """What is read of somebody's text."""
    formatted = {} if html is None else {"format": "org.matrix.custom.html", "formatted_body": html}
    found = read({"msgtype": "m.text", "body": body, **formatted}, "!")
    assert found is not None
    return found


def understood(body: str, html: str | None = None, command: Command = DEACTIVATE) -> Parsed:
    """The parsed command, which must be understood."""
    found = parse(command, message(body, html), "test")
    assert isinstance(found, Parsed), found
    return found


def refused(body: str, html: str | None = None, command: Command = DEACTIVATE) -> UsageError:
    """The error that the text must give."""
    found = parse(command, message(body, html), "test")
    assert isinstance(found, UsageError), found
    return found


def pill(user_id: object, text: str) -> str:
    """A link to somebody, as clients make it."""
    return f'<a href="https://matrix.to/#/{user_id}">{text}</a>'


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("!deactivate @spammer", None),
        ("!deactivate @spammer:test", None),
        ("!deactivate `@spammer:test`", None),
        ('!deactivate "@spammer:test"', None),
        ("!deactivate https://matrix.to/#/@spammer:test", None),
        ("!deactivate <https://matrix.to/#/%40spammer%3Atest?via=test>", None),
        ("!deactivate matrix:u/spammer:test", None),
        ("!deactivate Spam King", f"!deactivate {pill(SPAMMER, 'Spam King')}"),
        ("!deactivate Spam King: ", f"!deactivate {pill(SPAMMER, 'Spam King')}: "),
        ("!Deactivate --erase", f"!Deactivate {pill(SPAMMER, '--erase')}"),
    ],
)
def test_every_way_to_write_an_account_means_the_same(body: str, html: str | None) -> None:
    """Short, whole, as code, quoted, as an address, as a URI, as a pill: one account, and nothing else was asked."""
    assert understood(body, html).values == {"user": SPAMMER}


LOCALPARTS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=":"), min_size=1, max_size=30
)
SERVERS = st.sampled_from(["test", "matrix.test:8448", "[::1]:80", "192.0.2.1"])


@given(LOCALPARTS, SERVERS, st.text(max_size=12), st.sampled_from(["typed", "address", "uri", "pill"]))
def test_an_account_comes_back_as_it_was_written(localpart: str, server: str, name: str, way: str) -> None:
    """For every Matrix ID, historical ones included, each way to write it reads back that very id."""
    user_id = UserID(localpart, server)
    encoded = quote(str(user_id), safe="")
    uri = f"matrix:u/{quote(str(user_id)[1:], safe='')}"
    texts = {
        "typed": (str(user_id), None),
        "address": (f"https://matrix.to/#/{encoded}", None),
        "uri": (uri, None),
        "pill": ("name", pill(encoded, name.replace("<", "").replace("&", ""))),
    }
    body, html = texts[way]
    found = parse(DEACTIVATE, message(f"!deactivate {body}", html and f"!deactivate {html}"), "elsewhere.test")
    if isinstance(found, UsageError):  # a display name may happen to be another Matrix ID
        assert way == "pill" and found.problem is Problem.CONFLICT
    else:
        assert found.user("user") == user_id


@pytest.mark.parametrize("erase", ["--erase", "—erase", "–erase", "―erase", "−−erase", "--ERASE", "-–erase", "‐‐erase"])
def test_a_phones_dashes_are_accepted(erase: str) -> None:
    """`--` typed on a phone arrives as one longer dash."""
    found = understood(f"!deactivate {erase} @spammer")
    assert found.values == {"--erase": True, "user": SPAMMER}


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("--reason spam --erase", "spam"),
        ("--erase --reason sends spam, again", "sends spam, again"),
        ('--reason "sends --erase spam" --erase', "sends --erase spam"),
        ("—reason “sends spam” —erase", "sends spam"),
        ("--reason=„sends spam“ --erase", "sends spam"),
        ("--reason=spam --erase", "spam"),
        ("--reason=spam in three rooms --erase", "spam in three rooms"),
        ("—reason=spam\nin “three rooms” —erase", "spam in three rooms"),
        ("--reason don't --ever spam --erase", "don't --ever spam"),
        ("--reason spam — and\nmore – of it —erase", "spam — and more – of it"),
        ('--reason said "buy this" --erase', "said buy this"),
    ],
)
def test_a_reason_is_quoted_or_runs_to_the_next_option(typed: str, reason: str) -> None:
    """Unquoted, only a known option ends it; quoted, only its quotation mark does."""
    found = understood(f"!deactivate @spammer {typed}")
    assert found.text("--reason") == reason
    assert found.flag("--erase")
    assert found.user("user") == SPAMMER


def test_people_in_a_reason_are_text() -> None:
    """A pill, an id or a contradicting pill within the reason names nobody and disturbs nobody."""
    found = understood(
        f"!deactivate @spammer --reason Helper saw {OTHER}",
        f"!deactivate @spammer --reason {pill('@helper:test', 'Helper')} saw {pill(SPAMMER, str(OTHER))}",
    )
    assert found.values == {"user": SPAMMER, "--reason": f"Helper saw {OTHER}"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("!deactivate", UsageError(Problem.MISSING_ARGUMENT, "user")),
        ("!deactivate --erase", UsageError(Problem.MISSING_ARGUMENT, "user")),
        ("!deactivate @spammer @bystander", UsageError(Problem.TWO_USERS, typed=str(OTHER))),
        ("!deactivate @spammer please", UsageError(Problem.TOO_MANY_ARGUMENTS, typed="please")),
        ('!deactivate @spammer "--erase"', UsageError(Problem.TOO_MANY_ARGUMENTS, typed="--erase")),
        ('!deactivate @spammer --reason "spam" and more', UsageError(Problem.TOO_MANY_ARGUMENTS, typed="and")),
        ("!deactivate @spammer --eras", UsageError(Problem.UNKNOWN_OPTION, typed="--eras", nearest="--erase")),
        ("!deactivate @spammer -erase", UsageError(Problem.UNKNOWN_OPTION, typed="-erase", nearest="--erase")),
        ("!deactivate @spammer --quickly", UsageError(Problem.UNKNOWN_OPTION, typed="--quickly")),
        ("!deactivate spammer", UsageError(Problem.NOT_A_USER, "user", "spammer", "@spammer:test", why=Why.NO_AT)),
        ("!deactivate Spam King", UsageError(Problem.NOT_A_USER, "user", "Spam", why=Why.NO_AT)),
        ("!deactivate @:test", UsageError(Problem.NOT_A_USER, "user", "@:test", why=Why.LOCALPART)),
        ("!deactivate @a:no_server", UsageError(Problem.NOT_A_USER, "user", "@a:no_server", why=Why.SERVER_NAME)),
        (f"!deactivate @{'a' * 250}:test",
         UsageError(Problem.NOT_A_USER, "user", f"@{'a' * 250}:test", why=Why.TOO_LONG)),
        ("!deactivate https://matrix.to/#/#lobby:test",
         UsageError(Problem.NOT_A_USER, "user", "https://matrix.to/#/#lobby:test", why=Why.OTHER_LINK)),
        ("!deactivate matrix:u/spammer",
         UsageError(Problem.NOT_A_USER, "user", "@spammer", "@spammer:test", why=Why.NO_SERVER)),
        ("!deactivate @spam\u200bmer:test", UsageError(Problem.STRANGE_CHARACTERS, "user", "@spam\u200bmer:test",
                                                       code_points=("U+200B ZERO WIDTH SPACE",))),
        ("!deactivate \u202e@spammer:test", UsageError(Problem.STRANGE_CHARACTERS, "user", "\u202e@spammer:test",
                                                       code_points=("U+202E RIGHT-TO-LEFT OVERRIDE",))),
        ("!deactivate @sp\u0430mmer", UsageError(Problem.STRANGE_CHARACTERS, "user", "@sp\u0430mmer",
                                                 code_points=("U+0430 CYRILLIC SMALL LETTER A",))),
        ("!deactivate https://matrix.to/#/@spam%E2%80%8Bmer:test",
         UsageError(Problem.STRANGE_CHARACTERS, "user", "@spam\u200bmer:test",
                    code_points=("U+200B ZERO WIDTH SPACE",))),
        ("!deactivate @spammer --erase=yes", UsageError(Problem.UNWANTED_VALUE, "--erase", "yes")),
        ("!deactivate @spammer --erase --no-erase", UsageError(Problem.CONTRADICTION, "--no-erase", nearest="--erase")),
        ("!deactivate @spammer --in 7d --at 2026-12-24", UsageError(Problem.CONTRADICTION, "--at", nearest="--in")),
        ("!deactivate @spammer --in 7d --in 8d", UsageError(Problem.GIVEN_TWICE, "--in")),
        ("!deactivate @spammer --reason a --reason b", UsageError(Problem.GIVEN_TWICE, "--reason")),
        ("!deactivate @spammer --reason", UsageError(Problem.MISSING_VALUE, "--reason")),
        ('!deactivate @spammer --reason ""', UsageError(Problem.MISSING_VALUE, "--reason")),
        ("!deactivate @spammer --reason --erase", UsageError(Problem.MISSING_VALUE, "--reason")),
        ("!deactivate @spammer --in --erase", UsageError(Problem.MISSING_VALUE, "--in")),
        ("!deactivate @spammer --in soon", UsageError(Problem.NOT_A_DURATION, "--in", "soon")),
        ("!deactivate @spammer --in 1M", UsageError(Problem.NOT_A_DURATION, "--in", "1M")),
        ("!deactivate @spammer --at 2026-02-30", UsageError(Problem.NOT_A_MOMENT, "--at", "2026-02-30")),
        ("!deactivate @spammer --handover me",
         UsageError(Problem.NOT_A_USER, "--handover", "me", "@me:test", why=Why.NO_AT)),
        ("!deactivate spammer please", UsageError(Problem.NOT_A_USER, "user", "spammer", why=Why.NO_AT)),
        ('!deactivate @spammer --reason "so', UsageError(Problem.UNFINISHED_QUOTE)),
        (f"!deactivate @spammer --reason {'x' * 501}", UsageError(Problem.TEXT_TOO_LONG, "--reason", limit=500)),
    ],
)  # fmt: skip
def test_each_mistake_gets_its_own_error(body: str, error: UsageError) -> None:
    """Every way to get it wrong is told apart, with what is needed to say what would be right."""
    assert refused(body) == error


@pytest.mark.parametrize(
    "typed",
    ["@spammer:test,", "@spammer:test.", "@spammer:test:", "@spammer:test!", "@spammer:test…", "<@spammer:test>",
     "(@spammer:test)", "**@spammer:test**", "_@spammer:test_", "@spammer:test's", "@spammer,", "@spammer!",
     "\u2068@spammer:test\u2069",
     "spammer:test", "spammer:test.", "spammer", "spammer,", "spammer@test", "@spammer@test", "@spammer@TEST",
     "@spammer:TEST", "＠spammer：test", "@spammer：test", "matrix.to/#/@spammer:test", "matrix.to/#/%40spammer%3Atest",
     "https://app.element.io/#/user/@spammer:test", "https://matrix.to/#/@spammer:test."],
)  # fmt: skip
def test_what_comes_near_a_matrix_id_is_asked_back_never_taken(typed: str) -> None:
    """It's no target, and the answer names the Matrix ID that was meant; that one, typed, is understood."""
    error = refused(f"!deactivate {typed} --erase")
    assert error.problem in (Problem.NOT_A_USER, Problem.STRANGE_CHARACTERS)
    assert error.nearest == str(SPAMMER)
    assert understood(f"!deactivate {error.nearest} --erase").user("user") == SPAMMER


@pytest.mark.parametrize(
    "typed",
    ["R7", "#lobby:test", "!room:test", "https://example.org/spammer", "spammer@mail.example", "mailto:spammer@test",
     "@:test", "@a:no_server", "@sp\u0430mmer:test", "?", "Spam King", "spammer please", "@spammer:test/@other:test"],
)  # fmt: skip
def test_where_it_is_not_clear_who_was_meant_nobody_is_named(typed: str) -> None:
    """References, rooms, addresses of other kinds, several words, foreign letters."""
    assert refused(f"!deactivate {typed}").nearest == ""


@given(st.text(max_size=40))
def test_whoever_is_named_could_be_typed_like_that(text: str) -> None:
    """Of anything that somebody may type, what is offered is a whole Matrix ID and not what was typed."""
    meant = UserID.meant_by(text, "test")
    assert meant is None or (UserID.parse(str(meant)) == meant and str(meant) != text)


@pytest.mark.parametrize("localpart", ["spammer_", "_spammer", "spammer.", "sp*m", "spammer-"])
def test_short_ids_that_may_exist_are_taken_as_they_are(localpart: str) -> None:
    """What Matrix allows in a name is no punctuation."""
    assert understood(f"!deactivate @{localpart}").user("user") == UserID(localpart, "test")


def test_accounts_of_other_servers_stay_theirs() -> None:
    """Another server's name is never replaced by one's own."""
    assert refused("!deactivate @spammer:other.test,").nearest == "@spammer:other.test"
    assert understood("!deactivate @spammer:other.test").user("user") == UserID("spammer", "other.test")


def test_a_quoted_value_behind_an_equals_sign_ends_with_its_quotation_mark() -> None:
    """So what follows it is a word of its own."""
    found = understood('!deactivate --reason="spam" @spammer')
    assert (found.text("--reason"), found.user("user")) == ("spam", SPAMMER)
    assert refused('!deactivate @spammer --reason="spam" @bystander').problem is Problem.TWO_USERS


def test_a_link_shown_as_somebody_else_is_refused() -> None:
    """Body and link naming different ids: nobody becomes a target, and both are told."""
    error = refused(f"!deactivate {OTHER}", f"!deactivate {pill(SPAMMER, 'King')}")
    assert error == UsageError(Problem.CONFLICT, "user", ids=(str(OTHER), str(SPAMMER)))


@pytest.mark.parametrize("fence", ["", "```\n"])
def test_accounts_under_a_command_are_its_own(fence: str) -> None:
    """`!exclude` takes every account off that was named, on whatever line: one that is passed over would be removed."""
    exclude = Command("exclude", arguments=(Argument("wave", Kind.WAVE), Argument("user", Kind.USER, many=True)))
    parsed = understood(f"!exclude B3 @a\n{fence}@b\n@c\n{fence}", command=exclude)
    assert [str(user) for user in parsed.users("user")] == [f"@{name}:test" for name in "abc"]


def test_what_was_typed_is_repeated_shortened() -> None:
    """An error never carries 60 KB."""
    assert len(refused(f"!deactivate {'x' * 60_000}").typed) < 400


def test_options_may_stand_anywhere_and_take_pills() -> None:
    """Before or behind the account, glued to their value or not."""
    found = understood(
        "!deactivate --in=1h30m Spam King --handover Helper --erase",
        f"!deactivate --in=1h30m {pill(SPAMMER, 'Spam King')} --handover {pill('@helper:test', 'Helper')} --erase",
    )
    assert found.user("user") == SPAMMER
    assert found.optional_user("--handover") == UserID("helper", "test")
    assert found.duration("--in") == timedelta(minutes=90)
    assert found.flag("--erase") and not found.flag("--dry-run")
    glued = understood("!deactivate @spammer --handover=Me", f"!deactivate @spammer --handover={pill(OTHER, 'Me')}")
    assert glued.optional_user("--handover") == OTHER


def test_a_repeated_switch_is_no_mistake() -> None:
    """Saying `--erase` twice means `--erase`."""
    assert understood("!deactivate @spammer --erase --erase").flag("--erase")


def test_what_was_not_given_is_absent() -> None:
    """Optional values are None or False, required ones can't be asked for in vain."""
    found = understood("!deactivate @spammer")
    assert (found.text("--reason"), found.duration("--in"), found.moment("--at")) == (None, None, None)
    assert found.optional_user("--handover") is None
    assert found.typed("--reason") == ""
    with pytest.raises(KeyError):
        found.reference("request")


@pytest.mark.parametrize(("typed", "number"), [("R7", 7), ("r12", 12), ("`R7`", 7)])
def test_a_reference_is_a_number(typed: str, number: int) -> None:
    """Capital or small, also as code; what was typed stays available."""
    found = understood(f"!status {typed}", command=STATUS)
    assert found.reference("request") == number
    assert found.typed("request") == typed


@pytest.mark.parametrize("typed", ["7", "R", "R0", "R-1", "@R7", "R7R"])
def test_anything_else_is_no_reference(typed: str) -> None:
    """Only `R` and a number is one."""
    assert refused(f"!status {typed}", command=STATUS) == UsageError(Problem.NOT_A_REFERENCE, "request", typed)


@pytest.mark.parametrize(
    ("typed", "room"),
    [
        ("#lobby", "#lobby:test"),
        ("#lobby:elsewhere.test", "#lobby:elsewhere.test"),
        ("!opaque", "!opaque"),
        ("!room:test", "!room:test"),
        ("https://matrix.to/#/%23lobby:test", "#lobby:test"),
        ("matrix:roomid/opaque", "!opaque"),
        ("#caf\u00e9:test", "#caf\u00e9:test"),
    ],
)
def test_a_room_is_an_id_an_address_or_a_link(typed: str, room: str) -> None:
    """Room ids are never taken apart: since room version 12 they hold no server name."""
    found = understood(f"!handover {typed} @bystander", command=HANDOVER)
    assert found.text("room") == room
    assert found.user("user") == OTHER


def test_a_room_pill_is_its_link() -> None:
    """A room's pill shows its name; the link counts."""
    html = '!handover <a href="https://matrix.to/#/!opaque?via=test">The lobby</a> @bystander'
    assert understood("!handover The lobby @bystander", html, HANDOVER).text("room") == "!opaque"


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("lobby", Problem.NOT_A_ROOM),
        ("@lobby:test", Problem.NOT_A_ROOM),
        ("https://matrix.to/#/@spammer:test", Problem.NOT_A_ROOM),
        ("#lob\u200bby:test", Problem.STRANGE_CHARACTERS),
    ],
)
def test_anything_else_is_no_room(typed: str, problem: Problem) -> None:
    """People aren't rooms, and nothing hides in an address."""
    assert refused(f"!handover {typed}", command=HANDOVER).problem is problem


def test_a_closing_text_argument_takes_the_rest() -> None:
    """A text needs no quotation marks where nothing follows it."""
    found = understood("!refuse R7 please ask   again later", command=REFUSE)
    assert found.text("reason") == "please ask again later"
    assert refused("!refuse R7", command=REFUSE) == UsageError(Problem.MISSING_ARGUMENT, "reason")


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("2026-12-24", datetime(2026, 12, 24, tzinfo=UTC)),
        ("2026-12-24T18:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24t18:00:05", datetime(2026, 12, 24, 18, 0, 5, tzinfo=UTC)),
        ("2026-12-24T18:00+00:00", datetime(2026, 12, 24, 18, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_day_or_a_time_in_utc(typed: str, moment: datetime) -> None:
    """A day begins at midnight UTC."""
    assert understood(f"!deactivate @spammer --at {typed}").moment("--at") == moment


@pytest.mark.parametrize(
    "typed", ["", "24.12.2026", "2026-12-24T25:00Z", "2026-12-24T18:00+01:00", "2026-13-01", "٢٠٢٦-12-24"]
)
def test_anything_else_is_no_moment(typed: str) -> None:
    """Other zones and other writings are refused, not guessed."""
    with pytest.raises(ValueError, match=r".+"):
        parse_moment(typed)


@given(st.integers(0, 10**8))
def test_a_length_of_time_comes_back_as_it_was_written(seconds: int) -> None:
    """What is written out reads back as the same length."""
    length = timedelta(seconds=seconds)
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize("typed", ["", "7", "d", "-7d", "7days", "1.5h", "1m1h", "1M", "７d", "99999999999999s"])
def test_anything_else_is_no_length_of_time(typed: str) -> None:
    """Numbers without a unit, other units, and the wrong order are refused."""
    with pytest.raises(ValueError, match="a number and a unit"):
        parse_duration(typed)


def test_only_a_full_matrix_id_is_one_where_that_is_asked() -> None:
    """Where people confirm by their own Matrix ID, the short form isn't enough."""
    assert read_user(Word("@spammer:test"), None) == SPAMMER
    assert read_user(Word("@spammer"), None) == UsageError(Problem.NOT_A_USER, "user", "@spammer", why=Why.NO_SERVER)


def test_usage_follows_the_declaration() -> None:
    """What people are shown is what the parser reads."""
    line = (
        "!deactivate <user> [--erase] [--no-erase] [--reason TEXT] [--dry-run] [--in 7d] [--at MOMENT] "
        "[--handover @user]"
    )
    assert usage(DEACTIVATE, "!") == line
    assert usage(HANDOVER, "%") == "%handover <room> [user]"


def test_the_nearest_command_is_found() -> None:
    """A slip of the finger leads to the command meant, nonsense to none."""
    names = ["deactivate", "status", "cancel"]
    assert nearest("deactvate", names) == "deactivate"
    assert nearest("x" * 60_000, names) is None


PIECES = st.sampled_from(
    ["@", ":", "test", "--erase", "—reason", "--in", "7d", "=", '"', "“", "'", " ", " ", "\n", "\u200b", "\u202e", "`",
     "R7", "@bystander:test", "@bystander", "https://matrix.to/#/@bystander:test", "matrix:u/bystander:test", "> ",
     "!deactivate"]
)  # fmt: skip
RAMBLING = st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)
COMMANDS = st.sampled_from([DEACTIVATE, STATUS, HANDOVER, REFUSE])


@given(COMMANDS, RAMBLING, st.none() | RAMBLING)
def test_any_message_is_parsed_or_refused(command: Command, body: str, html: str | None) -> None:
    """Parsing never raises, and what it understood holds exactly what the declaration requires."""
    found = parse(command, message(f"!{command.name} {body}", html and f"!{command.name} {html}"), "test")
    if isinstance(found, Parsed):
        required = {argument.name for argument in command.arguments if argument.required}
        declared = {argument.name for argument in command.arguments} | {option.name for option in command.options}
        assert required <= found.values.keys() <= declared


@given(RAMBLING, st.booleans())
def test_nothing_but_the_arguments_place_names_a_target(rambling: str, quoted: bool) -> None:
    """Whatever a reason holds, mentions say, or a reply quotes: the target is the one at the argument's place."""
    reason = '"' + rambling.replace('"', "").replace("“", "") + '"' if quoted else rambling.replace("—", "")
    content: dict[str, Any] = {
        "msgtype": "m.text",
        "body": f"> <{OTHER}> !deactivate {OTHER}\n\n!deactivate @spammer --reason {reason}",
        "m.mentions": {"user_ids": [str(OTHER)]},
        "m.relates_to": {"m.in_reply_to": {"event_id": "$quoted"}},
    }
    said = read(content, "!")
    assert said is not None
    found = parse(DEACTIVATE, said, "test")
    assert isinstance(found, UsageError) or found.user("user") == SPAMMER


@given(RAMBLING)
def test_no_display_name_names_a_target(name: str) -> None:
    """Whatever somebody calls themselves, their pill means them, or nobody where the name is another full Matrix ID."""
    shown = " ".join(name.replace("<", "").replace("&", "").split())
    found = parse(DEACTIVATE, message(f"!deactivate {shown}", f"!deactivate {pill(SPAMMER, shown)}"), "test")
    if isinstance(found, UsageError):
        assert found.problem is Problem.CONFLICT
    else:
        assert found.values == {"user": SPAMMER}


def test_an_edit_has_no_words_to_parse() -> None:
    """Even if somebody parsed an edit, it would name nobody."""
    edit = read(
        {"msgtype": "m.text", "body": "* x", "m.new_content": {"msgtype": "m.text", "body": "!deactivate @a"}}, "!"
    )
    assert edit is not None and edit.is_edit
    assert parse(DEACTIVATE, replace(edit, is_edit=False), "test") == UsageError(Problem.MISSING_ARGUMENT, "user")
