"""A command loads what it needs: `--help` and a backup answer at once, though the whole bot takes a second or two."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bot
from cli.options import AUDIT_FORMATS, COMMANDS
from storage.audit_export import FORMATS

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"aiohttp", "nio", "pydantic", "jinja2", "lxml", "babel", "aiosqlite"}


def loaded_by(*arguments: str) -> set[str]:
    """Which top-level modules are loaded at the end of a command, in a process of its own."""
    look = "import sys, bot\ntry: bot.main(sys.argv[1:])\nexcept SystemExit: pass\nprint('loaded', *sys.modules)"
    command = [sys.executable, "-c", look, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    return {name.partition(".")[0] for name in ended.stdout.partition("loaded ")[2].split()}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("init", "--help"), ("run", "--no-such-option")])
def test_the_command_line_explains_itself_without_a_library(arguments: tuple[str, ...]) -> None:
    """Nothing but the standard library and the command line itself."""
    loaded = loaded_by(*arguments)
    assert not loaded & (HEAVY | {"config", "engine", "handlers", "homeserver", "storage", "texts", "yaml"})


@pytest.mark.parametrize(
    ("command", "spared"),
    [
        (("backup", "nowhere"), {"aiohttp", "nio", "jinja2", "lxml", "babel"}),
        (("audit", "verify"), {"aiohttp", "nio"}),
        (("accept", "@a:b.c"), {"aiohttp", "nio"}),
        (("reset-totp", "@a:b.c"), {"aiohttp", "nio"}),
    ],
)
def test_what_works_without_a_homeserver_loads_no_client(
    tmp_path: Path, command: tuple[str, ...], spared: set[str]
) -> None:
    """A backup taken each hour, or an audit that somebody reads: settings are read, and the database is looked for."""
    config = tmp_path / "config.yaml"
    config.write_text(
        'homeserver: {url: "http://127.0.0.1:1", user_id: "@lethe:lethe.test", password: "x"}\n'
        f'admin_room: "!room:lethe.test"\ndata_dir: "{tmp_path}/data"\n'
    )
    config.chmod(0o600)
    loaded = loaded_by(*command, "--config", str(config))
    assert {"config", "storage", "pydantic"} <= loaded
    assert not loaded & spared


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that `bot.py` takes are those that its help names; so are the formats."""
    with pytest.raises(SystemExit):
        bot.main(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"\n    {command}\s", out) for command in COMMANDS)
    assert AUDIT_FORMATS == FORMATS
