"""How a tour through the house is shown: numbered stops, each command as a person would type it and run as typed, what
it said, and a table of what happened at the end. Knows nothing of what the stops are.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from bakehouse import workspace
from gitops.leash import leashed

Show = Callable[[str], str | None]

_STEP_STARTED = re.compile(r"Step `?([\w-]+)`? has started")
_STEP_FINISHED = re.compile(r"Step `?([\w-]+)`? has finished in `?([^`]*?)`?\.?$")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class StoppedError(Exception):
    """The tour can't go on."""


@dataclass
class Stop:
    """One stop of the tour; `outcome` is what the table says of it."""

    title: str
    outcome: str = ""
    seconds: float = 0.0


@dataclass
class Tour:
    """The whole tour. `logs` is where the full output of each command is kept."""

    console: Console
    logs: Path
    planned: int
    stops: list[Stop] = field(default_factory=list)
    commands: int = 0
    code: int = 0
    """What the last command ended with."""

    @contextmanager
    def stop(self, title: str) -> Iterator[Stop]:
        """One stop: its heading, and its time."""
        stop = Stop(title, "not finished")
        self.stops.append(stop)
        self.console.print()
        self.console.rule(f"[bold]{len(self.stops)} of {self.planned} · {escape(title)}", align="left", style="dim")
        began = time.monotonic()
        try:
            yield stop
        finally:
            stop.seconds = time.monotonic() - began

    def run(self, command: str, show: Show = str, expected: int | Collection[int] = 0) -> str:
        """Run `command` as typed, print the lines that `show` makes something of, and return all it said.

        Raises `StoppedError` with its last lines where it ends with another code than the expected ones.
        """
        self.commands += 1
        arguments = shlex.split(command)
        log = self.logs / f"{self.commands:02d}-{Path(arguments[0]).name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self.console.print(f"[bold cyan]$ {escape(command)}", soft_wrap=True)
        said: list[str] = []
        environment = {**os.environ, "COLUMNS": str(max(60, self.console.width - 2)), "PYTHONUNBUFFERED": "1"}
        with self.console.status("") as status, log.open("w", encoding="utf-8") as kept:
            process = subprocess.Popen(
                leashed(arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
                cwd=workspace.root(),
            )
            try:
                for line in process.stdout or ():
                    kept.write(line)
                    said.append(line.rstrip())
                    self._show(line.rstrip(), show, status)
                code = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
        self.code = code
        if code not in ((expected,) if isinstance(expected, int) else expected):
            tail = "\n".join(_ANSI.sub("", line) for line in said[-30:])
            raise StoppedError(
                f"`{command}` ended with exit code {code}:\n{tail}\n(everything it said: {seen_from_root(log)})"
            )
        if show is not str:
            self.console.print(Text(f"  everything it said: {seen_from_root(log)}", style="dim"), soft_wrap=True)
        return "\n".join(said)

    def ask(self, url: str, body: Path | None = None) -> Any:
        """Ask a service, by GET or with a JSON file by POST, as curl would; print and return its answer."""
        request = urllib.request.Request(url)  # noqa: S310 - an address of this machine
        line = f"curl -s {url}"
        if body is not None:
            line += f" -H 'content-type: application/json' -d @{seen_from_root(body)}"
            request = urllib.request.Request(  # noqa: S310
                url, data=body.read_bytes(), headers={"Content-Type": "application/json"}
            )
        self.console.print(f"[bold cyan]$ {escape(line)}", soft_wrap=True)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                answer = json.loads(response.read())
        except (urllib.error.URLError, OSError, ValueError) as error:
            detail = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else ""
            raise StoppedError(f"{url} did not answer: {error} {detail}") from error
        self.console.print(Text(f"  {json.dumps(answer)}"), soft_wrap=True)
        return answer

    def wait(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until it holds. Raises `StoppedError` where it does not in time."""
        deadline = time.monotonic() + seconds
        with self.console.status(f"waiting: {escape(what)}"):
            while not condition():
                if time.monotonic() > deadline:
                    raise StoppedError(f"{what}: not within {seconds:g} s.")
                time.sleep(0.1)

    def say(self, text: str) -> None:
        """A remark of the guide."""
        self.console.print(Text(text, style="green"))

    def show_table(self) -> None:
        """What happened, stop by stop."""
        table = Table("", "step", "what happened", "seconds", title="The tour", title_justify="left")
        for number, stop in enumerate(self.stops, 1):
            table.add_row(str(number), escape(stop.title), escape(stop.outcome), f"{stop.seconds:.1f}")
        table.columns[3].justify = "right"
        table.add_section()
        table.add_row("", "", "altogether", f"{sum(stop.seconds for stop in self.stops):.1f}")
        self.console.print()
        self.console.print(table)

    def _show(self, line: str, show: Show, status: Status) -> None:
        if started := _STEP_STARTED.search(_ANSI.sub("", line)):
            status.update(f"step {started[1]}")
        shown = show(line)
        if shown is not None:
            self.console.print(Text.from_ansi(f"  {shown}"), soft_wrap=True)


def errors_and_steps() -> Show:
    """Of what a ZenML run says, the steps that are done, and an error with the gates that it lists."""
    failed = False

    def show(line: str) -> str | None:
        nonlocal failed
        plain = _ANSI.sub("", line).rstrip()
        if finished := _STEP_FINISHED.search(plain):
            return f"✓ {finished[1]} ({finished[2]})"
        failed = failed or plain.startswith("Error")
        return plain if failed and plain.startswith(("Error", "  - ")) else None

    return show


def seen_from_root(path: Path) -> Path:
    """The path as a person in the checkout would type it."""
    return path.relative_to(workspace.root()) if path.is_relative_to(workspace.root()) else path
