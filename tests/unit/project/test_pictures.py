"""The pictures in the pages are those that `make pictures` takes."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from sandbox.page_pictures import FOLDER, SIZES
from sandbox.pictures import FILES

ROOT = Path(__file__).parent.parent.parent.parent
LARGEST = 250_000  # bytes: pages with two or three of them open at once on a phone


def shown(page: Path) -> list[Path]:
    """The pictures that a page shows, in Markdown or HTML."""
    text = page.read_text("utf-8")
    named = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text) + re.findall(r'<img [^>]*\bsrc="([^"]+)"', text)
    return [(page.parent / target).resolve() for target in named]


def test_every_picture_that_a_page_shows_is_there() -> None:
    """In README and docs/; the README shows some, and so does the page for those who leave."""
    pages = (ROOT / "README.md", ROOT / "docs" / "leaving.md", *(ROOT / "docs").glob("*.md"))
    for page in pages:
        assert [str(path) for path in shown(page) if not path.is_file()] == []
    assert all(shown(page) for page in pages[:2])


def test_every_picture_says_what_it_shows() -> None:
    """To those who can't see it: an alternative text of some words."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for tag in re.findall(r"<img [^>]*>", page.read_text("utf-8")):
            assert re.search(r'\balt="\S+ [^"]+"', tag), f"{page.name}: {tag}"


def test_the_pictures_are_those_that_are_taken() -> None:
    """Neither one that a scene no longer takes, nor a scene without its pictures."""
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_picture_has_the_size_of_its_screen_and_is_small(name: str) -> None:
    """A phone's has two pixels for each px, so that it is sharp on one."""
    content = (FOLDER / name).read_bytes()
    kind = name.removesuffix(".png").rpartition("-")[2]
    pixels = 2 if kind == "phone" else 1
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == tuple(px * pixels for px in SIZES[kind])
    assert len(content) <= LARGEST
