"""Commands in the admin room with the real bot: how a user can be written, and what is no command at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

import pytest
import pytest_asyncio

from handlers.admin_room.commands import for_admin_room
from handlers.command import short_usage
from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from tests.support.admin_room import OPENED, answer, audited, open_requests, pill, prompt, silence, untouched

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "Not A Robot --erase @nobody"
"""A display name such as spammers choose: it holds an option and what looks like somebody else."""


class Stage(Scene):
    """The scene that the tests here share: none of them removes anybody."""

    spammer: str
    bystander: Person


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver) -> AsyncIterator[Stage]:
    """An encrypted admin room, somebody to remove, and a member who isn't a moderator."""
    made = Stage(homeserver)
    try:
        await made.set_up()
        spammer = await made.person("spammer")
        made.spammer = spammer.user_id
        await spammer.call("PUT", "/_matrix/client/v3/profile/{}/displayname", made.spammer, json={"displayname": NAME})
        made.bystander = await made.add_moderator("bystander", level=0)
        yield made
    finally:
        await made.close()


WRITINGS: dict[str, Callable[[str], tuple[str, str | None]]] = {
    "full_id": lambda user: (f"!deactivate {user} --erase", None),
    "short": lambda user: (f"!deactivate {user.partition(':')[0]} --erase", None),
    "in_backticks": lambda user: (f"!deactivate `{user}` --erase", f"!deactivate <code>{user}</code> --erase"),
    "matrix_to": lambda user: (f"!deactivate https://matrix.to/#/{user} --erase", None),
    "matrix_to_encoded": lambda user: (f"!deactivate https://matrix.to/#/{quote(user, safe='')} --erase", None),
    "matrix_uri": lambda user: (f"!deactivate matrix:u/{user[1:]} --erase", None),
    "option_first": lambda user: (f"!deactivate --erase {user}", None),
    "shouted": lambda user: (f"!DEACTIVATE {user} --ERASE", None),
    "em_dash": lambda user: (f"!deactivate {user} —erase", None),
    "en_dash": lambda user: (f"!deactivate {user} –erase", None),
    "with_line_breaks": lambda user: (f"!deactivate\n{user}\n--erase", None),
}


@pytest.mark.parametrize("written", WRITINGS)
async def test_a_user_can_be_written_in_many_ways(stage: Stage, written: str) -> None:
    """A full Matrix ID, a short one, links and what phones make of dashes all lead to the same prompt."""
    shown = await prompt(stage, *WRITINGS[written](stage.spammer))
    assert stage.spammer in shown.body and "Deactivate and erase" in shown.body


async def test_a_pill_names_its_link_not_its_text(stage: Stage) -> None:
    """Of a mention, `body` holds a display name with an option in it: the link is the user, the name is no option."""
    shown = await prompt(
        stage,
        f"!deactivate {NAME}",
        f"!deactivate {pill(stage.spammer, NAME)}",
        mentions=[stage.spammer],
    )
    assert stage.spammer in shown.body and "erase this account" not in shown.body


async def test_quotes_of_phones_hold_a_reason_together(stage: Stage) -> None:
    """Curly quotes count as quotes, and a long dash before `reason` as two hyphens."""
    shown = await prompt(stage, f"!deactivate —reason “pills, again” {stage.spammer} –erase")
    assert "Reason: pills, again\n" in f"{shown.body}\n" and "Deactivate and erase" in shown.body


@pytest.mark.parametrize("fallback", [True, False], ids=["with_fallback", "without_fallback"])
async def test_a_reply_never_names_the_one_replied_to(stage: Stage, fallback: bool) -> None:
    """In a command sent as a reply to somebody else, the argument is the target: neither the author in the quoted
    lines nor the one in `m.mentions`."""
    author = stage.bystander.user_id
    complaint = await stage.bystander.say(stage.room, f"please look at {stage.spammer}")
    await stage.moderator.event(complaint)
    quoted = f"> <{author}> please look at {stage.spammer}\n\n" if fallback else ""
    quoted_html = (
        f'<mx-reply><blockquote><a href="https://matrix.to/#/{stage.room}/{complaint}">In reply to</a> '
        f"{pill(author, author)}<br>please look at {stage.spammer}</blockquote></mx-reply>"
        if fallback
        else ""
    )
    shown = await prompt(
        stage,
        f"{quoted}!deactivate {NAME} --erase",
        f"{quoted_html}!deactivate {pill(stage.spammer, NAME)} --erase",
        reply_to=complaint,
        mentions=[author, stage.spammer],
    )
    assert stage.spammer in shown.body and author not in shown.body


