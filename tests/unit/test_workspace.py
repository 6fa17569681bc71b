"""The state folder: what is made in it, also by several runs at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bakehouse import workspace


def test_old_scratch_folders_go_and_new_ones_stay(state: Path) -> None:
    old, new = workspace.scratch("old"), workspace.scratch("new")
    os.utime(old, (0, 0))
    made = workspace.scratch("another")
    assert {path.name for path in (state / "scratch").iterdir()} == {new.name, made.name}


def test_two_runs_may_clean_the_scratch_folder_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one removes every folder while this one removes its first."""
    old = [workspace.scratch("old") for _ in range(3)]
    for folder in old:
        os.utime(folder, (0, 0))
    remove = shutil.rmtree

    def both_remove(_: Path, **options: Any) -> None:
        for folder in old:
            remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", both_remove)
    assert workspace.scratch("new").is_dir()
