"""Evidence where everybody finds it: written once before the commit that names it, and read back by its digest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bakehouse import workspace
from bakehouse.errors import ConfigurationError, DataError
from gitops import evidence_store, stores
from gitops.release import sha256
from gitops.repository import GitopsRepository
from gitops.verification import verify
from tests.fake_bento import build, commit
from tests.gitops_world import World

REPORT = b"<html>why it was let in</html>"
DIGEST = sha256(REPORT)


@pytest.fixture
def report(world: World) -> Path:
    """A report of this machine."""
    path = workspace.reports() / f"{DIGEST.removeprefix('sha256:')}.html"
    path.write_bytes(REPORT)
    return path


@pytest.fixture
def bucket(s3: Any) -> str:
    """A bucket that keeps each object locked."""
    s3.create_bucket(Bucket="evidence", ObjectLockEnabledForBucket=True)
    retention = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 3650}}
    s3.put_object_lock_configuration(
        Bucket="evidence", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
    )
    return "evidence"


def test_what_the_store_has_is_found_where_this_machine_has_lost_it(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(evidence_store.VARIABLE, str(tmp_path / "team"))
    evidence_store.send("orders", [DIGEST])
    report.unlink()
    assert evidence_store.report("orders", DIGEST).read_bytes() == REPORT
    assert stores.report(DIGEST).is_file(), "it is here now"
    assert not evidence_store.report("cakes", sha256(b"another")).exists()


def test_verify_reads_it_from_there(
    world: World, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = build(tmp_path, version=1)
    evidence = release.evidence.model_copy(update={"reports": {"report.html": DIGEST}})
    commit("staging", release.model_copy(update={"evidence": evidence}))
    monkeypatch.setenv(evidence_store.VARIABLE, str(tmp_path / "team"))
    evidence_store.send("orders", [DIGEST])

    def verdict() -> str:
        checks = {check.name: check.verdict for check in verify(GitopsRepository.open())}
        return checks["report report.html"]

    shutil.rmtree(workspace.reports())
    assert verdict() == "good"
    shutil.rmtree(workspace.reports())
    monkeypatch.delenv(evidence_store.VARIABLE)
    assert verdict() == "not here"


def test_what_was_changed_there_is_not_taken_for_it(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(evidence_store.VARIABLE, str(tmp_path / "team"))
    evidence_store.send("orders", [DIGEST])
    report.unlink()
    (kept,) = (tmp_path / "team" / "orders").iterdir()
    kept.write_bytes(REPORT + b" ")
    assert not evidence_store.report("orders", DIGEST).exists()
    assert list(workspace.reports().iterdir()) == []


def test_an_object_store_keeps_it_locked(bucket: str, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    monkeypatch.setenv(evidence_store.VARIABLE, f"s3://{bucket}")
    evidence_store.send("orders", [DIGEST])
    key = f"orders/{DIGEST.removeprefix('sha256:')}"
    assert boto3.client("s3").head_object(Bucket=bucket, Key=key)["ObjectLockMode"] == "COMPLIANCE"
    report.unlink()
    assert evidence_store.report("orders", DIGEST).read_bytes() == REPORT


def test_a_store_that_is_not_there_is_an_error_that_names_it(
    bucket: str, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(evidence_store.VARIABLE, f"s3://{bucket}-elsewhere")
    with pytest.raises(ConfigurationError, match="s3://evidence-elsewhere can't be written"):
        evidence_store.send("orders", [DIGEST])


def test_an_address_of_no_store_is_an_error_that_names_it(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(evidence_store.VARIABLE, "gopher://evidence")
    with pytest.raises(ConfigurationError, match="gopher://evidence can't be written"):
        evidence_store.send("orders", [DIGEST])


def test_a_report_that_is_not_here_is_not_sent(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(evidence_store.VARIABLE, str(tmp_path / "team"))
    with pytest.raises(DataError, match="not on this machine"):
        evidence_store.send("orders", [DIGEST])


def test_without_a_store_nothing_is_sent_or_asked(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(evidence_store.VARIABLE, raising=False)
    evidence_store.send("orders", [DIGEST])
    assert evidence_store.report("orders", DIGEST) == report
