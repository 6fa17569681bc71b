"""Nothing is written outside the checkout: what our libraries would put into a home folder stays away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LIBRARIES = (
    "bentoml, bentos.common.session, dvc.repo, great_expectations, matplotlib.pyplot, mlflow, onnxruntime, skrub,"
    " zenml.client"
)


def test_importing_what_we_stand_on_writes_nothing_to_the_home_folder(tmp_path: Path, checkout: Path) -> None:
    """With the settings of `./run.sh env`, a home folder that was empty is empty afterwards, and no telemetry is on."""
    home = tmp_path / "home"
    home.mkdir()
    # Some libraries keep quiet on a build server; a laptop's behaviour is what counts.
    environment = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("XDG_")}
    subprocess.run(
        [sys.executable, "-c", f"import {LIBRARIES}; zenml.client.Client().active_stack"],
        cwd=checkout,
        env={**environment, "HOME": str(home)},
        check=True,
        capture_output=True,
    )
    assert not list(home.rglob("*"))
