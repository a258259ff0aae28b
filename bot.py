"""The program that is started: `python bot.py init|run|check|audit|accept|reset-totp|backup --config config.yaml`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cli.exits import EXIT_ANOTHER_RUNS as EXIT_ANOTHER_RUNS
from cli.exits import EXIT_CANNOT_RUN as EXIT_CANNOT_RUN
from cli.exits import EXIT_DEAD_TOKEN as EXIT_DEAD_TOKEN
from cli.exits import Ended
from cli.options import parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the process's exit code."""
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    os.umask(0o077)  # files created from here on are readable by the owner only
    try:
        # Each command loads what it needs and no more: the whole bot takes a second or two.
        match options.command:
            case "run":
                from cli import process

                return process.main(options)
            case "check":
                from cli import check

                return check.main(options)
            case "init":
                from cli import init

                return init.main(options)
            case "audit":
                from cli import audit

                return audit.main(options)
            case "accept":
                from cli import accept

                return accept.main(options)
            case "reset-totp":
                from cli import reset_totp

                return reset_totp.main(options)
            case _:
                from cli import backup

                return backup.main(options)
    except Ended as end:
        print(end, file=sys.stderr)
        return end.code


if __name__ == "__main__":
    sys.exit(main())
