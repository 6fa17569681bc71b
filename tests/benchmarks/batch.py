"""Batch scoring beside a bare loop over the same file: rows a second, memory by the size of the file, cost of a row.

The bare loop reads the NDJSON line by line, makes each a request by the contract's `validate_json` (which is what the
room's features take), computes the features, runs the graph in batches of 8,192 rows, and writes two columns to one
Parquet file when all is done. It numbers, versions and quarantines nothing, and leaves out what the contract refuses.

Promised is a ratio to that loop as anybody would write it. Batch scoring turns Python's garbage collection off by
itself, so the ratio to the same loop with it turned off stands beside: reported, not promised. Both have one thread;
each ratio is of processor time of a process of its own, the best of several turns, and each number of rows a second
stands by processor time and by the clock. What is compared has parts of the usual size; the costs for several workers
have smaller ones.
"""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from bakehouse import archives, workspace
from bentos.common.room import load_room
from bentos.common.scoring_files import plan
from bentos.common.session import OnnxModel
from steps.score import Cost, score_plan
from tests.room_graphs import write_graph

MODELS = ("sentiment", "orders")
WORKERS = (1, 2, 4)
LIMITS = {"ratio": 0.8, "memory_growth": 1.2}
BARE, COLLECTING_NOTHING, SCORED = "bare loop", "bare loop without garbage collection", "batch scoring"
BIG = 8_192
SMALL_PARTS = 1 << 20
"""So that four workers have something to do in a file of some megabytes."""
PRICE_PER_CORE_HOUR = 0.05


def run(quick: bool) -> dict[str, Any]:
    """Figures by model, and `met`. `quick` measures a tenth of the rows, once."""
    figures: dict[str, Any] = {
        "price per core hour (an example)": PRICE_PER_CORE_HOUR,
        "what a price is": "of a million rows",
    }
    for model in MODELS:
        with TemporaryDirectory(dir=workspace.state()) as name:
            figures |= _measure(model, Path(name), *((4, 1) if quick else (40, 3)))
    return figures


def _measure(model: str, folder: Path, megabytes: int, turns: int) -> dict[str, Any]:
    graph = write_graph(load_room(model), folder)
    small, large = folder / "small.ndjson", folder / "large.ndjson"
    _write(model, small, megabytes)
    _write(model, large, 5 * megabytes)
    seen: dict[str, list[dict[str, float]]] = {contender: [] for contender in (BARE, COLLECTING_NOTHING, SCORED)}
    for _ in range(turns):
        for contender, figures in seen.items():
            figures.append(_apart(contender, model, small, graph, folder))
    least = {contender: min(one["seconds"] for one in figures) for contender, figures in seen.items()}
    ratio, strict = least[BARE] / least[SCORED], least[COLLECTING_NOTHING] / least[SCORED]
    memory = min(one["mb"] for one in seen[SCORED])
    growth = _apart(SCORED, model, large, graph, folder)["mb"] / memory
    costs = {workers: _cost(model, small, graph, folder / f"on {workers}", workers) for workers in WORKERS}
    return {
        model: {
            **{
                f"rows a second {what}, {contender}": max(one["rows"] / one[seconds] for one in figures)
                for what, seconds in (("of processor time", "seconds"), ("by the clock", "clock"))
                for contender, figures in seen.items()
            },
            f"× {BARE} (promised: {LIMITS['ratio']})": ratio,
            f"× {COLLECTING_NOTHING} (not promised)": strict,
            "peak MB": memory,
            "× peak MB for a file of 5 × the size": growth,
            **{
                f"{workers} workers · {what}": value
                for workers, cost in costs.items()
                for what, value in {
                    "core-µs a row": cost.core_seconds_per_row * 1e6,
                    "price": cost.core_seconds_per_row / 3_600 * PRICE_PER_CORE_HOUR * 1e6,
                }.items()
            },
            "met: ratio": str(ratio >= LIMITS["ratio"]),
            "met: memory": str(growth <= LIMITS["memory_growth"]),
        }
    }


def _cost(model: str, batch: Path, graph: Path, folder: Path, workers: int) -> Cost:
    planned, digest = plan([batch], part_bytes=SMALL_PARTS), archives.digest(graph)
    price = PRICE_PER_CORE_HOUR
    return score_plan(planned, graph, folder, model, 1, digest, workers=workers, price_per_core_hour=price)[2]


def _apart(contender: str, model: str, batch: Path, graph: Path, folder: Path) -> dict[str, float]:
    """Processor seconds, seconds by the clock, rows, and peak resident megabytes of a process that does this alone."""
    arguments = [contender, model, str(batch), str(graph), str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.batch", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _bare(model: str, batch: Path, graph: Path, folder: Path) -> int:
    room, session = load_room(model), OnnxModel(graph)
    validate = TypeAdapter(room.contract.Request).validate_json
    columns: dict[str, list[Any]] = {name: [] for name in session.outputs}
    items: list[Any] = []
    rows = 0

    def answer() -> None:
        for name, values in session.run(room.features.arrays(items)).items():
            columns[name].append(values)
        items.clear()

    with batch.open("rb") as lines:
        for line in lines:
            rows += 1
            try:
                items.append(validate(line))
            except ValidationError:
                continue
            if len(items) == BIG:
                answer()
    if items:
        answer()
    table = {name: np.concatenate(values).ravel() for name, values in columns.items()}
    pq.write_table(pa.table(table), folder / "bare.parquet")
    return rows


def _write(model: str, path: Path, megabytes: int) -> None:
    """Orders of other articles and moments, or the shipped sentences drawn at random."""
    if model == "orders":
        command = [sys.executable, "tools/scale_orders.py", str(path), "--megabytes", str(megabytes)]
        subprocess.run(command, check=True, capture_output=True, cwd=workspace.root())
        return
    chance = random.Random(7)
    shipped = sorted((workspace.root() / "data" / model).glob("*.ndjson"))
    texts = [json.loads(line)["text"] for file in shipped for line in file.open()]
    with path.open("w") as file:
        while file.tell() < megabytes * 1_000_000:
            file.writelines(json.dumps({"text": chance.choice(texts)}) + "\n" for _ in range(1_000))


def main() -> None:
    """Do one contender's work, and print its figures as JSON. Imports do not count; loading the graph does."""
    contender, model, *paths = sys.argv[1:]
    batch, graph, folder = map(Path, paths)
    load_room(model).service  # noqa: B018  imported before the clock runs
    digest = archives.digest(graph)
    if contender == COLLECTING_NOTHING:
        gc.disable()
    started, clock = time.process_time(), time.perf_counter()
    if contender == SCORED:
        with TemporaryDirectory(dir=folder) as out:
            rows = score_plan(plan([batch]), graph, Path(out), model, 1, digest)[1].rows
    else:
        rows = _bare(model, batch, graph, folder)
    figures = {"seconds": time.process_time() - started, "clock": time.perf_counter() - clock, "rows": rows}
    print(json.dumps({**figures, "mb": _peak_megabytes()}))


def _peak_megabytes() -> float:
    """Of this process's own memory: what getrusage says begins with the size of the process that started this one."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1_024 / 1e6


if __name__ == "__main__":
    main()
