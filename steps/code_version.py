"""Which code is running: the commit of the checkout, and the digest of what was changed since. Only reads."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from bakehouse.errors import ConfigurationError
from gitops import git
from gitops.release import Code

UNVERSIONED = "unversioned"


def code_version(checkout: Path) -> Code:
    """The commit, and whether uncommitted changes (of tracked files, or new ones that git does not ignore) take part.

    A checkout that is no git repository, or has no commit yet, is `unversioned`, and dirty: nothing says what ran.
    """
    head = _git(checkout, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head is None:
        return Code(commit=UNVERSIONED, dirty=True)
    changes = _git(checkout, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--", ".")
    new = _git(checkout, "ls-files", "--others", "--exclude-standard", "-z")
    if changes is None or new is None:
        raise ConfigurationError(f"git can't compare {checkout} with its last commit.", "Try `git status` there.")
    commit = head.decode().strip()
    names = sorted(filter(None, new.split(b"\0")))
    if not changes and not names:
        return Code(commit=commit, dirty=False)
    digest = hashlib.sha256(changes)
    for name in names:
        file = checkout / name.decode(errors="surrogateescape")
        content = file.read_bytes() if file.is_file() else b""
        digest.update(name + b"\0" + hashlib.sha256(content).digest())
    return Code(commit=commit, dirty=True, diff=f"sha256:{digest.hexdigest()}")


def _git(checkout: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it refuses, or is not there."""
    try:
        done = subprocess.run(git.command(checkout, arguments), check=False, capture_output=True, env=git.environment())
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
