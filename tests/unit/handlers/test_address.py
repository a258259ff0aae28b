"""The bot's name at the beginning of a message: left out, wherever clients and people put it, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.admin_room.commands import for_admin_room
from handlers.called import Called
from handlers.links import Link, LinkKind
from handlers.message import Message, Word, read
from texts import Texts

BOT = "@lethe:test"
CALLED = Called(BOT, ("lethe", "Lethe – removes accounts"))
TEXTS, COMMANDS = Texts(), for_admin_room("!")


def heard(body: str, html: str | None = None, **more: Any) -> Message:
    """What the admin room's gate makes of a text."""
    formatted = {} if html is None else {"format": "org.matrix.custom.html", "formatted_body": html}
    found = read({"msgtype": "m.text", "body": body, **formatted, **more}, "!", CALLED)
    assert found is not None
    return found if not found.bare or COMMANDS.means(found.command or "", TEXTS) else found.as_talk()


def pill(user_id: str, text: str) -> str:
    """A link to somebody, as clients make it."""
    return f'<a href="https://matrix.to/#/{user_id}">{text}</a>'


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("Lethe: !status R7", None),
        ("lethe, !status R7", None),
        ("@lethe !status R7", None),
        ("@lethe status R7", None),
        ("@lethe: status R7", None),
        ("lethe status R7", None),
        ("LETHE – !status R7", None),
        ("Lethe： ！status R7", None),
        ("@lethe:test status R7", None),
        ("@lethe:test: !status R7", None),
        ("Lethe – removes accounts: !status R7", None),
        ("@Lethe – removes accounts status R7", None),
        ("\u2068Lethe\u2069: !status R7", None),
        ("Lethe:\u00a0!status R7", None),
        ("Lethe\n!status R7", None),
        ("[Lethe](https://matrix.to/#/@lethe:test): !status R7", None),
        ("https://matrix.to/#/@lethe:test status R7", None),
        ("Lethe: !status R7", f"{pill(BOT, 'Lethe')}: !status R7"),
        ("Lethe !status R7", f"<p>{pill(BOT, 'Lethe')} !status R7</p>"),
        ("@lethe:test: status R7", f"{pill(BOT, '@lethe:test')}: status R7"),
        ("Another Name: !status R7", f"{pill(BOT, 'Another Name')}: !status R7"),
        ("@Another Name !status R7", f"{pill(BOT, '@Another Name')} !status R7"),
        ("@Another Name !status R7", f"@{pill(BOT, 'Another Name')} !status R7"),
        ("[Lethe](https://matrix.to/#/@lethe:test) status R7", f"{pill(BOT, 'Lethe')} status R7"),
        ("Lethe: !status R7", "<p>Lethe: !status R7</p>"),
        ("！status R7", None),
        ("! status R7", None),
        ("！ status R7", None),
        ("！ｓｔａｔｕｓ R7", None),
    ],
)
def test_a_command_behind_the_name_is_the_command(body: str, html: str | None) -> None:
    """Whoever is asked by name understands the same as without it."""
    found = heard(body, html)
    assert (found.command, found.words) == ("status", (Word("R7"),))


def test_a_pill_to_the_bot_and_one_to_the_target_stay_apart() -> None:
    """Only the first is the address."""
    html = f"{pill(BOT, 'Lethe')}: !deactivate {pill('@spam:test', 'Spam King')} --erase"
    found = heard("Lethe: !deactivate Spam King --erase", html)
    assert found.command == "deactivate"
    assert found.words == (Word("Spam King", Link(LinkKind.USER, "@spam:test")), Word("--erase"))
    other = heard("Lethe: !deactivate @other:test", html)
    assert any(word.conflict for word in other.words)


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("should Lethe !deactivate @x?", None),
        ("I asked lethe: !help", None),
        ("Lethe is slow today", None),
        ("Lethe: thanks", None),
        ("Lethe", None),
        ("Lethe:", None),
        ("lethe-bot: !help", None),
        ("lethes: !help", None),
        ("@lethe:other.test !help", None),
        ("@lethe:testing !help", None),
        ("! important", None),
        ("!", None),
        ("Alice: !help", f"{pill('@alice:test', 'Alice')}: !help"),
        ("Lethe: !help", f"{pill('@alice:test', 'Lethe')}: !help"),
        ("Good morning. !help", f"{pill(BOT, 'Lethe')}: !help"),
        ("!help", f"{pill(BOT, '@alice:test')}: !help"),
        ("Lethe: !help", f"{pill(BOT, 'Lethe')}: !status R7 {pill('@a:test', 'a')}"),
        ("> Lethe: !help\n\nwhat?", None),
        ('"Lethe": !help', None),
    ],
)
def test_what_is_no_address_is_no_command(body: str, html: str | None) -> None:
    """A name in the middle of a sentence, other names, talk, and texts that differ between clients."""
    assert heard(body, html).command is None


@pytest.mark.parametrize(("body", "command"), [("Lethe: delete @x", "delete"), ("@lethe deactvate @x", "deactvate")])
def test_what_nearly_names_a_command_is_heard(body: str, command: str) -> None:
    """So that it is answered with the right one."""
    assert heard(body).command == command


def test_talk_keeps_its_words() -> None:
    """Only the name is left out: `yes R7` may stand behind it."""
    assert [word.text for word in heard("Lethe: yes R7").words] == ["yes", "R7"]
    assert [word.text for word in heard("! important").words] == ["!", "important"]


def test_an_edit_into_an_addressed_command_is_an_edit() -> None:
    """Its words name nobody."""
    edit: dict[str, Any] = {"m.new_content": {"msgtype": "m.text", "body": "Lethe: deactivate @x"}, "m.relates_to": {}}
    found = heard("* Lethe: deactivate @x", **edit)
    assert (found.command, found.words, found.is_edit) == ("deactivate", (), True)


@given(
    st.lists(
        st.sampled_from(["Lethe", "@", "lethe:test", ":", " ", "!", "help", "\u2068", "<b>", "&"])
        | st.text(max_size=5),
        max_size=8,
    ).map("".join),
    st.text(max_size=20),
)
def test_texts_of_any_kind_are_read(body: str, text: str) -> None:
    """With a name in front or without, as text and as a link; nothing raises."""
    heard(body)
    heard(body, f"{pill(BOT, text)}{body}")
