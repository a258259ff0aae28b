"""What is in deploy/ fits the code: metrics that exist, exit codes, and a unit that systemd takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
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
    assert "USER 10001" in file and "HEALTHCHECK" in file


def test_the_dockerfile_is_clean() -> None:
    """hadolint finds nothing."""
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    ended = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True)  # noqa: S603
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_steps_of_the_dockerfile_work_in_a_clean_tree(tmp_path: Path) -> None:
    """An image can't be built here. But with what its lines copy, and nothing else, the last step of the build makes a
    `lethe` that runs. The dependencies, which an earlier step installs, are those of this environment."""
    file = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    source = tmp_path / "src"
    source.mkdir()
    for line in re.findall(r"^COPY (?!--from)(.+)$", file, re.MULTILINE):
        *names, to = line.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source)
    (step,) = re.findall(r"^RUN (/opt/lethe/bin/pip install .*--no-deps .*)$", file, re.MULTILINE)
    uv, place = Path(sysconfig.get_path("scripts")) / "uv", tmp_path / "lethe"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)  # noqa: S603
    install: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        place / "bin" / "python",
        *step.split()[3:],
    ]
    subprocess.run(install, cwd=source, check=True)  # noqa: S603
    shutil.rmtree(source)
    environ = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    command: list[str | Path] = [place / "bin" / "lethe", "run", "--config", tmp_path / "config.yaml"]
    ended = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True)  # noqa: S603
    assert ended.returncode == 1 and "can't be read: No such file" in ended.stderr, ended.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing but the program, which isn't installed here."""
    file = tmp_path / "lethe.service"
    file.write_text(UNIT.replace("/opt/lethe/.venv/bin/lethe", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    complaints = [line for line in ended.stderr.splitlines() if "lethe.service" in line]
    assert not complaints, ended.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't here")
def test_systemd_finds_little_to_attack(tmp_path: Path) -> None:
    """`systemd-analyze security` rates the unit 1.2 or less, of 10; without any hardening it would be 9.6."""
    (tmp_path / "lethe.service").write_text(UNIT)
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=12", str(tmp_path / "lethe.service")]
    ended = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    assert ended.returncode == 0, ended.stdout[-400:] + ended.stderr
    assert "rates it 1.2" in (ROOT / "docs/install.md").read_text("utf-8")
