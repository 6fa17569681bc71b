"""`zenml pipeline run` without its imports: one process that has them all, and forks a child for each run.

A child is a whole process with the settings of its test; it can be killed, and what it leaves behind is what a killed
run leaves behind. `python -m tests.warm_pipeline` is that process; `WarmPipeline` talks to it.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import unmeasured

CHECKOUT = Path(__file__).resolve().parents[1]
IMPORTED = (
    "alembic bentos.orders.checks bentos.orders.estimator dvc.repo great_expectations great_expectations.expectations"
    " great_expectations.render.renderer matplotlib.figure mlflow.onnx mlflow.store.model_registry.sqlalchemy_store"
    " mlflow.store.tracking.sqlalchemy_store onnx onnxruntime pipelines.batch_scoring pipelines.training skl2onnx skrub"
    " zenml.zen_stores.sql_zen_store zenml_cli"
).split()


@dataclass(frozen=True)
class Ended:
    """How a run ended: an exit code as a shell gives it, negative for the signal that killed it."""

    code: int
    output: str
    seconds: float


class WarmPipeline:
    """The process that forks runs. One for a whole test session."""

    def __init__(self, settings: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm_pipeline"],
                cwd=CHECKOUT,
                env={**unmeasured.environment(), **settings},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )

    def run(self, arguments: Sequence[str], output: Path, kill: str = "", folder: Path | None = None) -> Ended:
        """`zenml` with these arguments, in the settings and the folder of the caller where none is given. `kill` names
        a step after whose work, and before whose end, the process is killed with SIGKILL; or any function, by its
        module's name and its own, after which it is."""
        request = {
            "arguments": list(arguments),
            "output": str(output),
            "kill": kill,
            "environment": dict(os.environ),
            "folder": str(folder or Path.cwd()),
        }
        started = time.monotonic()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text()
        return Ended(int(answer), output.read_text(errors="replace"), time.monotonic() - started)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for module in IMPORTED:
        importlib.import_module(module)
    importlib.import_module("zenml.integrations.registry").integration_registry.activate_integrations()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _run(arguments: list[str], output: str, kill: str, environment: dict[str, str], folder: str) -> None:
    from zenml.client import Client
    from zenml.config.global_config import GlobalConfiguration
    from zenml.utils.source_utils import set_custom_source_root
    from zenml_cli import cli

    with Path(output).open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # ZenML read its settings when it was imported: for the parent, and not for this test.
    GlobalConfiguration._reset_instance()
    Client._reset_instance()
    set_custom_source_root(environment["ZENML_CUSTOM_SOURCE_ROOT"])
    if kill:
        _kill_in(kill)
    cli(arguments)


def _kill_in(name: str) -> None:
    """Let the step do all its work, and die before ZenML hears of it: nothing could be worse timed. A function of a
    module does its work, and its caller never hears of it."""
    module, _, function = name.rpartition(".")
    holder: Any = importlib.import_module(module or f"steps.{name}")
    if not module:
        holder, function = type(getattr(holder, name)), "entrypoint"
    work: Callable[..., Any] = getattr(holder, function)

    @functools.wraps(work)
    def worked_and_killed(*args: Any, **kwargs: Any) -> Any:
        work(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(holder, function, worked_and_killed if module else staticmethod(worked_and_killed))


if __name__ == "__main__":
    _serve()
