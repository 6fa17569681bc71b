"""Reports that are named by what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bakehouse import workspace
from steps import reports


def test_a_report_is_kept_under_its_digest_and_the_same_report_once(tmp_path: Path) -> None:
    report = tmp_path / "file_data"
    report.write_text("<html>")
    digest = reports.keep(report, ".html")
    assert digest == f"sha256:{hashlib.sha256(b'<html>').hexdigest()}"
    assert reports.keep(report, ".html") == digest
    assert reports.path(digest, ".html").read_text() == "<html>"
    assert [path.name for path in workspace.reports().iterdir()] == [f"{digest[7:]}.html"]
