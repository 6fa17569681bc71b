"""A server that a test starts on loopback: a port for it, and waiting until it answers."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import httpx

from tests.waiting import SECONDS, eventually


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_answer(process: subprocess.Popen[bytes], url: str, log: Path, seconds: float = SECONDS) -> None:
    """Until the server that the process is answers 200. Fails with its log, and at once where it ends by itself."""

    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"The server ended by itself:\n{log.read_text()}")
        try:
            return httpx.get(url, timeout=30, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    eventually(lambda: f"{url} answers:\n{log.read_text()}", answers, seconds)
