"""docs/contributing.md is true: what it names exists, and its examples work."""

from __future__ import annotations

import ast
import re
import shutil
import sqlite3
import textwrap
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
import yaml
from jinja2 import Environment

import config
import engine.steps
import texts
from docs.generate import FOLDER
from handlers.admin_room import requests as handlers
from handlers.command import Command, Option, Parsed, parse, usage
from handlers.message import read
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.synapse import CALLS
from removal.plan import STEPS, Kind, Options, Proof, Step, StepSpec
from storage.database import Database
from storage.migrations import MIGRATIONS
from texts import Template

ROOT = FOLDER.parent
PAGE = (FOLDER / "contributing.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
NEW = {"texts/en/count.html"}
"""Files that the page tells to make."""


def snippets(section: str, language: str) -> list[str]:
    """The code of a section, without what it is indented by."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", SECTIONS[section], re.M | re.S)
    return [textwrap.dedent(code) for _, code in found]


def words(section: str) -> dict[str, set[str]]:
    """The keys of the words that a section adds to each group, under the names of their files."""
    found: dict[str, set[str]] = {}
    for snippet in snippets(section, "html"):
        for file, lines in re.findall(r"\{# texts/en/words/(\w+)\.html #\}\n((?:\{% block .*\n)+)", snippet):
            found[file] = set(Environment(extensions=["jinja2.ext.i18n"], autoescape=True).from_string(lines).blocks)
    return found


def test_every_file_that_is_named_exists() -> None:
    """Files and folders of the repository, and the pages that are linked."""
    named = set(re.findall(r"`((?:[\w.]+/)+(?:[\w.]+)?|[\w.]+\.(?:py|yaml|md))`", PAGE))
    assert {"config.py", "handlers/admin_room/commands.py", "tests/unit/texts/test_words.py", "storage/"} <= named
    assert {name for name in named if not (ROOT / name).exists()} == NEW


def test_every_test_that_is_named_exists() -> None:
    """In one of the files of tests that the page names."""
    files = [ROOT / name for name in re.findall(r"`(tests/[\w/]+\.py)`", PAGE)]
    defined = {match for file in files for match in re.findall(r"def (test_\w+)", file.read_text("utf-8"))}
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) >= 4
    assert named <= defined


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("self._table", "engine/steps.py"),
        ("_verify", "engine/steps.py"),
        ("checks", "engine/steps.py"),
        ("cancel", "handlers/admin_room/requests.py"),
        ("CALLS", "homeserver/accounts/synapse.py"),
        ("promised", "removal/plan.py"),
        ("proofs_for", "removal/plan.py"),
        ("ACTS", "stress/crash.py"),
        ("ALWAYS", "tests/unit/removal/test_plan.py"),
        ("CASES", "tests/unit/texts/test_texts.py"),
        ("EXPECTED", "tests/unit/texts/test_words.py"),
        ("LITERALS", "tests/unit/texts/test_words.py"),
        ("ASKED", "tests/unit/storage/test_query_plans.py"),
    ],
)
def test_every_name_stands_where_the_page_says(name: str, file: str) -> None:
    """Both in the page and in the file."""
    assert f"`{name}`" in PAGE
    assert f"`{file}`" in PAGE
    assert re.search(rf"\b{re.escape(name)}\b", (ROOT / file).read_text("utf-8"))


def test_every_target_of_make_exists() -> None:
    """What the page says to run."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert set(re.findall(r"`make ([a-z-]+)`", PAGE)) <= targets


def test_the_command_can_be_typed() -> None:
    """Its declaration is one, and it is parsed."""
    declaration, _ = snippets("A command for moderators", "python")
    row = ast.parse(declaration.strip(), mode="eval").body
    assert isinstance(row, ast.Tuple)
    command = eval(ast.unparse(row.elts[0]), {"Command": Command, "Option": Option})  # noqa: S307 - our own page
    assert usage(command, "!") == "!count [--all]"
    message = read({"msgtype": "m.text", "body": "!count --all"}, "!")
    assert message is not None
    parsed = parse(command, message, "test")
    assert isinstance(parsed, Parsed) and parsed.flag("--all")
    added = words("A command for moderators")
    assert added["command"] == added["details"] == {command.name}
    assert added["option"] == {(command.name + option.name).replace("-", "_") for option in command.options}


class Said:
    """A unit of work that remembers what is asked of it, with its messages, and what begins it."""

    tx = None

    def __init__(self) -> None:
        self.replies: list[tuple[str, dict[str, Any]]] = []
        self.audited: list[str] = []
        self.messages = self

    def begin(self, _event: object) -> Said:
        return self

    async def __aenter__(self) -> Said:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def reply(self, _to: object, template: str, **values: Any) -> None:
        self.replies.append((template, values))

    async def audit(self, action: str, **_values: Any) -> None:
        self.audited.append(action)


async def test_the_commands_function_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It runs among the imports of the file where it belongs, and the template takes what it gives."""
    _, function = snippets("A command for moderators", "python")
    space = dict(vars(handlers))
    space["Template"] = SimpleNamespace(COUNT="count")
    exec(f"from __future__ import annotations\n{function}", space)  # noqa: S102 - our own page
    said = Said()

    async def listing(_tx: object, *, only_open: bool, limit: int) -> list[int]:
        return [1, 2, 3] if only_open else [0] * limit

    class Asked:
        event, by = None, "@moderator:test"
        parsed = Parsed(Command("count"), {})

    class With:
        units = said

    monkeypatch.setattr("storage.requests.listing", listing)
    await space["count"](With, Asked)
    assert said.audited == ["Looked"]
    ((template, values),) = said.replies
    assert rendered(monkeypatch, tmp_path, template, values) == "There are 3 open requests. !requests lists them."


def rendered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, template: str, values: dict[str, Any]) -> str:
    """The page's template, as plain text, among the real ones."""
    (html,) = snippets("A text", "html")
    shutil.copytree(texts.FOLDER / "en", tmp_path / "en")
    (tmp_path / "en" / f"{template}.html").write_text(html)
    monkeypatch.setattr(texts, "FOLDER", tmp_path)
    return texts.Texts().render(cast(Template, template), **values).body


def test_the_filters_of_the_page_are_those_there_are() -> None:
    """The ones in its list, each used by the templates."""
    listed = SECTIONS["A text"].partition("Filters: ")[2].partition("`word(")[0]
    used = "".join(path.read_text("utf-8") for path in (texts.FOLDER / "en").rglob("*.html"))
    named = re.findall(r"`(\w+)`", listed)
    assert set(named) == {
        "code", "time", "minute", "day", "date", "until", "ago", "span",
        "short", "quoted", "whole", "sentence", "listed",
    }  # fmt: skip
    assert all(re.search(rf"(\|\s*|map\(.){name}\b", used) for name in named)


def test_the_step_belongs_to_what_is_there() -> None:
    """Its parts are Python, use what exists, and add what is new."""
    members, spec, method, call, row, proof, step = snippets("A step with its proof", "python")
    assert [node.name for node in ast.parse(members).body if isinstance(node, ast.ClassDef)] == ["Step", "Proof"]
    (name, value), (proof_name, proof_value) = re.findall(r"^    ([A-Z_]+) = \"(\w+)\"", members, re.M)
    assert name not in Step.__members__ and proof_name not in Proof.__members__
    stand_in = eval(spec.replace(f"Step.{name}", "Step.SSO"), vars(__import__("removal.plan", fromlist=["_"])))  # noqa: S307
    assert isinstance(stand_in, StepSpec) and stand_in.applies(Kind.OWN, Options())
    assert "_always" in (ROOT / "removal/plan.py").read_text("utf-8") and STEPS
    called = re.search(r"self\._accounts\.(\w+)", step)
    assert called and f"async def {called[1]}(" in method and not hasattr(AccountBackend, called[1])
    asked = re.search(r"accounts\.(\w+)", proof)
    assert asked and f"async def {asked[1]}(" in method and hasattr(engine.steps, "_not")
    for each in (method, step):
        compile(each, "contributing.md", "exec")
    request = re.search(r"\"([A-Z]+)\", \"(/_synapse[^\"]+)\"", method)
    assert request and f"{request[1]} {request[2].replace('{}', '{user_id}')}" in call
    assert all(calls for calls in CALLS.values())
    assert f"Proof.{proof_name}" in proof and f"Step.{name}: self._" in row
    added = words("A step with its proof")
    assert [added[group] for group in ("step", "step_name", "result")] == [{value}] * 3
    assert added["proof"] == {proof_value}
    assert set(added) <= set(get_args(texts.Group))


def test_the_setting_is_one() -> None:
    """Declared as the page says, it has the default that its example shows, and refuses what is out of its limits."""
    (declared,) = snippets("A setting", "python")
    (shown,) = snippets("A setting", "yaml")
    space = dict(vars(config))
    code = f"class Added(Moderators):\n    {declared.strip()}\n"
    exec(code, space)  # noqa: S102 - our own page
    example = yaml.safe_load(shown)["moderators"]
    assert space["Added"]().model_dump() == config.Moderators().model_dump() | example
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        space["Added"](requests_shown=0)
    (name,) = example
    assert f"`LETHE_MODERATORS__{name.upper()}`" in PAGE
    assert f"context.settings.moderators.{name}" in PAGE


async def test_the_migration_is_made_on_a_database_with_rows(tmp_path: Path) -> None:
    """The rows that were there stay, and the number in its comment is the next one."""
    (sql,) = snippets("A migration", "sql")
    assert sql.startswith(f"-- {len(MIGRATIONS) + 1}: ")
    path = tmp_path / "lethe.db"
    for migrations in (MIGRATIONS, (*MIGRATIONS, sql)):
        database = Database(path, migrations=migrations)
        await database.open()
        if migrations is MIGRATIONS:
            async with database.transaction() as tx:
                await tx.run(
                    "INSERT INTO requests"
                    " (kind, state, open, requester_id, target_id, room_id, created_ts, version, data)"
                    " VALUES ('own', 'running', 1, '@a:x', '@a:x', '!r', 0, 0, '{}')"
                )
        await database.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT target_id, note FROM requests").fetchall() == [("@a:x", None)]
