"""What `check` says of a Synapse's version: too old, known for a fault, older than what was tested, or good."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.findings import Mark, Report
from cli.versions import KNOWN_FAULTS, TESTED_SYNAPSE, look_at_version, read, shown
from texts import Texts

ROOT = Path(__file__).resolve().parents[3]


def found(version: str) -> dict[str, Mark]:
    """Each finding's key and mark."""
    report = Report(Texts(), as_json=True)
    look_at_version(version, report)
    assert all(finding.remedy for finding in report.findings if finding.mark is not Mark.GOOD)
    assert all(version in finding.text for finding in report.findings)
    return {finding.key: finding.mark for finding in report.findings}


OLDER = {"synapse_older": Mark.WARNING}
INSECURE = {"synapse_insecure": Mark.WARNING} | OLDER
REJOINS = {"synapse_rejoins": Mark.WARNING} | INSECURE


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("1.129.0", {"synapse_too_old": Mark.BAD}),
        ("1.130.0", REJOINS),
        ("1.138.2", REJOINS),
        ("1.138.3", {"synapse_withdrawn": Mark.WARNING} | REJOINS),
        ("1.138.4", REJOINS),
        ("1.139.1", {"synapse_withdrawn": Mark.WARNING} | REJOINS),
        ("1.149.1 (b=develop,abc1234)", REJOINS),
        ("1.150.0rc1", INSECURE),
        ("1.157.1", INSECURE),
        ("1.157.2", OLDER),
        ("1.162.9", OLDER),
        ("1.163.0", {"admin": Mark.GOOD}),
        ("1.163.2", {"admin": Mark.GOOD}),
        ("2.0", {"admin": Mark.GOOD}),
    ],
)
def test_each_version_gets_its_findings(version: str, keys: dict[str, Mark]) -> None:
    """At both sides of each line; each with a remedy."""
    assert found(version) == keys


def test_a_known_fault_says_where_it_can_be_read() -> None:
    """On the web, in its remedy; and what fixes it is no newer than what was tested."""
    report = Report(Texts(), as_json=True)
    look_at_version("1.139.1", report)
    remedies = {finding.key: finding.remedy for finding in report.findings}
    for fault in KNOWN_FAULTS:
        assert fault.source.startswith("https://github.com/element-hq/synapse/")
        assert fault.source in remedies[fault.key] and shown(fault.fixed) in remedies[fault.key]
        assert fault.fixed <= TESTED_SYNAPSE


def test_the_version_that_was_tested_is_the_one_that_is_locked() -> None:
    """Where this fails: the tests ran against another Synapse, so say that one."""
    locked = re.findall(
        r"^matrix-synapse(?:\[[^\]]*\])?==(\S+)", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE
    )
    assert len(locked) == 1 and read(locked[0])[:2] == TESTED_SYNAPSE[:2]
