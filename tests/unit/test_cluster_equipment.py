"""The test cluster is skipped where nobody has one; one that is named or there, and does not work, is a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import cluster_equipment
from tests.cluster_equipment import VARIABLE, equipment, held


def test_where_none_is_named_and_none_is_beside_the_checkout_its_tests_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(cluster_equipment, "CHECKOUT", tmp_path / "checkout")
    with pytest.raises(pytest.skip.Exception, match=VARIABLE):
        equipment()


def test_a_folder_that_is_named_and_is_not_there_is_no_reason_to_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="gone/ensure"):
        equipment()


def test_programs_that_can_not_be_made_are_no_reason_to_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "ensure").write_text("#!/bin/sh\necho no compiler >&2\nexit 3\n")
    (tmp_path / "ensure").chmod(0o755)
    with pytest.raises(AssertionError, match="no compiler"):
        equipment()


def test_what_is_held_runs_to_the_blocks_end_and_what_does_not_come_up_says_why(tmp_path: Path) -> None:
    with held(["cat"], tmp_path / "log", "It") as process:
        assert process.poll() is None
    assert process.returncode == 0
    with (
        pytest.raises(AssertionError, match="It did not come up:\nno disk"),
        held(["sh", "-c", "read up; echo no disk >&2"], tmp_path / "log", "It"),
    ):
        pass
