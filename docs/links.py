"""The links of the pages: inside the project all of them lead somewhere; those to the web are asked by `make links`.

python -m docs.links
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = aiohttp.ClientTimeout(total=30)


def pages() -> list[Path]:
    """Every page that people read."""
    return [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("deploy/*.md")),
    ]


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links and pictures, outside of code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and Forgejo make them."""
    found: set[str] = set()
    outside = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for heading in re.findall(r"^#+ (.+)$", outside, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while f"{anchor}-{number}" in found or (number == 0 and anchor in found):
            number += 1
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def broken_inside() -> list[str]:
    """Links to files or headings that aren't there, and addresses that are none."""
    problems = []
    for page in pages():
        for link in links(page):
            parts = urlsplit(link)
            if parts.scheme:
                good = parts.scheme in ("https", "mailto") and ("." in parts.netloc or parts.scheme == "mailto")
            else:
                target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
                good = target.exists() and (not parts.fragment or parts.fragment in anchors(target))
            if not good:
                problems.append(f"{page.relative_to(ROOT)}: {link}")
    return problems


def outside() -> dict[str, list[str]]:
    """Each address on the web, with the pages that link to it."""
    found: dict[str, list[str]] = {}
    for page in pages():
        for link in links(page):
            if link.startswith("https://"):
                found.setdefault(link, []).append(str(page.relative_to(ROOT)))
    return found


async def main() -> int:
    """Asks each address on the web; returns 1 where one doesn't answer with a page."""
    problems = broken_inside()
    async with aiohttp.ClientSession(timeout=TIMEOUT, headers={"User-Agent": "Lethe's link check"}) as session:
        for link, where in outside().items():
            try:
                async with session.get(link) as answer:
                    said = "" if answer.status < 400 else str(answer.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                said = str(error) or type(error).__name__
            print(f"{'✗' if said else '✓'} {link} {said}")
            if said:
                problems.append(f"{', '.join(where)}: {link}: {said}")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
