"""The picture of the packages in docs/design.md is what the code says, and an upward import is pointed out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import structure
from docs.structure import BEGIN, END, PAGE, ROOT, UpwardImport, draw, imported, layers, placed, read


def tree(root: Path, files: dict[str, str]) -> Path:
    """A made-up program: files with their code, and the folders' `__init__.py` with a docstring."""
    for name, code in files.items():
        path = root / name
        for folder in list(path.parents)[: len(Path(name).parents) - 1]:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").write_text(f'"""What {folder.name} is.\n\nAnd more."""\n')
        path.write_text(code)
    return root


PROGRAM = {
    "bot.py": '"""The start."""\nimport front.door\n',
    "front/door.py": "from back.store import put\nfrom front.inner import deep\n",
    "front/inner/deep.py": "def later():\n    from back import store\n",
    "back/store.py": "import json\nfrom heart import rules\n",
    "heart/rules.py": "",
    "aside/unused.py": "import front.door\n",
}


def test_design_shows_the_structure_of_the_code() -> None:
    """Where this fails: run `python -m docs.structure --write` and commit what it writes."""
    page = PAGE.read_text("utf-8")
    assert page == placed(page, draw(read(ROOT)))


def test_every_part_says_what_it_is_in_one_line() -> None:
    """The first line of its docstring: there is one, and it ends there."""
    for unit in read(ROOT).values():
        assert re.fullmatch(r"[A-Z].+\.", unit.description), unit.name


def test_every_module_of_the_design_exists() -> None:
    """What the page names as a file or folder of the code is there."""
    named = re.findall(r"(?<![\w/])((?:[a-z_]+/)+(?:[a-z_]+\.py)?)(?![\w/])", PAGE.read_text("utf-8"))
    assert "engine/unit_of_work.py" in named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_layers_follow_from_the_imports(tmp_path: Path) -> None:
    """From the module that is started down; what nothing imports is no part of it."""
    units = read(tree(tmp_path, PROGRAM))
    assert layers(units) == [["bot"], ["front"], ["back"], ["heart"]]
    assert set(units) == {"bot", "front", "front.inner", "back", "heart"}
    assert set(units["front"].imports) == {"back", "front.inner"}
    assert units["front.inner"].imports == {"back": ["front/inner/deep.py:2"]}


def test_the_picture_has_each_part_with_its_line_and_imports(tmp_path: Path) -> None:
    """In the order of the layers."""
    picture = draw(read(tree(tmp_path, PROGRAM)))
    lines = [" ".join(line.split()) for line in picture.splitlines() if not line.startswith("─")]
    assert lines == [
        "bot.py The start.",
        "imports front",
        "front What front is.",
        "imports back, front.inner",
        "front.inner What inner is.",
        "imports back",
        "back What back is.",
        "imports heart",
        "heart What heart is.",
    ]


def test_an_upward_import_is_pointed_out(tmp_path: Path) -> None:
    """With its file and line, and before the many imports that it contradicts."""
    files = PROGRAM | {
        "heart/rules.py": "x = 1\nfrom front import door\n",
        "front/more.py": "from heart import rules\n",
    }
    with pytest.raises(UpwardImport) as raised:
        draw(read(tree(tmp_path, files)))
    said = str(raised.value)
    assert "heart imports front: heart/rules.py:2" in said
    assert "bot" not in said
    assert said.index("heart imports front") < said.index("front imports back")


def test_the_command_refuses_an_upward_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It writes nothing and ends as failed."""
    monkeypatch.setattr(structure, "ROOT", tree(tmp_path, PROGRAM | {"heart/rules.py": "import bot\n"}))
    monkeypatch.setattr("sys.argv", ["structure"])
    assert structure.main() == 1
    printed = capsys.readouterr()
    assert (printed.out, "heart imports bot: heart/rules.py:1" in printed.err) == ("", True)


def test_imports_are_found_wherever_they_stand() -> None:
    """Inside functions too."""
    source = "import a.b, c\nfrom d.e import f\ndef g():\n    import h\n"
    assert sorted(imported(source)) == [("a.b", 1), ("c", 1), ("d.e.f", 2), ("h", 4)]


def test_the_picture_is_placed_between_its_markers() -> None:
    """What stands around it stays, and doing it again changes nothing; a page without markers is refused."""
    once = placed(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new\n")
    assert once == f"before\n{BEGIN}\n\n```text\nnew\n```\n\n{END}\nafter\n"
    assert placed(once, "new\n") == once
    with pytest.raises(ValueError, match="needs the two lines"):
        placed("no markers", "new\n")