async def test_a_reply_without_an_argument_names_nobody(stage: Stage) -> None:
    """`!deactivate` as a reply to somebody asks whom, although `m.mentions` and the quoted lines hold that person."""
    author = stage.bystander.user_id
    complaint = await stage.bystander.say(stage.room, "hello")
    await stage.moderator.event(complaint)
    async with untouched(stage):
        said = await answer(
            stage,
            f"> <{author}> hello\n\n!deactivate",
            f"<mx-reply><blockquote>{pill(author, author)}<br>hello</blockquote></mx-reply>!deactivate",
            reply_to=complaint,
            mentions=[author],
        )
    assert "Which account?" in said.body and author not in said.body


async def test_pills_inside_a_reason_are_text(stage: Stage) -> None:
    """Whoever is mentioned in the reason is neither a second user nor the target."""
    other = stage.bystander.user_id
    shown = await prompt(
        stage,
        f'!deactivate {NAME} --reason "reported by Bystander"',
        f"!deactivate {pill(stage.spammer, NAME)} --reason &quot;reported by {pill(other, 'Bystander')}&quot;",
        mentions=[stage.spammer, other],
    )
    assert "Reason: reported by Bystander\n" in f"{shown.body}\n" and other not in shown.body
    assert open_requests(stage) == [stage.spammer]


UNCLEAR: dict[str, Callable[[str, str], tuple[str, str | None, str]]] = {
    "text_and_link_differ": lambda a, b: (f"!deactivate {a}", f"!deactivate {pill(b, a)}", "two different"),
    "body_and_link_differ": lambda a, b: (f"!deactivate {a}", f"!deactivate {pill(b, 'him')}", "two different"),
    "nobody": lambda a, b: ("!deactivate", None, "Which account?"),
    "only_an_option": lambda a, b: ("!deactivate --erase", None, "Which account?"),
    "misspelt_option": lambda a, b: (f"!deactivate {a} --erse", None, "Did you mean --erase?"),
    "unknown_option": lambda a, b: (f"!deactivate {a} --zzz", None, "I don't know the option --zzz."),
    "one_dash_only": lambda a, b: (f"!deactivate {a} -erase", None, "Did you mean --erase?"),
    "a_value_too_many": lambda a, b: (f"!deactivate {a} --erase=yes", None, "takes no value"),
    "a_word_too_many": lambda a, b: (f"!deactivate {a} please", None, "please isn't a Matrix ID"),
    "no_at": lambda a, b: (f"!deactivate {a[1:]}", None, "must begin with @"),
    "a_room": lambda a, b: ("!deactivate #lounge:lethe.test", None, "must begin with @"),
    "a_link_elsewhere": lambda a, b: ("!deactivate https://matrix.to/#/#lounge:lethe.test", None, "something else"),
    "an_invisible_letter": lambda a, b: (f"!deactivate {a[:3]}\u200b{a[3:]}", None, "ZERO WIDTH SPACE"),
    "a_letter_that_looks_alike": lambda a, b: (f"!deactivate {a.replace('a', 'а')}", None, "CYRILLIC SMALL LETTER A"),
    "an_open_quote": lambda a, b: (f'!deactivate {a} --reason "spam', None, "never closed"),
    "no_reason": lambda a, b: (f"!deactivate {a} --reason", None, "needs a value"),
    "a_reason_too_long": lambda a, b: (f"!deactivate {a} --reason {'x' * 501}", None, "500 characters"),
}


@pytest.mark.parametrize("case", UNCLEAR)
async def test_what_is_not_clear_is_said_to_be_unclear(stage: Stage, case: str) -> None:
    """Each way to misspell a command has an answer of its own with the right usage, and nobody is chosen."""
    body, html, expected = UNCLEAR[case](stage.spammer, stage.bystander.user_id)
    async with untouched(stage):
        said = await answer(stage, body, html)
    assert expected in said.body
    assert ("!help deactivate" in said.body) is (case in {"nobody", "only_an_option", "unknown_option"})
    assert OPENED not in said.body
    actor, target, public = audited(stage, "NotUnderstood")[-1]
    assert (actor, target, public["command"]) == (stage.moderator.user_id, None, "deactivate")


async def test_a_message_edited_into_a_command_is_none(stage: Stage) -> None:
    """The answer to an edit names nobody and nothing is asked, whether the original was a command or not."""
    for original in ("good morning", f"!deactivate {stage.bystander.user_id} --dry-run"):
        first = await stage.moderator.say(stage.room, original)
        async with untouched(stage):
            formatted = f"!deactivate {pill(stage.spammer, NAME)}"
            edit = await stage.moderator.edit(stage.room, first, f"!deactivate {stage.spammer}", formatted)
            said = await stage.moderator.reply_to(edit)
        assert "edited" in said.body and stage.spammer not in said.body


