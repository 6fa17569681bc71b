"""Becomes the command after it, tied to the life of the process that started it: `python leash.py PARENT COMMAND...`.

Holds the tie only. Where the kernel has none (it is Linux's), the command still runs, and `gitops/processes.py` ends
what was left behind at the next start.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for SIGTERM when the parent dies, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the tie held
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the whole point: no shell, and this process becomes the command


if __name__ == "__main__":
    main()
