"""A copy of a data version for a person to work with, out of git's reach and readable by its owner alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from bakehouse import workspace
from bakehouse.errors import DataError
from gitops import git
from steps import data_versions
from steps.data_references import Reference


def copy(data: Reference, folder: Path) -> list[Path]:
    """Write the raw files to `folder`, which is made with mode 0700: they hold personal data. All of them or none.

    Raises `DataError` where git could commit them from there, where something is there already, or where the data
    can't be had any more.
    """
    folder = folder.resolve()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    if _can_be_committed(folder, nearest):
        raise DataError(
            f"{folder} lies in a git working tree, and raw data holds what may not be committed.",
            f"Choose a folder outside of it, or one in {workspace.state()}.",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is there already, and not empty.", "Choose another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    incoming = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # of mode 0700
    try:
        for file in data_versions.fetch(data.model, data.version):
            shutil.copyfile(file, incoming / file.name)
            (incoming / file.name).chmod(0o600)
        incoming.replace(folder)
    except OSError as error:
        raise DataError(f"{folder} can't be written: {error.strerror or error}.", "Choose another folder.") from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return sorted(folder.iterdir())


def _can_be_committed(folder: Path, nearest: Path) -> bool:
    """Whether the folder is in a working tree and not ignored there. `nearest` is the first one above that exists."""
    try:
        git.run(nearest, "rev-parse", "--show-toplevel")
    except git.GitError as failure:
        return not any(said in failure.stderr for said in ("not a git repository", "must be run in a work tree"))
    try:
        git.run(nearest, "check-ignore", "--quiet", f"{folder}{os.sep}")
    except git.GitError:
        return True
    return False
