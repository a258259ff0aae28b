"""The pages that are made from the code are the ones that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import docs.links
from docs import messages
from docs.generate import FOLDER, PAGES
from docs.links import broken_inside, outside
from handlers.admin_room.commands import for_admin_room
from handlers.direct.commands import for_direct_messages
from homeserver.accounts.synapse import CALLS
from removal.plan import SPECS, STEPS, Proof
from removal.request import State
from texts import Texts

ROOT = FOLDER.parent
TEXTS = Texts()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    """Where this fails: run `python -m docs.generate` and commit what it writes."""
    assert (FOLDER / name).read_text("utf-8") == PAGES[name](TEXTS)


def test_translators_have_every_sentence() -> None:
    """Where this fails: run `python -m docs.generate` and commit what it writes."""
    assert messages.TEMPLATE.read_text("utf-8") == messages.pot()


def test_nothing_is_left_out() -> None:
    """Every step with its requests, every proof and state, every command and option."""
    steps, commands = PAGES["steps.md"](TEXTS), PAGES["commands.md"](TEXTS)
    assert set(CALLS) == set(SPECS)
    assert all(CALLS.values())
    for spec in STEPS:
        assert all(f"`{call}`" in steps for call in CALLS[spec.step])
        assert f"- When: {spec.chosen_by}" in steps
    assert all(TEXTS.word("proof", proof) in steps for proof in Proof)
    assert all(f"| `{state}` |" in steps for state in State)
    for table in (for_admin_room("!"), for_direct_messages("!")):
        for command in table.all:
            assert f"### `!{command.name}" in commands
            assert all(f"- `{option.shown}`: " in commands for option in command.options)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_markdown_and_nothing_else(name: str) -> None:
    """No element of our texts, and no entity, is left over."""
    page = PAGES[name](TEXTS).partition("-->")[2]
    outside_code = re.sub(r"`[^`\n]*`", "", page)
    assert not re.search(r"<[a-z/]|&[a-z#]+;|\{\{|\{%", outside_code)


def calls_made() -> set[str]:
    """Every request that the door to the admin API makes: method and path, with {} for each id."""
    trees = [ast.parse(file.read_text("utf-8")) for file in (ROOT / "homeserver/accounts").glob("synapse*.py")]
    constants = {
        node.targets[0].id: node.value.value
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }

    def text(node: ast.expr) -> str:
        match node:
            case ast.Constant(value):
                return str(value)
            case ast.Name(name):
                return str(constants[name]) if name in constants else ""
            case ast.BinOp(left, ast.Add(), right):
                return text(left) + text(right)
            case _:
                return ""

    return {
        f"{text(node.args[0])} {text(node.args[1])}"
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call"
    }


def test_the_requests_that_are_named_are_requests_that_are_made() -> None:
    """Each one that a step names stands in the door to the admin API."""
    made = calls_made()
    for spec in STEPS:
        for call in CALLS[spec.step]:
            assert re.sub(r"\{[a-z_]+\}", "{}", call) in made


def test_links_lead_somewhere() -> None:
    """From every page: to files and headings that are there, and to addresses that could be on the web (`make links`
    asks those)."""
    assert outside()
    assert broken_inside() == []


@pytest.mark.parametrize(
    ("text", "link"),
    [("[a](nowhere.md)", "nowhere.md"), ("[a](#no-such-heading)", "#no-such-heading"), ("[a](http://x.org)", "http://x.org"),
     ("![a](missing.png)", "missing.png"), ("[a](https://nodots)", "https://nodots")],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, link: str
) -> None:
    """And one to a heading that is there isn't."""
    page = tmp_path / "README.md"
    page.write_text(f"# A `heading`, it's one\n\n[good](#a-heading-its-one) `[code](nowhere)`\n\n{text}\n")
    monkeypatch.setattr(docs.links, "pages", lambda: [page])
    monkeypatch.setattr(docs.links, "ROOT", tmp_path)
    assert broken_inside() == [f"README.md: {link}"]
