"""The words for the program's enumerations: there are some for each value, and none for what is no value any more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from cli.standing import Standing
from cli.versions import KNOWN_FAULTS
from handlers.admin_room.commands import for_admin_room
from handlers.admin_room.ladder import RUNGS
from handlers.admin_room.watch import Alarm
from handlers.command import Command, Problem
from handlers.direct.commands import for_direct_messages
from homeserver.client.reach import Reach
from homeserver.encryption.cross_signing import IdentityStatus
from removal.audit_action import AuditAction
from removal.facts import Facts, changed_meanwhile
from removal.lifecycle import (
    NoChange,
)
from removal.plan import Aim, Media, Proof, Step
from removal.protection import Refusal
from removal.request import Question, State, StepState
from tests.support.all_decisions import decisions
from texts import FOLDER, Group, Template, Texts

ROOT = Path(__file__).resolve().parents[3]
TEXTS = Texts()
GROUPS: tuple[Group, ...] = get_args(Group)

MODERATORS = for_admin_room("!").all
PEOPLE = for_direct_messages("!").all


def names(commands: tuple[Command, ...]) -> set[str]:
    """What commands are called."""
    return {command.name for command in commands}


def options(commands: tuple[Command, ...]) -> set[str]:
    """What their options are called, each with its command."""
    return {command.name + option.name for command in commands for option in command.options}


def watched() -> set[str]:
    """The facts whose change is told."""
    flags = [each.name for each in fields(Facts) if isinstance(each.default, bool)]
    altered: list[dict[str, Any]] = [{name: True} for name in flags]
    return {name for values in altered for name in changed_meanwhile(Facts(), replace(Facts(), **values))}


def no_changes() -> set[str]:
    """What `decide` may answer to something that a person did: a reason of a rule, or the state itself."""
    # These answer the runner and the clock, whom nobody has to tell.
    not_people = {NoChange.NOT_CURRENT, NoChange.NOT_STARTED, NoChange.NOT_RELEASING, NoChange.NOT_YET}
    return {str(each) for each in set(NoChange) - not_people} | {str(state) for state in State}


EXPECTED: dict[Group, set[str]] = {
    "aim": set(Aim),
    "aim_done": set(Aim),
    "aim_failed": set(Aim),
    "aim_undo": set(Aim),
    "aim_stays": {aim for aim in Aim if aim is not Aim.REMOVE},
    "step": set(Step),
    "step_name": set(Step),
    "result": set(Step),
    "proof": set(Proof),
    "state": set(State),
    "page_status": set(State),
    "refusal": set(Refusal),
    "changed": watched(),
    "not_changed": no_changes(),
    "media": set(Media),
    "step_state": set(StepState),
    "threepid": {"email", "msisdn"},
    "command": names(MODERATORS),
    "details": names(MODERATORS),
    "option": options(MODERATORS),
    "own_command": names(PEOPLE),
    "own_details": names(PEOPLE),
    "own_option": options(PEOPLE),
    "problem": set(Problem),
    "alarm": set(Alarm),
    "own_question": set(Question),
    "audit_action": set(AuditAction),
    "rung": {rung.name for rung in RUNGS},
    "topic": {command.topic for command in MODERATORS} - {""},
}
CHECKING = ("cli/check.py", "cli/machine.py", "cli/findings.py", "cli/try_mas.py", "cli/versions.py")
LITERALS: dict[Group, tuple[str, ...]] = {
    "remedy": ("engine/failures.py", "engine/redaction.py", "engine/steps.py"),
    "check": CHECKING,
    "check_remedy": CHECKING,
    "option_problem": (
        "handlers/admin_room/deactivate.py",
        "handlers/admin_room/audit.py",
        "handlers/admin_room/asked_rungs.py",
    ),
    "audit": ("cli/audit.py",),
    "page_problem": ("web/account.py", "web/asking.py", "web/log_in.py", "web/server.py"),
    "rung_problem": ("handlers/admin_room/ladder.py", "handlers/admin_room/look.py"),
    "trouble": ("handlers/dispatch.py",),
    "accept": ("cli/accept.py", "cli/by_hand.py"),
    "reset_totp": ("cli/reset_totp.py", "cli/by_hand.py"),
    "init": ("cli/init.py", "cli/init_room.py", "cli/init_lines.py"),
    "declined": ("handlers/invites.py",),
    "own_room": ("handlers/direct/room.py",),
    "mail": ("engine/receipt_mail.py",),
    "own_wish": ("handlers/direct/intent.py",),
    "handover_problem": ("handlers/direct/requests.py",),
}
"""Groups whose keys are plain words in the code: where each stands."""


def strings(*files: str) -> set[str]:
    """Every string in these files."""
    found: set[str] = set()
    for file in files:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        found |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def test_every_template_is_a_file() -> None:
    """And every file is one, but for those that others include."""
    assert {f"{template}.html" for template in Template} == {
        path.name for path in (FOLDER / "en").glob("*.html") if not path.name.startswith("_")
    }


def test_every_event_has_its_audit_actions() -> None:
    """Where it changed a request, and where it changed nothing."""
    for kind in {type(event) for _, event, _ in decisions()}:
        assert {kind.__name__, f"{kind.__name__}Refused"} <= set(AuditAction)


def test_every_group_is_known() -> None:
    """A group that is added belongs to something here."""
    files = {path.stem for path in (FOLDER / "en" / "words").glob("*.html")}
    assert files == set(GROUPS) == set(EXPECTED) | set(LITERALS)


@pytest.mark.parametrize("group", EXPECTED)
def test_every_value_has_its_words_and_no_words_are_left_over(group: Group) -> None:
    """An enumeration and its group are the same list."""
    assert TEXTS.words(group) == {str(value).replace("-", "_") for value in EXPECTED[group]}


@pytest.mark.parametrize("group", LITERALS)
def test_no_words_are_left_over_of_what_the_code_names(group: Group) -> None:
    """Each key stands in the code, word for word, or is made of an enumeration's values."""
    assert TEXTS.words(group) <= strings(*LITERALS[group]) | made()


