"""Where things are: the checkout, its one state folder, and the addresses that a team sets by environment variables."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bakehouse.errors import ConfigurationError


def root() -> Path:
    """The checkout: `BAKEHOUSE_ROOT`, else the nearest folder at or above the current one that holds `bentos` and
    `environments`, else the folder that this package stands in."""
    named = os.environ.get("BAKEHOUSE_ROOT")
    if named:
        path = Path(named).resolve()
        if not (path / "bentos").is_dir():
            raise ConfigurationError(
                f"BAKEHOUSE_ROOT is {path}, which has no folder bentos.", "Point it at a checkout, or unset it."
            )
        return path
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "bentos").is_dir() and (folder / "environments").is_dir():
            return folder
    return Path(__file__).resolve().parents[1]


def state() -> Path:
    """The one folder that is written to (`BAKEHOUSE_STATE`, else `.bakehouse` in the checkout), made on first use."""
    path = Path(os.environ.get("BAKEHOUSE_STATE") or root() / ".bakehouse").resolve()
    path.mkdir(parents=True, exist_ok=True)
    return path


def generated_key(name: str, generate: Callable[[], bytes]) -> Path:
    """The file `name` of the state folder, which only its owner can read: written on first use, and never again."""
    path = state() / name
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(generate())
        try:
            # A link fails where the file exists: of two first runs at once, one key wins and both use it.
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path


def gitops_url() -> str:
    """The git repository that holds the environments (`BAKEHOUSE_GITOPS_URL`, else a bare one in the state folder)."""
    return os.environ.get("BAKEHOUSE_GITOPS_URL") or str(state() / "gitops.git")


def gitops_branch() -> str:
    """The branch that is delivered (`BAKEHOUSE_GITOPS_BRANCH`, else main)."""
    return os.environ.get("BAKEHOUSE_GITOPS_BRANCH") or "main"


def tracking_uri() -> str:
    """The MLflow server (`MLFLOW_TRACKING_URI`, else SQLite in the state folder)."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state() / 'mlflow' / 'mlflow.db'}"


def images() -> Path:
    """The laptop's image store: bento archives named by their digest (`<64 hex digits>.bento`)."""
    path = state() / "images"
    path.mkdir(parents=True, exist_ok=True)
    return path


def image_registry() -> str | None:
    """The registry that images are pushed to (`BAKEHOUSE_IMAGE_REGISTRY`, a host or a host and a path), else None: then
    a bento's archive in the image store is its image."""
    return os.environ.get("BAKEHOUSE_IMAGE_REGISTRY", "").rstrip("/") or None


def reports() -> Path:
    """Reports named by their digest (`<64 hex digits>.<suffix>`), so that evidence is readable without a database."""
    path = state() / "reports"
    path.mkdir(parents=True, exist_ok=True)
    return path


def scratch(purpose: str) -> Path:
    """A new empty folder for what a step hands to the artifact store. Folders older than a day are removed here,
    because a step can't: ZenML copies its files only after it has returned."""
    parent = state() / "scratch"
    parent.mkdir(exist_ok=True)
    for folder in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another run removed it first
            if folder.stat().st_mtime < time.time() - 86_400:
                shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=parent))
