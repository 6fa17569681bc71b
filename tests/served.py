"""A bento of the orders room with a small forest in it, and a real process that serves it. For tests of its answers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from bakehouse import archives
from bentos.common.packaging import BuiltBento, build_bento
from bentos.common.room import load_room
from gitops.processes import serving
from gitops.signing import sign
from tests.loopback import free_port, wait_for_answer

LINEAGE: Mapping[str, Any] = {
    "data_version": "0123456789abcdef0123456789abcdef",
    "code_commit": "f" * 40,
    "built_at": "2026-01-02T03:04:05Z",
}
START_SECONDS = 240


@dataclass(frozen=True)
class Served:
    """A running service. `output` is all that its processes have printed."""

    process: subprocess.Popen[bytes]
    url: str
    output: Path
    bento: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=120)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, as a supervisor does, and wait."""
        self.process.send_signal(how)
        return self.process.wait(120)


def forest(path: Path) -> Path:
    """Write an isolation forest over random orders as an ONNX graph."""
    from sklearn.ensemble import IsolationForest

    from bentos.common.forest_converter import to_onnx
    from bentos.orders.features import FEATURES

    rows = np.random.default_rng(7).lognormal(size=(500, len(FEATURES))).astype(np.float32)
    fitted = IsolationForest(n_estimators=20, contamination=0.1, random_state=7).fit(rows)
    path.write_bytes(to_onnx(fitted))
    return path


def orders_bento(folder: Path, version: int = 1) -> tuple[BuiltBento, Path]:
    """Build it, and unpack it to a folder as delivery does."""
    folder.mkdir(parents=True, exist_ok=True)
    built = build_bento(load_room("orders"), forest(folder / "model.onnx"), version, LINEAGE, folder, sign)
    return built, archives.unpack(built.archive, built.digest, folder / "unpacked")


@contextmanager
def serve(
    bento: Path, home: Path, command: Callable[[Path, int], list[str]] = serving, /, **variables: str
) -> Iterator[Served]:
    """A process that serves an unpacked bento, from when it is ready to the block's end. `home` is its BENTOML_HOME."""
    home.mkdir(parents=True, exist_ok=True)
    output = home / f"{time.time_ns()}.log"
    port = free_port()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command(bento, port), env=environment(home, variables), stdout=stream, stderr=subprocess.STDOUT
        )
    served = Served(process, f"http://127.0.0.1:{port}", output, bento)
    try:
        wait_for_answer(process, f"{served.url}/readyz", output, START_SECONDS)
        yield served
    finally:
        if process.poll() is None:
            served.stop()


def refused_start(bento: Path, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to give up by itself."""
    home.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        serving(bento, free_port()),
        env=environment(home, variables),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def environment(home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    # Started from another folder, so that nothing of the checkout is found by chance. Feast, where a test imported it,
    # sets a folder for metrics that all services would share.
    inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    return {**inherited, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "TMPDIR": str(home), **variables}