def reported(*kinds: str) -> set[str]:
    """What `check` reports by these methods of its report, by the names it uses."""
    by = re.compile(rf"report\.({'|'.join(kinds)})|^say$")  # `say` is one of several methods, chosen before
    found: set[str] = set()
    for file in CHECKING:
        for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and by.search(ast.unparse(node.func)):
                named = [each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)]
                found |= {each for each in named if isinstance(each, str)}
    return {key for key in found if not key.endswith("_")}


def made() -> set[str]:
    """Keys of `check` that are made of an enumeration's values, or stand in a table."""
    return (
        {f"identity_{each}" for each in IdentityStatus}
        | {f"reach_{each}" for each in Reach if each is not Reach.SYNAPSE}
        | {f"admin_room_{each}" for each in Standing}
        | {fault.key for fault in KNOWN_FAULTS}
    )


def remedies() -> Iterator[str]:
    """The remedies that the runner names: the third value of a `Problem`."""
    for path in (ROOT / "engine").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                named = node.args[2:3] + [word.value for word in node.keywords if word.arg == "remedy"]
                for each in named:
                    chosen = [each.body, each.orelse] if isinstance(each, ast.IfExp) else [each]
                    yield from (str(one.value) for one in chosen if isinstance(one, ast.Constant))


def test_whatever_check_reports_has_words() -> None:
    """And `check` is known to report something."""
    found = reported("good", "warn", "bad", "fixed") | made()
    assert "admin_room_joined" in found
    assert found <= TEXTS.words("check")


def test_whatever_check_finds_wrong_has_a_remedy() -> None:
    """And nothing else has one."""
    good = {"identity_ok", "admin_room_joined", "disk"}
    assert (reported("warn", "bad") | made()) - good == TEXTS.words("check_remedy")


def test_whatever_a_step_fails_of_has_a_remedy() -> None:
    """The one that is used where none is named, too."""
    found = set(remedies())
    assert {"forbidden", "identity_server"} <= found
    assert found | {"refused"} <= TEXTS.words("remedy")


def test_every_command_is_explained_in_full() -> None:
    """Usage, and each option, uncut, in both places."""
    for words, commands in (("", for_admin_room("!")), ("own_", for_direct_messages("!"))):
        for command in commands.all:
            usage = " ".join([f"!{command.name}", *(f"[{option.shown}]" for option in command.options)])
            text = TEXTS.render(
                Template.HELP_COMMAND, words=words, name=command.name, usage=usage, options=command.options
            )
            assert usage in text.body
            assert all(option.shown in text.body for option in command.options)
            assert "…" not in text.body


def test_a_number_may_have_any_name() -> None:
    """`count`, too, which gettext's own parameter was called."""
    assert TEXTS.word("check", "moderators", count=1) == "1 moderator there can command the bot."
    assert TEXTS.word("check", "moderators", count=2) == "2 moderators there can command the bot."
