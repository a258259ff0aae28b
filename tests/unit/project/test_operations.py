"""docs/operations.md is what the code does: metrics, exit codes, commands and health problems."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bot
from cli.versions import OLDEST_SYNAPSE, TESTED_SYNAPSE, shown
from config import keys
from engine.metrics import Metrics
from handlers.admin_room.commands import for_admin_room
from handlers.direct.commands import for_direct_messages
from version import VERSION

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/operations.md").read_text("utf-8")


def test_every_metric_is_explained() -> None:
    """And none that doesn't exist."""
    named = {re.sub(r"_(total|info)$", "", name) for name in re.findall(r"^\| `(lethe_[a-z_]+)`", PAGE, re.MULTILINE)}
    assert named == set(Metrics("0").names())


def test_every_exit_code_is_explained() -> None:
    """0 and argparse's 2 beside our own."""
    codes = {value for name, value in vars(bot).items() if name.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)} == codes | {0, 2}


def test_every_error_that_is_explained_can_be_said() -> None:
    """The words stand in the code, as they are printed; the versions are those that `check` knows."""
    table = PAGE.partition("## What each error means")[2].partition("\n## ")[0]
    said = [each for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for each in re.findall(r"`([^`]+)`", row)]
    files = [ROOT / "bot.py", ROOT / "config.py"]
    files += [file for name in ("cli", "engine", "handlers", "homeserver", "storage", "texts/en/words") for file in
              (ROOT / name).rglob("*.*") if file.suffix in (".py", ".html")]  # fmt: skip
    code = "\n".join(file.read_text("utf-8") for file in files)
    assert len(said) > 10
    assert [each for each in said if each not in code] == []
    for version in (OLDEST_SYNAPSE, TESTED_SYNAPSE):
        assert f" {shown(version)}" in PAGE


def test_every_problem_of_the_health_page_is_explained() -> None:
    """By the names that it shows."""
    code = (ROOT / "engine/metrics.py").read_text("utf-8")
    problems = set(re.findall(r'problems\.append\("([a-z]+)"\)', code))
    assert problems == {"sync", "database", "stuck"}
    assert all(f"`{problem}` (" in PAGE for problem in problems)


@pytest.mark.parametrize("name", ["operations.md", "install.md", "security.md", "../README.md"])
def test_settings_that_are_named_exist(name: str) -> None:
    """`monitoring.listen` and its like."""
    page = (ROOT / "docs" / name).read_text("utf-8")
    sections = {key.partition(".")[0] for key in keys() if "." in key}
    named = {each for each in re.findall(r"`([a-z_]+\.[a-z_]+)", page) if each.partition(".")[0] in sections}
    named.discard("homeserver.yaml")  # Synapse's own
    assert named and named <= set(keys())


def test_commands_on_the_leaving_page_exist() -> None:
    """The page is for people who know no other."""
    page = (ROOT / "docs/leaving.md").read_text("utf-8")
    named = set(re.findall(r"`!([a-z]+)", page))
    assert len(named) > 3 and named <= {command.name for command in for_direct_messages("!").all}


def options_of_init(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """As its help names them."""
    with pytest.raises(SystemExit):
        bot.main(["init", "--help"])
    return set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_options_of_init_that_are_named_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """On the page about installing."""
    known = options_of_init(capsys)
    page = (ROOT / "docs/install.md").read_text("utf-8").partition("## By hand")[0]
    named = set(re.findall(r"(?<![a-z-])--[a-z][a-z-]+", page)) - {"--help"}
    assert named and named <= known


def test_the_changelog_knows_this_version() -> None:
    """The newest entry is what `--version` says."""
    log = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## (\S+)", log, re.MULTILINE)[0] == VERSION


def test_commands_on_the_moderators_page_exist() -> None:
    """With their options; and it fits on one screen of a desk."""
    page = (ROOT / "docs/moderators.md").read_text("utf-8")
    known = {
        command.name: {option.shown.split()[0] for option in command.options} for command in for_admin_room("!").all
    }
    named = re.findall(r"`!([a-z]+)([^`]*)`", page)
    assert len(named) > 15 and {name for name, _ in named} <= set(known)
    options = set().union(*known.values())
    assert set(re.findall(r"--[a-z][a-z-]+", page)) <= options
    assert len(page.splitlines()) <= 50


def test_the_sketch_of_a_role_fits_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    """The options of `init`, the container's user and directory, the exit codes that no restart helps."""
    page = (ROOT / "deploy/matrix-docker-ansible-deploy.md").read_text("utf-8")
    container = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    assert "--uid 10001" in container and page.count('"10001"') == 2 and "VOLUME /data" in container
    assert f"RestartPreventExitStatus={bot.EXIT_DEAD_TOKEN} {bot.EXIT_ANOTHER_RUNS}\n" in page
    asked = page.partition("localhost/lethe init")[2].partition("changed_when")[0]
    assert set(re.findall(r"(?<!-)--[a-z-]+", asked)) <= options_of_init(capsys)
