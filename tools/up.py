"""`make up`: the MLflow UI, and delivery of every environment, in the foreground until Ctrl-C.

Starts what others hold and shows where it answers; stops all of it however it ends.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from bakehouse import workspace
from bakehouse.errors import BakehouseError, DeliveryError
from gitops.delivery import Settings, settings
from gitops.observations import Observations, observations
from tools.background import Background, stop_on_signals

MLFLOW_PORT = 5000
PATIENCE_SECONDS = 120.0


def main() -> int:
    """Run until Ctrl-C; 1 where something could not start or ended by itself."""
    parser = argparse.ArgumentParser(prog="make up", description="Start the MLflow UI and every environment here.")
    parser.add_argument(
        "--mlflow-port", type=int, default=MLFLOW_PORT, metavar="PORT", help="where the MLflow UI answers"
    )
    mlflow_port = parser.parse_args().mlflow_port
    console = Console(highlight=False)
    stop_on_signals()
    try:
        up(console, settings(), mlflow_port)
    except KeyboardInterrupt:
        console.print("\nstopped: nothing is left running")
        return 0
    except BakehouseError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1


def up(console: Console, delivery: Settings, mlflow_port: int) -> NoReturn:
    """Start everything, show where it answers, and watch over it. Raises `DeliveryError` where something ends."""
    if observations().delivering:
        raise DeliveryError("A delivery runs here already.", "Stop it first; `bakehouse status` shows what it runs.")
    _require_free(delivery.host, mlflow_port, "the MLflow UI", "Choose another: ./run.sh up --mlflow-port PORT.")
    # MLflow's own background jobs are for evaluating language models; they would be eight more processes.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    (workspace.state() / "mlflow").mkdir(exist_ok=True)
    store = ["--backend-store-uri", workspace.tracking_uri()]
    address = ["--host", delivery.host, "--port", str(mlflow_port), "--workers", "1"]
    log = workspace.state() / "logs" / "mlflow-ui.log"
    with (
        Background(["bakehouse", "deliver"]) as deliver,
        Background([sys.executable, "-m", "mlflow", "ui", *store, *address], log) as tracking,
    ):
        ui = f"http://{delivery.host}:{mlflow_port}"
        _await(console, "delivery", deliver, lambda: observations().delivering and _settled(observations()))
        _await(console, "the MLflow UI", tracking, lambda: _answers(f"{ui}/health"))
        console.print(addresses(delivery, observations(), ui))
        if not observations().deployments:
            console.print(
                "There is no release yet. In another terminal:\n"
                "  . .venv/bin/activate\n"
                "  zenml pipeline run pipelines.training.training -c zenml_config.yaml\n"
                "Delivery follows git: the release answers as soon as it is committed."
            )
        console.print("Ctrl-C stops all of it.")
        while True:
            _still_running("delivery", deliver)
            _still_running("the MLflow UI", tracking)
            time.sleep(0.3)


def addresses(delivery: Settings, seen: Observations, ui: str) -> Table:
    """Where everything answers, and with what."""
    table = Table("what", "answers at", "with")
    table.add_row("MLflow UI", ui, "runs, model versions, reports")
    for environment in delivery.environments:
        table.add_row(environment, delivery.url(environment), "a page of its models")
        for deployment in seen.deployments:
            if deployment.environment == environment:
                version = f"version {deployment.running.model_version}" if deployment.running else "nothing"
                state = "healthy" if deployment.healthy and not deployment.message else deployment.message
                table.add_row(f"  {deployment.model}", deployment.url, f"{version}: {state}")
    return table


def _settled(seen: Observations) -> bool:
    return seen.head is not None and all(deployment.status != "starting" for deployment in seen.deployments)


def _await(console: Console, what: str, background: Background, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with console.status(f"starting {what}"):
        while not condition():
            _still_running(what, background)
            if time.monotonic() > deadline:
                raise DeliveryError(f"{what} did not come up within {PATIENCE_SECONDS:g} s. {background.last_words()}")
            time.sleep(0.1)


def _still_running(what: str, background: Background) -> None:
    if background.exit_code is not None:
        said = background.last_words()
        raise DeliveryError(f"{what} ended with exit code {background.exit_code}.{f' It said: {said}' if said else ''}")


def _require_free(host: str, port: int, what: str, hint: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise DeliveryError(f"Port {port}, where {what} should answer, is already in use.", hint) from error


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - an address of this machine
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(main())
