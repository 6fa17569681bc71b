"""Describes the machine and the versions that a figure was measured with. Measures nothing itself."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

LIBRARIES = ("bentoml", "mlflow", "numpy", "onnxruntime", "pydantic", "scikit-learn", "skl2onnx", "uvloop", "zenml")


def describe(checkout: Path) -> dict[str, Any]:
    """What a reader needs to judge a figure: processor, cores, memory, load, system, Python, libraries, commit."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "commit": _commit(checkout),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit(checkout: Path) -> str:
    """The commit of the checkout, with `+changes` where files differ from it."""

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *arguments], cwd=checkout, check=False, capture_output=True, text=True)
        return run.stdout.strip()

    head = git("rev-parse", "HEAD") or "unversioned"
    return head + ("+changes" if git("status", "--porcelain") else "")
