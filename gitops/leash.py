"""Becomes the command after it, tied to the life of the process that started it: `python leash.py PARENT COMMAND...`.

Holds the tie only. Where the kernel has none (it is Linux's), the command still runs, and `gitops/processes.py` ends
what was left behind at the next start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def leashed(command: Sequence[str]) -> list[str]:
    """The command that runs `command` for as long as this process lives: then it gets SIGTERM."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main() -> None:
    """Ask for SIGTERM when the parent dies, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the tie held
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the whole point: no shell, and this process becomes the command
    except OSError as error:
        sys.exit(f"{command[0]} can't be run: {error.strerror}")


if __name__ == "__main__":
    main()
