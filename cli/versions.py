"""What `check` says of the Synapse it finds: too old, older than what was tested, or known for a fault that matters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from cli.findings import Report

Version: TypeAlias = tuple[int, int, int]

TESTED_SYNAPSE: Version = (1, 163, 0)
"""The Synapse that the tests run against; requirements-dev.txt has the whole number."""
OLDEST_SYNAPSE: Version = (1, 130, 0)
"""Before it there is no `GET /_synapse/admin/v1/scheduled_tasks`, without which no removal can be proved done."""


@dataclass(frozen=True, slots=True)
class KnownFault:
    """A fault of some versions of Synapse.

    Attributes:
        key: of the words for it, in `check` and `check_remedy`.
        fixed: the first version without it; the remedy.
        source: where it can be read.
        only: the versions that have it; all before `fixed` where none are named.
    """

    key: str
    fixed: Version
    source: str
    only: frozenset[Version] = frozenset()

    def is_in(self, version: Version) -> bool:
        """Whether this version has it."""
        return version in self.only if self.only else version < self.fixed


KNOWN_FAULTS = (
    # Erasing an account empties its profile while it leaves its rooms, and each change can join it to a room again; the
    # same change puts it back into the user directory (element-hq/synapse#19540). Seen from 1.89 (#16290) to 1.149.1.
    KnownFault("synapse_rejoins", (1, 150, 0), "https://github.com/element-hq/synapse/issues/19603"),
    # The advisory itself says to skip these two.
    KnownFault(
        "synapse_withdrawn",
        (1, 139, 2),
        "https://github.com/element-hq/synapse/security/advisories/GHSA-fh66-fcv5-jjfr",
        frozenset({(1, 138, 3), (1, 139, 1)}),
    ),
    # Several of high severity, for servers that federate or have users whom nobody knows.
    KnownFault("synapse_insecure", (1, 157, 2), "https://github.com/element-hq/synapse/releases/tag/v1.157.2"),
)
"""Few, each with its source: what matters to whoever removes accounts, or runs a bot with a server admin's rights."""


def look_at_version(text: str, report: Report) -> None:
    """Whether this Synapse has what a removal needs. Args: text: as the homeserver gives it, such as `1.163.2`."""
    version = read(text)
    if version < OLDEST_SYNAPSE:
        report.bad("synapse_too_old", version=text, oldest=shown(OLDEST_SYNAPSE))
        return
    faults = [fault for fault in KNOWN_FAULTS if fault.is_in(version)]
    for fault in faults:
        report.warn(fault.key, version=text, fixed=shown(fault.fixed), source=fault.source)
    if version[:2] < TESTED_SYNAPSE[:2]:
        report.warn("synapse_older", version=text, tested=shown(TESTED_SYNAPSE))
    elif not faults:
        report.good("admin", version=text)


def read(text: str) -> Version:
    """The three numbers of a version; those that it hasn't are 0."""
    numbers = [int(each) for each in re.findall(r"\d+", text)[:3]]
    first, second, third = [*numbers, 0, 0, 0][:3]
    return first, second, third


def shown(version: Version) -> str:
    """As Synapse calls it; without the last number where that is 0."""
    return ".".join(map(str, version if version[2] else version[:2]))
