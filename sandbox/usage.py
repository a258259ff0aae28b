"""What a process uses of the machine, from Linux' /proc."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process at one moment.

    Attributes:
        cpu: seconds of processor time since it began.
        memory: bytes that are its own in memory, or were put out to swap.
        files: open file descriptors.
    """

    cpu: float
    memory: int
    files: int


def usage(pid: int) -> Usage:
    """Looks at a process. Source: proc(5): `stat` (utime, stime), `status` (VmRSS, VmSwap), `fd`.

    Raises:
        OSError: there is no such process.
    """
    place = Path("/proc") / str(pid)
    behind_name = (place / "stat").read_text().rpartition(")")[2].split()
    kilobytes = re.findall(r"^Vm(?:RSS|Swap):\s+(\d+) kB", (place / "status").read_text(), re.MULTILINE)
    return Usage(
        cpu=(int(behind_name[11]) + int(behind_name[12])) * TICK,
        memory=sum(map(int, kilobytes)) * 1024,
        files=len(list((place / "fd").iterdir())),
    )
