"""Reports kept by their digest, so that the evidence of a release stays readable when every database is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from bakehouse import archives, workspace


def keep(report: Path, suffix: str = "") -> str:
    """Copy a report to `workspace.reports()` under its digest, which is returned (`sha256:` and 64 hex digits).

    It appears there whole or not at all. `suffix` says its type where the file's own name does not.
    """
    digest = archives.digest(report)
    kept = path(digest, suffix or report.suffix)
    descriptor, partial = tempfile.mkstemp(dir=kept.parent, prefix=".keeping-")
    os.close(descriptor)
    shutil.copyfile(report, partial)
    Path(partial).replace(kept)
    return digest


def path(digest: str, suffix: str) -> Path:
    """Where the report of that digest stands, if it is kept."""
    return workspace.reports() / f"{digest.removeprefix('sha256:')}{suffix}"
