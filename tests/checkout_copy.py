"""The files of the checkout in a folder of the test's own, to change and to run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unmeasured import COVERAGE_VARIABLE


def copy_checkout(checkout: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the files as they are now, what git ignores aside; whatever the test starts works in the copy."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=checkout, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in names:
        if name and (checkout / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, target / name)
    # Its files are gone when the report of coverage is made.
    monkeypatch.delenv(COVERAGE_VARIABLE, raising=False)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(target))
    monkeypatch.setenv("ZENML_CUSTOM_SOURCE_ROOT", str(target))
    monkeypatch.setenv("PYTHONPATH", str(target))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return target