async def test_an_edit_that_is_no_command_is_not_answered(stage: Stage) -> None:
    """Correcting a word in ordinary talk is nobody's business."""
    first = await stage.moderator.say(stage.room, "good mourning")
    async with silence(stage) as said:
        said.append(await stage.moderator.edit(stage.room, first, "good morning"))


NO_COMMANDS: dict[str, Callable[[str], tuple[str, dict[str, object]]]] = {
    "notice": lambda user: (f"!deactivate {user}", {"msgtype": "m.notice"}),
    "emote": lambda user: (f"!deactivate {user}", {"msgtype": "m.emote"}),
    "file": lambda user: (f"!deactivate {user}", {"msgtype": "m.file", "url": "mxc://lethe.test/x"}),
    "talk": lambda user: (f"should we !deactivate {user}?", {}),
    "only_the_sign": lambda user: ("!", {}),
    "in_a_quotation": lambda user: (f"> !deactivate {user}\n\nwhat do you think?", {}),
    "clients_differ": lambda user: (
        "nothing to see",
        {"format": "org.matrix.custom.html", "formatted_body": f"!deactivate {pill(user, 'x')}"},
    ),
}


@pytest.mark.parametrize("case", NO_COMMANDS)
async def test_what_is_no_command_is_not_answered(stage: Stage, case: str) -> None:
    """Notices, emotes, files, talk and quotations aren't commands, and the bot stays silent."""
    body, extra = NO_COMMANDS[case](stage.spammer)
    async with untouched(stage), silence(stage) as said:
        said.append(await stage.moderator.say(stage.room, body, **extra))  # type: ignore[arg-type]


async def test_commands_in_any_other_room_are_ignored(stage: Stage) -> None:
    """Where the bot was brought into another room, no moderator's command counts there, and none is answered."""
    room = await stage.moderator.create_room(name="Lounge", preset="public_chat")
    path = f"/_matrix/client/v3/join/{quote(room, safe='')}"
    await stage.homeserver.call("POST", path, token=stage.tokens[stage.bot_id], json={})
    async with untouched(stage), silence(stage) as said:
        for body in (f"!deactivate {stage.spammer} --erase", "!help", "!requests", "!nonsense"):
            said.append(await stage.moderator.say(room, body))


async def test_a_moderators_direct_message_removes_nobody_else(stage: Stage) -> None:
    """In a direct message with the bot, a moderator's `!deactivate @user` is about nobody: there it takes no user."""
    room = await stage.moderator.dm(stage.bot_id)
    greeting = await stage.moderator.wait_for(lambda e: e.room_id == room and e.sender == stage.bot_id and e.body)
    assert "only yours" in greeting.body
    async with untouched(stage):
        for body in (f"!deactivate {stage.spammer} --erase", "!requests", "!status R1"):
            said = await stage.moderator.reply_to(await stage.moderator.say(room, body))
            assert said.body.startswith(("I don't know", "You have no request")), said.body


# --- what the other commands show ------------------------------------------------------------------------------------


async def test_help_follows_the_declarations(stage: Stage) -> None:
    """`!help` shows each declared command in a line of its own, `!help deactivate` each option with a word on it."""
    declared = for_admin_room("!").all
    said = await answer(stage, "!help")
    lines = [line for line in said.body.splitlines() if line.startswith("!")]
    assert [line.split()[0] for line in lines] == [f"!{command.name}" for command in declared]
    assert all(line.startswith(short_usage(command, "!")) for line, command in zip(lines, declared, strict=True))
    one = next(command for command in declared if command.name == "deactivate")
    for body in ("!help deactivate", "!help !deactivate"):
        said = await answer(stage, body)
        assert "!deactivate @user" in said.body and "mention" in said.body
        for option in one.options:
            assert f"{option.shown}: " in said.body


@pytest.mark.parametrize("body", ["!deactvate @x", "!help deactvate"])
async def test_an_unknown_command_gets_a_hint(stage: Stage, body: str) -> None:
    """A command that doesn't exist is told so, with the one that was probably meant."""
    async with untouched(stage):
        said = await answer(stage, body)
    assert "I don't know deactvate." in said.body and "Did you mean !deactivate?" in said.body


