"""A clone that somebody else made (a workflow's checkout), read as it stands: nothing is fetched, no ref is moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bakehouse.errors import ReleaseError
from gitops import git
from gitops.repository import GitopsRepository, Snapshot

NORMAL = "100644"
_GONE = "000000"
_CONFLICT = 1
"""What `git merge-tree` ends with where it merged, but not without contradictions."""


@dataclass(frozen=True)
class Changed:
    """One path that differs between two trees; `mode` is git's for what is there now, or None where nothing is."""

    path: str
    mode: str | None


class Clone(GitopsRepository):
    """The clone at `folder`, with `base` (anything git understands) as the head of what is delivered.

    Raises `ReleaseError` where there is none, where it has no such revision, and where its history is cut off.
    """

    def __init__(self, folder: Path, base: str) -> None:
        super().__init__(str(folder), base, folder)
        try:
            shallow = git.run(folder, "rev-parse", "--is-shallow-repository").decode().strip()
        except git.GitError as failure:
            raise ReleaseError(f"{folder} is no git repository.", "Name a clone of it.") from failure
        if shallow == "true":
            raise ReleaseError(
                f"The history of {folder} is cut off.",
                "`git fetch --unshallow` gets it; a workflow sets fetch-depth: 0.",
            )
        self._head = self.revision(base)

    def fetch(self) -> str:
        """The head, as it is."""
        return self.head()

    def revision(self, name: str) -> str:
        """The full name of a revision. Raises `ReleaseError` where the clone has none of that name."""
        try:
            found = git.run(self.cache, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except git.GitError as failure:
            raise ReleaseError(f"{self.cache} has no revision {name}.", "Fetch it first.") from failure
        return found.decode().split()[-1]

    def merged(self, head: str) -> Snapshot:
        """What the base would be with `head` merged into it. Raises `ReleaseError` where they contradict each other,
        and where git can't merge at all."""
        base, commit = self.head(), self.revision(head)
        if self.contains(base, commit):
            return Snapshot(self, commit)
        try:
            merged = git.run(self.cache, "merge-tree", "--write-tree", base, commit)
        except git.GitError as failure:
            if failure.code != _CONFLICT:
                raise ReleaseError(
                    f"git could not merge {head} into {self.branch}: {failure.message}",
                    "`bakehouse release check` needs git 2.38 or newer.",
                ) from failure
            raise ReleaseError(
                f"{head} can't be merged into {self.branch}: what it changes was changed there as well.",
                "Close the pull request, delete its branch, and promote again.",
            ) from failure
        return Snapshot(self, merged.decode().split()[0])

    def changed(self, to: Snapshot) -> Iterator[Changed]:
        """Every path that differs between the base and a snapshot."""
        rows = git.run(self.cache, "diff-tree", "-r", "-z", "--no-renames", self.head(), to.revision)
        fields = rows.decode(errors="surrogateescape").split("\0")
        for meta, path in zip(fields[::2], fields[1::2], strict=False):
            mode = meta.split()[1]
            yield Changed(path, None if mode == _GONE else mode)

    def _start_over(self) -> None:
        raise ReleaseError(f"{self.cache} is damaged: objects are missing.", "`git fsck` says which; clone it anew.")
