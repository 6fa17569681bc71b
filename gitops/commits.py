"""What a commit is: as history tells it, and one to be made. Values only; `repository` reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

LOG_FORMAT = "%x1e%H%x1f%P%x1f%cI%x1f%an <%ae>%x1f%s%x1f%(trailers:only,unfold,separator=%x1d)"


@dataclass(frozen=True)
class Commit:
    """One commit as history tells it; `time` is when it was committed, which for a merge is when it landed."""

    sha: str
    parents: tuple[str, ...]
    time: datetime
    author: str
    subject: str
    trailers: Mapping[str, str]

    @property
    def short(self) -> str:
        """The first ten digits, enough for a person."""
        return self.sha[:10]


@dataclass(frozen=True)
class Blob:
    """A file's content by git's own name for it: copying one copies it byte for byte."""

    oid: str


@dataclass(frozen=True)
class Change:
    """One commit to be made: files to write (content, or a blob that is there already) or to remove (None)."""

    subject: str
    files: Mapping[str, bytes | Blob | None]
    trailers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    def message(self) -> str:
        """Subject, body and trailers, as git wants them."""
        parts = [self.subject, self.body.strip(), "\n".join(f"{key}: {value}" for key, value in self.trailers.items())]
        return "\n\n".join(part for part in parts if part) + "\n"


@dataclass(frozen=True)
class Touch:
    """What one commit did to one path, against its first parent: the blob it left, or None where it removed it."""

    commit: Commit
    path: str
    blob: Blob | None


def parse_commit(line: str) -> Commit:
    """Read one commit as `git log` prints it in `LOG_FORMAT`."""
    sha, parents, moment, author, subject, trailers = line.strip("\x1e\n").split("\x1f")
    pairs = (trailer.split(": ", 1) for trailer in trailers.split("\x1d") if ": " in trailer)
    return Commit(
        sha=sha,
        parents=tuple(parents.split()),
        time=datetime.fromisoformat(moment),
        author=author,
        subject=subject,
        trailers={key: value.strip() for key, value in pairs},
    )
