"""Runs Synapse in this process, and ends it when the process that started it is gone.

Started by `SynapseProcess` as `python -P synapse_child.py ROOT MODULE [--stay] -- ARGUMENTS`. Standard input is a pipe
whose other end only the parent holds: the kernel closes it however the parent dies, SIGKILL included, and a read
here then returns. That works on every system with pipes, needs no polling, and doesn't hang on the thread that
forked, as Linux' PR_SET_PDEATHSIG would.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading


def end_with_parent() -> None:
    """Wait until standard input is closed, then end the process at once. Runs in a thread of its own."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def main(arguments: list[str]) -> None:
    """Put the project's root on the module path, watch the parent, run Synapse.

    Args:
        arguments: ROOT, the module to run (`synapse.app.homeserver`), perhaps `--stay` (outlive the parent), `--`, and
            what Synapse is to be given.
    """
    split = arguments.index("--")
    root, app, *flags = arguments[:split]
    # Last, so that nothing of the project stands before an installed library: only test modules are looked for there.
    sys.path.append(root)
    if "--stay" not in flags:
        threading.Thread(target=end_with_parent, name="end-with-parent", daemon=True).start()
    synapse = importlib.import_module(app)  # after the watch began: the import takes most of the start
    sys.argv = [app, *arguments[split + 1 :]]
    synapse.main()


if __name__ == "__main__":
    main(sys.argv[1:])
