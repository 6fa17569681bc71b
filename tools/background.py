"""A program that runs beside a tool and ends with it, however the tool ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType

from bakehouse import workspace
from gitops.leash import leashed

PATIENCE_SECONDS = 40.0


class Background:
    """A program started on entering, stopped on leaving: SIGTERM, then SIGKILL. `log` takes what it says, or, where
    there is none, the terminal does."""

    def __init__(self, command: Sequence[str], log: Path | None = None) -> None:
        self.command = command
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Background:
        output = None
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            output = self.log.open("wb")
        # A session of its own: Ctrl-C is for the tool, which stops this in its own order.
        self._process = subprocess.Popen(
            leashed(self.command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            start_new_session=True,
            cwd=workspace.root(),
        )
        if output is not None:
            output.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it, or what it left behind
        self._process.wait()

    @property
    def exit_code(self) -> int | None:
        """The code it ended with; None while it runs."""
        return None if self._process is None else self._process.poll()

    def last_words(self, lines: int = 5) -> str:
        """The end of its log."""
        if self.log is None or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def stop_on_signals() -> None:
    """Make every signal that asks this process to end a `KeyboardInterrupt`, so that it stops what it started first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
