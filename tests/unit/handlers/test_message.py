"""Reading messages: whatever their content, the words are those that people see, and a link is one word."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.links import Link, LinkKind, parse_link
from handlers.message import Message, Word, read

SPAMMER = "@spammer:test"
OTHER = "@bystander:test"


def said(body: str, html: str | None = None, **more: Any) -> dict[str, Any]:
    """The content of a message, with formatting where some is given."""
    formatted = {} if html is None else {"format": "org.matrix.custom.html", "formatted_body": html}
    return {"msgtype": "m.text", "body": body, **formatted, **more}


def message(content: dict[str, Any]) -> Message:
    """What is read of a message that must be one."""
    found = read(content, "!")
    assert found is not None
    return found


def pill(user_id: str, text: str) -> str:
    """A link to somebody, as clients make it."""
    return f'<a href="https://matrix.to/#/{user_id}">{text}</a>'


def user(user_id: str, text: str) -> Word:
    """The word that a pill is read as."""
    return Word(text, Link(LinkKind.USER, user_id))


@pytest.mark.parametrize(
    "address",
    [
        "https://matrix.to/#/@spammer:test",
        "http://matrix.to/#/@spammer:test",
        "HTTPS://Matrix.To/#/@spammer:test",
        "https://www.matrix.to/#/@spammer:test",
        "https://matrix.to#/@spammer:test",
        "https://matrix.to/#/%40spammer%3Atest",
        "https://matrix.to/#/%40spammer:test?via=elsewhere.test&via=test",
        "https://matrix.to/#/@spammer:test/",
        "matrix:u/spammer:test",
        "matrix:u/spammer:test?action=chat",
        "matrix:user/spammer:test",
        "matrix://test/u/spammer:test",
        "MATRIX:u/spammer%3Atest",
    ],
)
def test_every_way_to_link_somebody_names_them(address: str) -> None:
    """matrix.to addresses and matrix: URIs, encoded or not, with or without routing, name the same account."""
    assert parse_link(address) == Link(LinkKind.USER, SPAMMER)


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://matrix.to/#/#lobby:test", Link(LinkKind.ROOM, "#lobby:test")),
        ("https://matrix.to/#/%23lobby%3Atest?via=test", Link(LinkKind.ROOM, "#lobby:test")),
        ("https://matrix.to/#/!opaque", Link(LinkKind.ROOM, "!opaque")),
        ("https://matrix.to/#/!room:test/$event:test?via=test", Link(LinkKind.EVENT, "$event:test")),
        ("matrix:r/lobby:test", Link(LinkKind.ROOM, "#lobby:test")),
        ("matrix:roomid/opaque?via=test", Link(LinkKind.ROOM, "!opaque")),
        ("matrix:roomid/room:test/e/event", Link(LinkKind.EVENT, "$event")),
        ("https://matrix.to/#/@a/b:test", Link(LinkKind.USER, "@a/b:test")),
        ("https://matrix.to/#/@a%2Fb%3Fc:test", Link(LinkKind.USER, "@a/b?c:test")),
        ("https://matrix.to/#/@a+b:test", Link(LinkKind.USER, "@a+b:test")),
        ("https://matrix.to/#/@a%2540b:test", Link(LinkKind.USER, "@a%40b:test")),
    ],
)
def test_links_are_told_apart_and_decoded_once(address: str, link: Link) -> None:
    """Rooms, events and people are different things, and an escaped escape stays one."""
    assert parse_link(address) == link


@pytest.mark.parametrize(
    "address",
    [
        "https://matrix.to.evil.test/#/@spammer:test",
        "https://evil.test/#/@spammer:test",
        "https://matrix.to@evil.test/#/@spammer:test",
        "https://evil.test/https://matrix.to/#/@spammer:test",
        "https://matrix.to/elsewhere#/@spammer:test",
        "https://matrix.to/#/spammer",
        "https://matrix.to/#/%ff",
        "https://matrix.to/#/@sp ammer:test",
        "https://[::1/#/@spammer:test",
        "javascript:matrix:u/spammer:test",
        "matrix:u/",
        "matrix:x/spammer:test",
        "",
    ],
)
def test_other_addresses_name_nobody(address: str) -> None:
    """What only looks like a link into Matrix isn't one."""
    assert parse_link(address) is None


def test_a_pill_is_one_word_at_its_place() -> None:
    """A display name with spaces, options and another Matrix ID within is one word, and its target is the link's."""
    name = f"Spam --erase King of {OTHER}"
    found = message(said(f"!deactivate {name} --dry-run", f"!deactivate {pill(SPAMMER, name)} --dry-run"))
    assert found == Message("deactivate", (user(SPAMMER, name), Word("--dry-run")))


