"""`zenml pipeline run` of the orders training as typed in the README: the whole cold command, and where its time goes.

The same run in a process that has every import done, before it is forked, tells imports from the rest; the durations
that ZenML prints for each step tell computing from orchestration.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from bakehouse import workspace
from tests.warm_pipeline import CHECKOUT, WarmPipeline

LIMIT_SECONDS = 40.0
ARGUMENTS = ("pipeline", "run", "pipelines.training.training", "-c", "zenml_config.yaml")
FINISHED = re.compile(r"Step (\w+) has finished in ([\d.]+)(m?s)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m|`")


def run(quick: bool) -> dict[str, Any]:
    """Seconds of the whole command (median of one or three, each in a fresh state), of its parts, and of each step; and
    the processor's seconds, which say how it would be on a machine with nothing else to do."""
    with TemporaryDirectory(dir=workspace.state()) as folder:
        repetitions = 1 if quick else 3
        before = os.times()
        cold = [_cold(Path(folder, f"cold-{number}")) for number in range(repetitions)]
        after = os.times()
        warm, output = _warm(Path(folder, "warm"))
    steps = {name: float(value) / (1000 if unit == "ms" else 1) for name, value, unit in FINISHED.findall(output)}
    whole, computing = median(cold), sum(steps.values())
    return {
        "whole_command_seconds": round(whole, 1),
        "processor_seconds": round(
            (after.children_user + after.children_system - before.children_user - before.children_system) / repetitions,
            1,
        ),
        "of_which": {
            "imports": round(whole - warm, 1),
            "orchestration": round(warm - computing, 1),
            "computing": round(computing, 1),
        },
        "computing": {name: round(seconds, 2) for name, seconds in steps.items()},
        "limits": {"whole_command_seconds": LIMIT_SECONDS},
        "met": {"whole_command_seconds": whole <= LIMIT_SECONDS},
    }


def _cold(state: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run(["zenml", *ARGUMENTS], cwd=CHECKOUT, env=_settings(state), check=False, capture_output=True)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return seconds


def _warm(state: Path) -> tuple[float, str]:
    settings = _settings(state)
    log = state / "log.txt"
    pipeline = WarmPipeline(settings, log)
    try:
        with mock.patch.dict(os.environ, settings):
            pipeline.run(["version"], state / "version.txt")  # returns when every import is done
            ended = pipeline.run(ARGUMENTS, state / "output.txt", folder=CHECKOUT)
    finally:
        pipeline.close()
    if ended.code != 0:
        raise RuntimeError(ended.output)
    return ended.seconds, COLOUR.sub("", ended.output)


def _settings(state: Path) -> dict[str, str]:
    """What an activated shell has, with a state folder of its own."""
    state.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "BAKEHOUSE_STATE": str(state), "PATH": path}
    printed = subprocess.run(
        [CHECKOUT / "run.sh", "env"], env=environment, check=True, capture_output=True, text=True
    ).stdout
    return environment | dict(word.split("=", 1) for word in shlex.split(printed) if "=" in word)
