"""What is in deploy/ fits the code: metrics that exist, exit codes, and a unit that systemd takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import bot
from engine.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "lethe.service").read_text("utf-8")


@pytest.mark.parametrize("name", ["alerts.yaml", "grafana.json"])
def test_only_metrics_that_exist_are_asked_for(name: str) -> None:
    """A renamed metric would make an alert silent for ever."""
    known = set(Metrics("0").names())
    asked = set(re.findall(r"\blethe_[a-z_]+", (DEPLOY / name).read_text("utf-8")))
    assert asked
    for metric in asked:
        assert re.sub(r"_(total|bucket|count|sum|info)$", "", metric) in known | {"lethe_build"}, metric


def test_there_are_three_alerts() -> None:
    """Each with a summary that says what is wrong."""
    rules = yaml.safe_load((DEPLOY / "alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
    assert len(rules) == 3 and all(rule["annotations"]["summary"].endswith(".") for rule in rules)


def test_the_unit_knows_the_exit_codes_that_no_restart_helps() -> None:
    """And lets systemd wait for the word that the bot gives."""
    assert f"RestartPreventExitStatus={bot.EXIT_DEAD_TOKEN} {bot.EXIT_ANOTHER_RUNS}\n" in UNIT
    assert "Type=notify" in UNIT and "WatchdogSec=" in UNIT


def test_the_container_copies_every_package() -> None:
    """One that is forgotten is missed only when the container runs."""
    file = (DEPLOY / "Dockerfile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = [each.rstrip("*") for each in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    assert packages and all(f"COPY {package} {package}\n" in file for package in packages)
    assert "USER lethe" in file and "HEALTHCHECK" in file


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing but the program, which isn't installed here."""
    file = tmp_path / "lethe.service"
    file.write_text(UNIT.replace("/opt/lethe/.venv/bin/lethe", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    complaints = [line for line in ended.stderr.splitlines() if "lethe.service" in line]
    assert not complaints, ended.stderr