def test_without_links_to_people_the_body_is_read() -> None:
    """Markdown takes underscores out of an id in `formatted_body`, so that isn't where a typed id is read."""
    found = message(said("!deactivate @_spam_:test", "!deactivate @<em>spam</em>:test"))
    assert found.words == (Word("@_spam_:test"),)


def test_an_id_that_markdown_changed_beside_a_pill_is_the_typed_one() -> None:
    """Where a pill elsewhere in the message makes `formatted_body` count, a typed id is still taken as typed."""
    found = message(
        said(
            "!deactivate @_spam_:test --reason asked by Helper",
            f"!deactivate @<em>spam</em>:test --reason asked by {pill(OTHER, 'Helper')}",
        )
    )
    assert found.words[0] == Word("@_spam_:test")


def test_an_id_that_only_the_formatting_shows_is_a_conflict() -> None:
    """An id in `formatted_body` that `body` doesn't hold names nobody."""
    found = message(said("!deactivate Name x", f"!deactivate @spammer:test {pill(OTHER, 'x')}"))
    assert found.words[0].conflict == ("", SPAMMER)


@pytest.mark.parametrize(
    ("body", "html"),
    [
        (f"!deactivate {OTHER}", f"!deactivate {pill(SPAMMER, OTHER)}"),
        (f"!deactivate {OTHER}", f"!deactivate {pill(SPAMMER, 'Spam King')}"),
        (f"!deactivate --erase {OTHER}", f"!deactivate --erase {pill(SPAMMER, 'Spam King')}"),
        (f"!deactivate [Spam King](https://matrix.to/#/{OTHER})", f"!deactivate {pill(SPAMMER, 'Spam King')}"),
        (f"!deactivate https://matrix.to/#/{OTHER}", f"!deactivate {pill(SPAMMER, 'Spam King')}"),
        ("!deactivate King", f"!deactivate {pill(SPAMMER, f'https://matrix.to/#/{OTHER}')}"),
        ("!deactivate King", f"!deactivate {pill(SPAMMER, '<b>@by</b>stander:test')}"),
        (f"!deactivate  *now*  {OTHER}", f"!deactivate <em>now</em> {pill(SPAMMER, 'Spam King')}"),
        (f"!deactivate {OTHER} --reason {SPAMMER}", f"!deactivate {pill(SPAMMER, 'King')} --reason {OTHER}"),
    ],
)
def test_a_link_shown_as_somebody_else_is_a_conflict(body: str, html: str) -> None:
    """Where `body` or the link's own text names another full Matrix ID at its place, both ids are kept and marked."""
    conflicts = [word.conflict for word in message(said(body, html)).words if word.link]
    assert conflicts == [(OTHER, SPAMMER)]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"!deactivate {SPAMMER}", SPAMMER),
        ("!deactivate Spam King", "Spam King"),
        (f"!deactivate {SPAMMER}", "Spam King"),
        (f"!deactivate [Spam King](https://matrix.to/#/{SPAMMER})", "Spam King"),
        (f"!deactivate https://matrix.to/#/{SPAMMER}", f"https://matrix.to/#/{SPAMMER}"),
        (f"!deactivate Spam King --reason like {OTHER}", "Spam King"),
        ("!deactivate [Spam King]", "[Spam King]"),
    ],
)
def test_a_link_shown_as_itself_is_no_conflict(body: str, text: str) -> None:
    """What clients put into `body` for a pill doesn't contradict it."""
    tail = f" --reason like {OTHER}" if OTHER in body else ""
    assert message(said(body, f"!deactivate {pill(SPAMMER, text)}{tail}")).words[0] == user(SPAMMER, text)


def test_a_reply_names_nobody_it_quotes() -> None:
    """The quoted part of a reply, in `body` and `formatted_body`, and `m.mentions` are no words of the message."""
    found = message(
        said(
            f"> <{OTHER}> !deactivate {OTHER}\n> more\n\n!deactivate Spam King",
            f'<mx-reply><blockquote><a href="https://matrix.to/#/!r/$e">In reply to</a> {pill(OTHER, "By")}<br>'
            f"!deactivate {OTHER}</blockquote></mx-reply>!deactivate {pill(SPAMMER, 'Spam King')}",
            **{"m.relates_to": {"m.in_reply_to": {"event_id": "$quoted"}}, "m.mentions": {"user_ids": [OTHER]}},
        )
    )
    assert found == Message("deactivate", (user(SPAMMER, "Spam King"),), reply_to="$quoted")


