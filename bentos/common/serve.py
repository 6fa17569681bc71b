"""Serves the bento that it lies in, as one process: `python -P src/bentos/common/serve.py --port 3000`.

It is BentoML's own worker without the supervisor that `bentoml serve` starts before it, loads the model into too and
lets wait: one worker is watched by what started it, Kubernetes or `bakehouse deliver`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

BACKLOG = 2048
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def main() -> None:
    """Bind, load, and answer until SIGTERM or SIGINT; exit code 0 then."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=3000, help="the port to listen on (default: %(default)s)")
    options = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal once more when it has stopped; process 1 of a container has no handler of its own.
        signal.signal(ending, lambda *_: sys.exit())
    listening = _listening(options.host, options.port)
    # What counts requests reads this when it is imported, so it stands before BentoML's import.
    metrics = os.environ[METRICS_VARIABLE] = tempfile.mkdtemp(prefix="metrics-")
    try:
        from _bentoml_impl.worker.service import main as work

        work([str(Path(__file__).resolve().parents[3]), f"--fd={listening.fileno()}", "--worker-id=1"])
    finally:
        shutil.rmtree(metrics, ignore_errors=True)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        sys.exit(f"It can't listen on {host}, port {port}: {error.strerror}.")


if __name__ == "__main__":
    main()