async def test_requests_and_status_show_what_is_open(stage: Stage) -> None:
    """`!requests` lists an open request with who asked for whom; `!status` shows it whole, its reason included."""
    shown = await prompt(stage, f"!deactivate {stage.spammer} --erase --reason spam wave")
    reference = shown.body.split(" ")[0]
    listed = await answer(stage, "!requests")
    line = next(line for line in listed.body.splitlines() if f"{reference} " in line)
    assert stage.spammer in line and stage.moderator.user_id in line and "waiting for ✅" in line
    for typed in (reference, reference.lower(), f"`{reference}`"):
        status = await answer(stage, f"!status {typed}")
        for expected in (reference, stage.spammer, "waiting for ✅", "Deactivate and erase", "Reason: spam wave"):
            assert expected in status.body
    cancelled = await stage.moderator.say(stage.room, f"!cancel {reference}")
    await stage.moderator.edited(shown.event_id, "cancelled")
    assert "There are no open requests" in (await answer(stage, "!requests")).body
    assert reference in (await answer(stage, "!requests --all")).body
    assert cancelled


@pytest.mark.parametrize("command", ["status", "cancel", "retry"])
async def test_an_unknown_reference_is_said_to_be_unknown(stage: Stage, command: str) -> None:
    """A reference that no request has, and what is no reference at all, get an answer and change nothing."""
    async with untouched(stage):
        assert "I know no request R999999" in (await answer(stage, f"!{command} R999999")).body
        assert "@x isn't a reference" in (await answer(stage, f"!{command} @x")).body
        assert "Which request?" in (await answer(stage, f"!{command}")).body


# --- two prompts for one account -------------------------------------------------------------------------------------


async def test_a_newer_command_replaces_ones_own_prompt(stage: Stage) -> None:
    """Asking again for the same account marks the old prompt as replaced, and its ✅ is dead."""
    old = await prompt(stage, f"!deactivate {stage.spammer}")
    new = await prompt(stage, f"!deactivate {stage.spammer} --erase")
    marked = await stage.moderator.edited(old.event_id, "replaced")
    assert new.body.split(" ")[0] in marked.body and "to go on" not in marked.body
    async with untouched(stage), silence(stage) as said:
        said.append(await stage.moderator.react(stage.room, old.event_id, "✅"))
    assert open_requests(stage) == [stage.spammer]


async def test_another_moderators_command_shows_the_open_prompt(stage: Stage) -> None:
    """A second moderator's command for the same account opens nothing: it names the open request and leads to it."""
    first = await prompt(stage, f"!deactivate {stage.spammer}")
    other = await stage.add_moderator()
    async with untouched(stage):
        said = await answer(stage, f"!deactivate {stage.spammer} --erase", by=other)
    assert first.body.split(" ")[0] in said.body and stage.moderator.user_id in said.body
    assert f"https://matrix.to/#/{stage.room}/{first.event_id}" in said.formatted_body
    assert audited(stage, "Refused")[-1] == (other.user_id, stage.spammer, {"because": "already_open"})


async def test_a_dry_run_asks_nothing_and_touches_nothing(stage: Stage) -> None:
    """`--dry-run` shows the account and the plan; no request is opened, and a ✅ under it does nothing."""
    async with untouched(stage):
        shown = await answer(stage, f"!deactivate {stage.spammer} --erase --dry-run")
        assert "Dry run" in shown.body and OPENED not in shown.body and stage.spammer in shown.body
        assert "Deactivates and erases it: nobody can log in" in shown.body and "nothing happens" in shown.body
        async with silence(stage) as said:
            said.append(await stage.moderator.react(stage.room, shown.event_id, "✅"))
    assert not stage.moderator.reactions_on(shown.event_id)[1:]


@pytest.mark.asyncio(loop_scope="function")
async def test_another_command_prefix_holds_everywhere(scene: Callable[..., Awaitable[Scene]]) -> None:
    """With `command_prefix: "lethe/"`, `!` means nothing, and every usage and hint shows the prefix that counts."""
    own = await scene(command_prefix="lethe/")
    target = await own.account("target")
    async with untouched(own), silence(own) as said:
        said.append(await own.moderator.say(own.room, f"!deactivate {target}"))
        said.append(await own.moderator.say(own.room, "!help"))
    helped = await answer(own, "lethe/help")
    assert "lethe/deactivate @user" in helped.body and "!" not in helped.body
    unclear = await answer(own, "lethe/deactivate")
    assert "lethe/deactivate [user …]" in unclear.body and "lethe/help deactivate" in unclear.body
    assert OPENED in (await answer(own, f"lethe/deactivate {target}")).body
