"""The direction of imports, for bot.py and config.py too, which import-linter leaves out: it knows packages only."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

LAYERS = [
    {"bot"},
    {"cli"},
    {"web"},
    {"handlers"},
    {"engine"},
    {"config", "homeserver", "storage", "texts"},
    {"removal", "version"},
]
"""From the top down. A module imports from layers below its own only, or from itself."""

OURS = [name for layer in LAYERS for name in sorted(layer)]


NOT_THE_BOT = {"bench", "sandbox", "simulation", "stress", "tests"}


def imported_by(source: str) -> set[str]:
    """Return the top-level names of all modules that Python code imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def imports_of(name: str) -> set[str]:
    """Return what a module or package of ours imports."""
    single = ROOT / f"{name}.py"
    files = [single] if single.exists() else sorted((ROOT / name).rglob("*.py"))
    return {imported for file in files for imported in imported_by(file.read_text(encoding="utf-8"))}


def test_imports_are_found_wherever_they_stand() -> None:
    """The reader of imports sees all forms, inside functions too: what it can't see it couldn't hold."""
    source = "import a.b, c\nfrom d.e import f\ndef g():\n    import h\n    from i import j\n"
    assert imported_by(source) == {"a", "c", "d", "h", "i"}


def test_every_module_has_its_layer() -> None:
    """A new module at the top level is refused until its place in the order is said."""
    here = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert here - NOT_THE_BOT <= set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_imports_run_downwards_only(name: str) -> None:
    """No module of the bot imports one beside or above it, nor tests or the sandbox."""
    level = next(number for number, layer in enumerate(LAYERS) if name in layer)
    below = {each for layer in LAYERS[level + 1 :] for each in layer}
    forbidden = ({*OURS, *NOT_THE_BOT} - below - {name}) & imports_of(name)
    assert not forbidden


@pytest.mark.parametrize("name", ["removal"])
def test_the_heart_imports_only_the_standard_library(name: str) -> None:
    """What decides an account's fate depends on nothing that can change under it."""
    assert imports_of(name) - {name} <= set(sys.stdlib_module_names)
