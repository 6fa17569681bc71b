"""Which commits of the code lie between two releases, where this machine has the code's history. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gitops import git
from gitops.repository import ENVIRONMENTS

SHOWN = 20


@dataclass(frozen=True)
class Between:
    """The newest commits that the new code has and the old has not, how many there are, and how many it lacks."""

    commits: tuple[tuple[str, str], ...]
    count: int
    lacking: int


def between(checkout: Path, old: str, new: str) -> Between | None:
    """The commits (name, subject) from `old` to `new`, newest first, at most `SHOWN`; those that touch nothing but
    releases are left out. None where the repository at `checkout` does not know both."""
    code = ("--", f":(top,exclude){ENVIRONMENTS}")
    try:
        there = git.run(checkout, "log", "-z", f"--max-count={SHOWN}", "--format=%H %s", f"{old}..{new}", *code)
        count = git.run(checkout, "rev-list", "--count", f"{old}..{new}", *code)
        lacking = git.run(checkout, "rev-list", "--count", f"{new}..{old}", *code)
    except git.GitError:
        return None
    rows = (row.partition(" ") for row in there.decode(errors="replace").split("\0") if row)
    return Between(tuple((name, subject) for name, _, subject in rows), int(count), int(lacking))
