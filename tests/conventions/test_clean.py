"""`make clean` takes away what is the checkout's own, and nothing else."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def lived_in(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with everything that `clean` removes, and one file of its owner's."""
    folder = tmp_path / "checkout"
    for name in (".bakehouse/delivery", ".venv", "data/processed"):
        (folder / name).mkdir(parents=True)
    for name in (".bakehouse/delivery/lock", "data/mine"):
        (folder / name).touch()
    shutil.copy(checkout / "run.sh", folder)
    monkeypatch.delenv("BAKEHOUSE_STATE", raising=False)
    return folder


def cleaned(folder: Path, state: str | None = None) -> subprocess.CompletedProcess[str]:
    given = {} if state is None else {"BAKEHOUSE_STATE": state}
    command, environment = [str(folder / "run.sh"), "clean"], {**os.environ, **given}
    return subprocess.run(command, env=environment, cwd=folder, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("state", [None, ".bakehouse/"])
def test_clean_removes_the_checkouts_own_state_and_nothing_of_its_owners(lived_in: Path, state: str | None) -> None:
    """The state, the virtual environment and the masked records go."""
    run = cleaned(lived_in, state)
    assert run.returncode == 0, run.stderr
    assert {path.name for path in lived_in.rglob("*")} == {"run.sh", "data", "mine"}


def test_clean_refuses_a_state_folder_elsewhere(lived_in: Path, tmp_path: Path) -> None:
    """A folder that BAKEHOUSE_STATE names may hold anything: `BAKEHOUSE_STATE=/tmp make clean` empties nothing."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "somebody's").touch()
    run = cleaned(lived_in, str(shared))
    assert run.returncode == 1
    assert str(shared) in run.stderr
    assert (shared / "somebody's").exists()
    assert (lived_in / ".venv").exists()


def test_clean_refuses_while_a_delivery_runs(lived_in: Path) -> None:
    """What answers requests is not taken away from under it."""
    with (lived_in / ".bakehouse/delivery/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = cleaned(lived_in)
    assert run.returncode == 1
    assert "bakehouse deliver" in run.stderr
    assert (lived_in / ".venv").exists()
