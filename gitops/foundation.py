"""How a laptop's own GitOps repository comes to be: bare, with one commit that holds the checkout's environments."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from bakehouse.errors import ConfigurationError, ReleaseError
from gitops import git, signing
from gitops.environment import SETTINGS
from gitops.repository import ENVIRONMENTS


def found(place: Path, branch: str, checkout: Path) -> None:
    """Make the bare repository at `place`, whole or not at all; another process that does the same at once is no harm.

    Its content is `environments/` as the checkout's HEAD has it, or as the files are where they are not in git; and
    this machine's public key, so that each environment believes the releases that are signed here.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=place.parent))
    try:
        git.run(building, "init", "--quiet", "--bare", "--template=", ".")
        # The user's own hooks, where he set a path for all repositories, would run in this one too.
        git.run(building, "config", "core.hooksPath", "hooks")
        git.run(building, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
        _commit(building, branch, _tree(building, checkout))
        try:
            building.rename(place)
        except OSError:
            if not (place / "HEAD").exists():
                raise
    except git.GitError as failure:
        raise ReleaseError(f"The GitOps repository {place} can't be made: {failure.stderr.strip()}") from failure
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _tree(building: Path, checkout: Path) -> str:
    """The tree that holds nothing but `environments/`."""
    with tempfile.TemporaryDirectory(prefix="bakehouse-") as folder:
        source = Path(folder) / "source"
        source.mkdir()
        if not _export_committed(checkout, source):
            if not (checkout / ENVIRONMENTS).is_dir():
                raise ConfigurationError(f"{checkout} has no folder {ENVIRONMENTS}.", "Run this in a checkout.")
            shutil.copytree(checkout / ENVIRONMENTS, source / ENVIRONMENTS)
        _believe_this_machine(source)
        extra = {"GIT_INDEX_FILE": str(Path(folder) / "index"), "GIT_WORK_TREE": str(source), "GIT_DIR": str(building)}
        git.run(source, "add", "--all", "--force", ".", extra=extra)
        return git.run(building, "write-tree", extra=extra).decode().strip()


def _believe_this_machine(source: Path) -> None:
    public = signing.public_key()
    for settings in sorted((source / ENVIRONMENTS).glob(f"*/{SETTINGS}")):
        if public is not None:
            signer = source / signing.folder(settings.parent.name) / signing.OWN_SIGNER
            signer.parent.mkdir(exist_ok=True)
            signer.write_text(public, encoding="utf-8")


def _export_committed(checkout: Path, destination: Path) -> bool:
    """Write `environments/` of the checkout's HEAD; False where HEAD has none."""
    try:
        listing = git.run(checkout, "ls-tree", "-r", "-z", "HEAD", f"{ENVIRONMENTS}/")
    except git.GitError:
        return False
    rows = [row.split("\t", 1) for row in listing.decode().split("\0") if row]
    for meta, path in rows:
        target = destination / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(git.run(checkout, "cat-file", "blob", meta.split()[2]))
    return bool(rows)


def _commit(building: Path, branch: str, tree: str) -> None:
    names = {
        f"GIT_{role}_{part}": os.environ.get(f"GIT_{role}_{part}", value)
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "Bakehouse"), ("EMAIL", "bakehouse@localhost"))
    }
    message = b"Start from the environments of the checkout\n"
    commit = git.run(building, "commit-tree", tree, stdin=message, extra=names).decode().strip()
    git.run(building, "update-ref", f"refs/heads/{branch}", commit)