def test_a_reply_with_only_a_body_names_nobody_it_quotes() -> None:
    """The `> ` lines go, also where the relation is missing."""
    fallback = f"> <{OTHER}> hello\n\n!deactivate {SPAMMER}"
    assert message(said(fallback)).words == (Word(SPAMMER),)
    relation: dict[str, Any] = {"m.relates_to": {"m.in_reply_to": {"event_id": "$quoted"}}}
    assert message(said(f"> {OTHER}\n!deactivate {SPAMMER}", **relation)).words == (Word(SPAMMER),)


def test_a_command_that_somebody_quotes_is_none() -> None:
    """A message that begins with a quotation of one's own isn't a command."""
    assert message(said(f"> as they said\n!deactivate {SPAMMER}")).command is None


@pytest.mark.parametrize("relation", [{"rel_type": "m.replace", "event_id": "$x"}, {}])
def test_an_edit_names_nobody(relation: dict[str, str]) -> None:
    """Of an edit only the command's name is known, also where the relation is missing."""
    content = said(f"* !deactivate {SPAMMER}") | {
        "m.relates_to": relation,
        "m.new_content": said(f"!deactivate {SPAMMER}"),
    }
    assert read(content, "!") == Message("deactivate", (), is_edit=True)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"body": "!help"},
        {"msgtype": "m.notice", "body": "!help"},
        {"msgtype": "m.emote", "body": "!help"},
        {"msgtype": "m.image", "body": "!help"},
        {"msgtype": ["m.text"], "body": "!help"},
        {"msgtype": "m.text", "body": ["!help"]},
        {"msgtype": "m.text", "formatted_body": "!help", "format": "org.matrix.custom.html"},
    ],
)
def test_only_text_is_read(content: dict[str, Any]) -> None:
    """Notices, emotes, files and content without a text are nothing that somebody wrote."""
    assert read(content, "!") is None


@pytest.mark.parametrize(
    ("text", "command"),
    [("!help", "help"), ("!HELP me", "help"), ("  !help", "help"), ("\u00a0!help\u00a0me", "help"), ("help", None),
     ("!", None), ("!!!", None), ("what? !help", None), ('"!help"', None), ("", None)],
)  # fmt: skip
def test_a_command_is_the_prefix_and_a_name(text: str, command: str | None) -> None:
    """The first word decides, in capitals or not; exclamation marks alone are no command."""
    assert message(said(text)).command == command


def test_texts_that_hold_different_commands_are_none() -> None:
    """Where two clients would show two commands, neither is obeyed."""
    found = message(said("!status R7", f"!deactivate {pill(SPAMMER, 'King')}"))
    assert found.command is None


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ('"a b" c', [("a b", True), ("c", False)]),
        ("“a b” c", [("a b", True), ("c", False)]),
        ("„a b“ c", [("a b", True), ("c", False)]),
        ("«a b» »c d«", [("a b", True), ("c d", True)]),
        ("‘a b’ 'c d'", [("a b", True), ("c d", True)]),
        ("don't don’t", [("don't", False), ("don’t", False)]),
        ("'tis 5\" wide", [("'tis", False), ('5"', False), ("wide", False)]),
        ("'it's so'", [("it's so", True)]),
        ('--reason="a b"', [("--reason=a b", False)]),
        ("—reason=“a b”", [("—reason=a b", False)]),
        ("“a b”.", [("a b.", True)]),
        ('"" x', [("", True), ("x", False)]),
        ("a\u00a0b\u3000c\nd", [("a", False), ("b", False), ("c", False), ("d", False)]),
        ("a \u200b\u2069 b", [("a", False), ("b", False)]),
    ],
)
def test_quoted_text_is_one_word(typed: str, words: list[tuple[str, bool]]) -> None:
    """Straight and curly quotation marks hold words together, apostrophes and inches don't; any blank separates."""
    found = message(said(f"!x {typed}"))
    assert [(word.text, word.quoted) for word in found.words] == words
    assert not found.unfinished_quote


def test_an_unfinished_quotation_is_noticed() -> None:
    """A double quotation mark that opens and never closes is told, since where the text ends is unknown."""
    assert message(said('!x "a b')).unfinished_quote


def test_a_pill_in_quotation_marks_is_text() -> None:
    """Within quotation marks nobody is named."""
    found = message(said('!x "as King said"', f'!x "as {pill(SPAMMER, "King")} said"'))
    assert found.words == (Word("as King said", quoted=True),)


