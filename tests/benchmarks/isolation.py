"""Runs one benchmark in a process of its own, so that none measures what another left in memory."""

from __future__ import annotations

import importlib
import multiprocessing
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def measure(name: str, quick: bool) -> dict[str, Any]:
    """`figures` of one benchmark, or `error` with its traceback; and the `seconds` it took."""
    started = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        outcome = pool.submit(_figures, name, quick).result()
    return {**outcome, "seconds": round(time.perf_counter() - started, 1)}


def _figures(name: str, quick: bool) -> dict[str, Any]:
    try:
        return {"figures": importlib.import_module(f"tests.benchmarks.{name}").run(quick)}
    except Exception:
        return {"error": traceback.format_exc()}
