"""The gatekeeper with masking, files in and files out, against `TypeAdapter(Record).validate_json` alone over the same
lines held in memory. Measures documents a second on one and two cores, and peak memory by the size of the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from bakehouse import workspace
from bentos.common.gatekeeper import Contract, admit_file
from bentos.orders import contract

KEY = b"benchmarks are no secret " * 2
LIMITS = {"ratio_one_core": 0.5, "gain_two_cores": 1.5, "memory_growth": 1.2}
SCALE = Path("tools/scale_orders.py")


def run(quick: bool) -> dict[str, Any]:
    """Documents a second (the best of alternating repetitions, each the least disturbed) and their ratios; peak memory
    for a file and for one ten times its size; and `met`, for each limit. The pool's start is part of what two cores
    take."""
    with TemporaryDirectory(dir=workspace.state()) as folder:
        small, large = Path(folder, "small.ndjson"), Path(folder, "large.ndjson")
        megabytes = 10 if quick else 50
        _scale(small, megabytes)
        _scale(large, 10 * megabytes)
        speed = _speed(small, large, 3 if quick else 5)
        memory = {
            f"{size} MB": _peak_megabytes(path, Path(folder))
            for path, size in ((small, megabytes), (large, 10 * megabytes))
        }
    first, last = memory.values()
    figures = {
        **speed,
        "peak_memory_mb": memory,
        "memory_growth": round(last / first, 3),
    }
    met = {
        "ratio_one_core": speed["ratio_one_core"] >= LIMITS["ratio_one_core"],
        "gain_two_cores": speed["gain_two_cores"] >= LIMITS["gain_two_cores"],
        "memory_growth": figures["memory_growth"] <= LIMITS["memory_growth"],
    }
    return {"megabytes": 10 * megabytes, "limits": LIMITS, **figures, "met": met}


def _speed(small: Path, large: Path, repetitions: int) -> dict[str, Any]:
    """One core against validation alone on the small file; two cores against one on the large one, whose length makes
    up for the start of the pool."""
    lines = small.read_bytes().splitlines(keepends=True)
    documents = len(lines)
    alone, one, large_one, large_two = [], [], [], []
    for _ in range(repetitions):
        alone.append(_seconds(lambda: _validate(lines)))
        one.append(_seconds(lambda: _admit(small, 1)))
    for _ in range(repetitions):
        large_one.append(_seconds(lambda: _admit(large, 1)))
        large_two.append(_seconds(lambda: _admit(large, 2)))
    return {
        "documents_per_second": {
            "validate_json alone": round(documents / min(alone)),
            "gatekeeper, one core": round(documents / min(one)),
            "gatekeeper, two cores": round(documents * 10 / min(large_two)),
        },
        "ratio_one_core": round(min(alone) / min(one), 3),
        "gain_two_cores": round(min(large_one) / min(large_two), 3),
    }


def _validate(lines: list[bytes]) -> None:
    validate = TypeAdapter(contract.Record).validate_json
    context = {"now": datetime.now(UTC)}
    for line in lines:
        try:
            validate(line, context=context)
        except ValidationError:
            continue


def _admit(path: Path, workers: int) -> None:
    accepted, quarantine = path.with_suffix(".accepted"), path.with_suffix(".quarantine")
    admit_file(path, cast(Contract, contract), KEY, accepted, quarantine, datetime.now(UTC), workers)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _peak_megabytes(path: Path, folder: Path) -> float:
    """Peak resident memory of a process that does nothing but admit the file."""
    program = (
        "import resource, sys, pathlib\n"
        "from tests.benchmarks import gatekeeper\n"
        "gatekeeper._admit(pathlib.Path(sys.argv[1]), 1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], env=environment, check=True, capture_output=True, text=True
    )
    return round(float(done.stdout), 1)


def _scale(out: Path, megabytes: int) -> None:
    command = [sys.executable, str(workspace.root() / SCALE), str(out), "--megabytes", str(megabytes)]
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    """Measure in full and print the figures as JSON."""
    print(json.dumps(run(quick="--quick" in sys.argv), indent=2))


if __name__ == "__main__":
    main()