def test_punctuation_that_clients_put_behind_a_pill_is_no_word() -> None:
    """`Name: ` is how clients complete a name."""
    found = message(said("!x King: now", f"!x {pill(SPAMMER, 'King')}: now"))
    assert found.words == (user(SPAMMER, "King"), Word("now"))


@pytest.mark.parametrize("tag", ["svg", "template", "script", "style", "mx-reply", "noscript", "title"])
def test_links_that_nobody_sees_name_nobody(tag: str) -> None:
    """What clients don't show isn't read."""
    found = message(said("!x King", f"!x <{tag}>{pill(OTHER, 'By')}</{tag}> {pill(SPAMMER, 'King')}"))
    assert OTHER not in [word.link.target for word in found.words if word.link]


@pytest.mark.parametrize(
    "html",
    ["<b>" * 20_000, "<div><a href='matrix:u/x:y'>" * 2_000, "&#0;<a href=", "<a " + "x=1 " * 10_000, "<" * 60_000,
     "\ud800\x0b", "<![CDATA[x]]>", "<?xml version='1.0' encoding='utf-16'?><b>", "<!DOCTYPE x [<!ENTITY y 'z'>]>&y;",
     "<html><body>", "</div></div>", "<b>" * 300 + pill(OTHER, "deep"), pill(OTHER, "x") * 2_000 + " " * 60_000],
)  # fmt: skip
def test_html_of_any_kind_is_read_or_left_alone(html: str) -> None:
    """Formatting that can't be read, is too deep or too long counts as none, and the body stands."""
    found = message(said(f"!deactivate {SPAMMER}", html))
    assert found.command in ("deactivate", None)
    assert all(word.link is None for word in found.words) or found.command is None


def test_formatting_longer_than_an_event_may_be_is_left_alone() -> None:
    """Only what a homeserver lets through is read."""
    html = f"!deactivate {pill(SPAMMER, 'King')}" + " " * 66_000
    assert message(said("!deactivate King", html)).words == (Word("King"),)


def test_halves_of_characters_are_shown_as_unreadable() -> None:
    """What can't be stored or sent never gets further than here."""
    assert message(said("!x a\ud800b")).words == (Word("a\ufffdb"),)
    assert message(said("!x a", "!x " + pill(SPAMMER, "a\udfff"))).words == (user(SPAMMER, "a\ufffd"),)


@pytest.mark.parametrize(
    ("unit", "html"),
    [("@a_b:c ", f"{pill(SPAMMER, 'x')} @ab:c"), ("'a ", None), ('"a ', None), ("—a ", None),
     ("[x](", pill(SPAMMER, "[")), ("https://matrix.to/#/@a:b ", None), ("x ", pill(SPAMMER, "x")),
     ("> <@a:b>\n", None)],
)  # fmt: skip
def test_the_largest_message_takes_no_long_time(unit: str, html: str | None) -> None:
    """60 KB of the worst are read within two seconds on a busy machine (some 0.2 s on an idle one)."""
    many = None if html is None else "!x " + html * (60_000 // len(html))
    begun = time.process_time()
    read(said("!x " + unit * (60_000 // len(unit)), many), "!")
    assert time.process_time() - begun < 2


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["m.text", "m.replace", "$e"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("msgtype", "body", "format", "formatted_body", "m.relates_to", "m.new_content", "m.mentions", "m.in_reply_to")
FRAGMENTS = st.sampled_from(
    ["!deactivate", " ", "\n", "> ", "<", ">", '"', "“", "'", "—", "--reason=", "@a:b", "@", ":", "\u200b", "\ud800",
     "&", "<a href='matrix:u/a:b'>", "<a href=https://matrix.to/#/@c:d>", "</a>", "<mx-reply>", "</mx-reply>", "<br>",
     "<p>", "](", "https://matrix.to/#/@a:b", "%ff", "<svg>", "\x00", "x"]
)  # fmt: skip
TEXTS = st.lists(FRAGMENTS | st.text(max_size=3), max_size=14).map("".join)


@given(st.dictionaries(st.sampled_from(KEYS), ANY))
def test_content_of_any_shape_is_read_or_passed_over(content: dict[str, Any]) -> None:
    """No content raises."""
    assert isinstance(read(content, "!"), Message | None)


@given(TEXTS, TEXTS, st.booleans())
def test_texts_of_any_kind_are_read(body: str, html: str, reply: bool) -> None:
    """No pair of texts raises, and every word holds something or was quoted or linked."""
    relation: dict[str, Any] = {"m.relates_to": {"m.in_reply_to": {"event_id": "$e"}}} if reply else {}
    found = message(said(body, html, **relation))
    assert all(word.text or word.quoted or word.link for word in found.words)
