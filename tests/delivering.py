"""`bakehouse deliver` with a bento that is a stand-in: the process, its settings, and what the tests of it wait for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from gitops.observations import Observation, observations
from tests.waiting import eventually

DELIVER = """
import logging, sys
from bakehouse.errors import BakehouseError
from gitops.delivery import deliver
from tests.fake_bento import start
logging.basicConfig(level="INFO", format="%(message)s")
try:
    deliver([name for name in sys.argv[1:] if name != "--once"], once="--once" in sys.argv, start=start)
except BakehouseError as error:
    sys.exit(str(error))
"""


LITTLE_PATIENCE = 10.0
"""Seconds in which a stand-in for a bento starts on a busy machine, too."""


class Delivery:
    """`bakehouse deliver` in a process of its own."""

    def __init__(self, log: Path, checkout: Path, code: str = DELIVER) -> None:
        self._log = log
        self._checkout = checkout
        self._code = code
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self._code, *arguments],
                env={**os.environ, "PYTHONPATH": str(self._checkout)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def finish(self) -> int:
        assert self.process is not None
        return self.process.wait(timeout=120)

    def said(self) -> str:
        return self._log.read_text()


def configure(root: Path, ports: dict[str, int], **more: Any) -> None:
    document = {
        "environments": {name: {"port": port} for name, port in ports.items()},
        "poll_seconds": 0.1,
        "health_deadline_seconds": 60,
        "drain_seconds": 60,
        "grace_seconds": 5,
        "retry_seconds": 600,
        "check_seconds": 0.2,
        **more,
    }
    (root / "environments" / "local" / "delivery.yaml").write_text(yaml.safe_dump(document))


def wait_for(environment: str, condition: Callable[[Observation], bool], model: str = "orders") -> Observation:
    found: list[Observation] = []

    def seen() -> bool:
        observation = observations().of(environment, model)
        if observation is not None and condition(observation):
            found.append(observation)
        return bool(found)

    wait_until(seen)
    return found[0]


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    eventually(lambda: f"it comes about; seen last: {observations()}", condition, seconds)


def status(checkout: Path) -> str:
    """The line of `bakehouse status` about orders in staging, as a pipe gets it."""
    command = [sys.executable, "-m", "commands.main", "status"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    (line,) = [line for line in said.splitlines() if line.split()[:2] == ["orders", "staging"]]
    return line


def runs(version: int) -> Callable[[Observation], bool]:
    return lambda seen: seen.in_sync and seen.running is not None and seen.running.model_version == version


def wants(seen: Observation, commit: str) -> bool:
    return seen.wanted is not None and seen.wanted.commit == commit


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as response:
        return json.loads(response.read())


def leftovers(tmp_path: Path) -> list[psutil.Process]:
    """Processes that were started from this test's state folder and still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(tmp_path / "state") in process.environ().get("BAKEHOUSE_PROCESS_HOME", ""):
                found.append(process)
        except psutil.Error:
            continue
    return found
