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
from bentos.common.gatekeeper import Contract, admit_files
from bentos.orders import contract

KEY = b"benchmarks are no secret " * 2
LIMITS = {"ratio_one_core": 0.5, "gain_two_cores": 1.5, "memory_growth": 1.2}
SLICE = 2_000
SCALE = Path("tools/scale_orders.py")


def run(quick: bool) -> dict[str, Any]:
    """Documents a second, their ratios, peak memory for a file and for one ten times its size, and `met`, for each
    limit. The pool's start is part of what two cores take."""
    megabytes = 10 if quick else 50
    with TemporaryDirectory(dir=workspace.state()) as name:
        folder = Path(name)
        small, large = folder / "small.ndjson", folder / "large.ndjson"
        _scale(small, megabytes)
        _scale(large, 10 * megabytes)
        alone, one_core = _one_core(small, folder)
        gain = _gain(large, rounds=2 if quick else 4)
        memory = {f"{path.stat().st_size / 1e6:.0f} MB": _peak_megabytes(path) for path in (small, large)}
    first, last = memory.values()
    figures = {"ratio_one_core": alone / one_core, "gain_two_cores": gain, "memory_growth": last / first}
    documents = {"validate_json alone": 1 / alone, "one core": 1 / one_core, "two cores": gain / one_core}
    met = {
        "ratio_one_core": figures["ratio_one_core"] >= LIMITS["ratio_one_core"],
        "gain_two_cores": figures["gain_two_cores"] >= LIMITS["gain_two_cores"],
        "memory_growth": figures["memory_growth"] <= LIMITS["memory_growth"],
    }
    return {
        "documents_per_second": {name: round(value) for name, value in documents.items()},
        "peak_memory_mb": memory,
        **{name: round(value, 3) for name, value in figures.items()},
        "limits": LIMITS,
        "met": met,
    }


def _one_core(path: Path, folder: Path) -> tuple[float, float]:
    """Seconds a document: validation alone, and the gatekeeper. Taken in turns on slices of the file, of each slice
    the best of five, so that whatever else the machine does in between counts little."""
    lines = path.read_bytes().splitlines(keepends=True)
    piece = folder / "slice.ndjson"
    alone = gatekeeper = 0.0
    for start in range(0, len(lines), SLICE):
        part = lines[start : start + SLICE]
        piece.write_bytes(b"".join(part))
        rounds = [(_seconds(_validate, part), _seconds(_admit, piece, 1)) for _ in range(5)]
        alone += min(first for first, _ in rounds)
        gatekeeper += min(second for _, second in rounds)
    return alone / len(lines), gatekeeper / len(lines)


def _gain(path: Path, rounds: int) -> float:
    """How many times faster two processes are than one, on a file whose length makes up for the start of the pool."""
    seconds = [(_seconds(_admit, path, 1), _seconds(_admit, path, 2)) for _ in range(rounds)]
    return min(one for one, _ in seconds) / min(two for _, two in seconds)


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
    admit_files([path], cast(Contract, contract), KEY, accepted, quarantine, datetime.now(UTC), workers)


def _seconds(work: Callable[..., None], *arguments: Any) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def _peak_megabytes(path: Path) -> float:
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
