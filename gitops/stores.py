"""Where this machine keeps what a release names by digest. Only paths; whether something is there is for the caller."""

from __future__ import annotations

from pathlib import Path

from bakehouse import workspace


def image(digest: str) -> Path:
    """The bento archive of an image digest."""
    return workspace.images() / f"{digest.removeprefix('sha256:')}.bento"


def report(digest: str) -> Path:
    """The report of a digest, whatever its suffix."""
    folder, stem = workspace.reports(), digest.removeprefix("sha256:")
    return next(folder.glob(f"{stem}*"), folder / stem)
