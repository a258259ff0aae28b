"""Draws which packages there are and which imports which, read from the code: `python -m docs.structure`.

With `--write` the picture goes into docs/design.md, between two markers. A test fails where it differs from the code.
"""

from __future__ import annotations

import argparse
import ast
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "design.md"
START = "bot"
"""The module that is started: the picture shows what it imports, directly or through others."""
BEGIN = "<!-- structure: written by `python -m docs.structure --write` from the code -->"
END = "<!-- end of structure -->"

_NAMES = 24
_WIDTH = 112


class UpwardImport(Exception):
    """Parts import each other in a circle, so there is no order of layers. `str()` names the imports."""


@dataclass(slots=True)
class Unit:
    """A package, or a single module at the top: what its docstring says, and what it imports."""

    name: str
    label: str
    description: str
    imports: dict[str, list[str]] = field(default_factory=dict)
    """Each imported unit with the places (`file:line`) where it is imported."""


def read(root: Path, start: str = START) -> dict[str, Unit]:
    """Return all units that the start module reaches, by dotted name."""
    files = _files(root)
    units: dict[str, Unit] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in units:
            continue
        units[name] = unit = _unit(root, name, files)
        waiting += [*unit.imports, *(other for other in files if _top(other) == _top(name))]
    return units


def layers(units: dict[str, Unit]) -> list[list[str]]:
    """Return the top-level names from top to bottom; each imports from the layers below its own only.

    Raises:
        UpwardImport: some import each other in a circle.
    """
    below = {top: {_top(used) for used in _used(units, top)} - {top} for top in map(_top, units)}
    found: list[list[str]] = []
    left = dict(below)
    while left:
        lowest = sorted(top for top, used in left.items() if not used & left.keys())
        if not lowest:
            raise UpwardImport(_circle(units, left))
        found.insert(0, lowest)
        left = {top: used for top, used in left.items() if top not in lowest}
    return found


def draw(units: dict[str, Unit]) -> str:
    """Return the picture: a block for each layer, the highest first. Raises: UpwardImport."""
    line = "─" * _WIDTH
    blocks = ["\n".join(_lines(units, layer)) for layer in layers(units)]
    return f"{line}\n" + f"\n{line}\n".join(blocks) + f"\n{line}\n"


def placed(page: str, picture: str) -> str:
    """Return the page with the picture between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the two lines {BEGIN} and {END}")
    return f"{before}{begin}\n\n```text\n{picture}```\n\n{end}{after}"


def _files(root: Path) -> dict[str, list[Path]]:
    """Every unit's files: those of a package without the packages inside it."""
    found = {path.stem: [path] for path in root.glob("*.py")}
    packages = [folder.parent for folder in root.glob("[a-z]*/__init__.py")]
    for init in sorted(path for package in packages for path in package.rglob("__init__.py")):
        found[".".join(init.parent.relative_to(root).parts)] = sorted(init.parent.glob("*.py"))
    return found


def _unit(root: Path, name: str, files: dict[str, list[Path]]) -> Unit:
    single = files[name][0].parent == root
    described = files[name][0] if single else root.joinpath(*name.split("."), "__init__.py")
    says = ast.get_docstring(ast.parse(described.read_text("utf-8"))) or ""
    unit = Unit(name, f"{name}.py" if single else name, says.partition("\n")[0])
    for path in files[name]:
        for module, line in imported(path.read_text("utf-8")):
            target = _unit_of(module, files)
            if target and target != name:
                unit.imports.setdefault(target, []).append(f"{path.relative_to(root).as_posix()}:{line}")
    return unit


def imported(source: str) -> Iterator[tuple[str, int]]:
    """Every module that the code imports, wherever in it, with its line; `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _unit_of(module: str, files: dict[str, list[Path]]) -> str | None:
    """The unit in which a module is; None where it isn't one of ours."""
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in files), None)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _used(units: dict[str, Unit], top: str) -> dict[str, list[str]]:
    """What a top-level name imports, all packages inside it counted in."""
    used: dict[str, list[str]] = {}
    for unit in units.values():
        if _top(unit.name) == top:
            for target, places in unit.imports.items():
                used.setdefault(target, []).extend(places)
    return used


def _circle(units: dict[str, Unit], left: dict[str, set[str]]) -> str:
    """Names the imports of a circle: where there are fewest, the wrong one is most likely."""
    while True:  # what nobody else in the rest imports stands above the circle
        used = {each for targets in left.values() for each in targets}
        if left.keys() <= used:
            break
        left = {top: targets for top, targets in left.items() if top in used}
    found = []
    for top in left:
        for other in left[top] & left.keys():
            places = [p for target, all_ in _used(units, top).items() if _top(target) == other for p in all_]
            found.append((len(places), f"{top} imports {other}: {', '.join(sorted(places)[:5])}"))
    return "\n".join(["these import each other in a circle:", *(says for _, says in sorted(found))])


def _lines(units: dict[str, Unit], layer: list[str]) -> Iterator[str]:
    for name in sorted(units):
        if _top(name) in layer:
            unit = units[name]
            indent = "  " * name.count(".")
            yield from _wrapped(indent + unit.label, unit.description)
            if unit.imports:
                yield from _wrapped("", f"imports {', '.join(sorted(unit.imports))}")


def _wrapped(left: str, right: str) -> Iterator[str]:
    for number, part in enumerate(textwrap.wrap(right, _WIDTH - _NAMES) or [""]):
        yield f"{left if number == 0 else '':<{_NAMES}}{part}".rstrip()


def main() -> int:
    """Prints the picture, or writes it into the page."""
    parser = argparse.ArgumentParser(prog="python -m docs.structure", description="The packages and their imports.")
    parser.add_argument("--write", action="store_true", help="write the picture into docs/design.md instead")
    write = parser.parse_args().write
    try:
        picture = draw(read(ROOT))
    except UpwardImport as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if write:
        PAGE.write_text(placed(PAGE.read_text("utf-8"), picture), encoding="utf-8")
    else:
        sys.stdout.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
