"""What was released, when and by whom, as the trees along the branch's first-parent history tell it.

A plain `git revert` or a commit made by hand counts like one of ours: trailers are not read here. Only reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from bakehouse.errors import ReleaseError
from gitops.commits import Blob, Commit, Touch
from gitops.environment import Place, require_environment
from gitops.release import Release
from gitops.repository import GitopsRepository, Snapshot

Kind = Literal["released", "rolled back", "removed"]


@dataclass(frozen=True)
class Entry:
    """One change of what a model's release is in an environment. `text` is the document, None where it was removed."""

    place: Place
    commit: Commit
    kind: Kind
    blob: Blob | None
    text: str | None

    @cached_property
    def release(self) -> Release | None:
        """The document, or None where it was removed. Raises `ReleaseError` where it is not a release document."""
        if self.text is None:
            return None
        where = f"{self.place.document} at {self.commit.short}"
        release = Release.from_json(self.text, where)
        if release.model != self.place.model:
            raise ReleaseError(f"{where} is a release of {release.model}.", "Restore it from git.")
        return release

    @cached_property
    def model_version(self) -> int | None:
        """The model version, read loosely: None where the release was removed or its document says none."""
        return _version(self.text)


@dataclass(frozen=True)
class Timeline:
    """A model's whole history in one environment, newest first, and what follows from it.

    It is read as a stack. A document that is new to the stack lies on top of what was there; one that is in it already
    takes off, and so rolls back, all that came after it.
    """

    repository: GitopsRepository
    place: Place
    revision: str
    touches: tuple[Touch, ...]

    def entries(self, limit: int | None = None) -> list[Entry]:
        """The newest changes first, at most `limit` of them."""
        chosen = self.touches[:limit]
        return self._entries([len(self.touches) - 1 - index for index in range(len(chosen))])

    @property
    def current(self) -> Entry | None:
        """The change that made what is released now; None where nothing is."""
        if not self.touches or self.touches[0].blob is None:
            return None
        return self._entries([len(self.touches) - 1])[0]

    @property
    def before(self) -> Entry | None:
        """The release that a rollback goes back to: the one before the current one, past all that was rolled back."""
        stack = self._read.stack
        if not self.touches or self.touches[0].blob is None:
            return self._entries([stack[-1]])[0] if stack else None
        return self._entries([stack[-2]])[0] if len(stack) > 1 else None

    @property
    def rolled_back(self) -> list[Entry]:
        """The releases that were taken off and have not come back since."""
        return self._entries(self._read.rolled_back)

    @property
    def barred(self) -> Entry | None:
        """The newest model version that was rolled back and has not come back: nothing up to it is let in unasked."""
        known = [entry for entry in self.rolled_back if entry.model_version is not None]
        return max(known, key=lambda entry: entry.model_version or 0, default=None)

    def at(self, moment: datetime) -> Entry | None:
        """What was released at a moment; None where nothing was yet, or nothing any more."""
        for index, touch in enumerate(self.touches):
            if touch.commit.time <= moment:
                return None if touch.blob is None else self._entries([len(self.touches) - 1 - index])[0]
        return None

    def find(self, wanted: str) -> Entry:
        """The release of a model version (the newest document of it), or the one that a revision had.

        Raises `ReleaseError` where this environment never had it.
        """
        if wanted.isdigit():
            for entry in self.entries():
                if entry.text is not None and entry.model_version == int(wanted):
                    return entry
            if len(wanted) < 7:
                raise ReleaseError(
                    f"Model version {wanted} of {self.place} was never released there.",
                    f"`bakehouse history {self.place.model} --env {self.place.environment}` lists what was.",
                )
        blob = self.repository.at(wanted).files.get(self.place.document)
        for index, touch in enumerate(self.touches):
            if blob is not None and touch.blob == blob:
                return self._entries([len(self.touches) - 1 - index])[0]
        raise ReleaseError(
            f"Revision {wanted} has no release of {self.place} that was ever delivered.",
            f"`bakehouse history {self.place.model} --env {self.place.environment}` lists what was.",
        )

    def kind_with(self, document: Blob) -> Kind:
        """What a change would be that put this document there next."""
        return _read_as_stack([*(touch.blob for touch in reversed(self.touches)), document]).kinds[-1]

    def last_revision(self, entry: Entry) -> str:
        """The newest revision that has this entry's document."""
        newest = next(index for index, touch in enumerate(self.touches) if touch.blob == entry.blob)
        return self.repository.resolve(f"{self.touches[newest - 1].commit.sha}^") if newest else self.revision

    @cached_property
    def _read(self) -> _Reading:
        return _read_as_stack([touch.blob for touch in reversed(self.touches)])

    def _entries(self, numbers: Sequence[int]) -> list[Entry]:
        """Entries by their number, counted from the oldest; their documents are read by one process."""
        chosen = [self.touches[len(self.touches) - 1 - number] for number in numbers]
        blobs = list(dict.fromkeys(touch.blob for touch in chosen if touch.blob is not None))
        texts = dict(zip(blobs, self.repository.texts(blobs, [self.place.document] * len(blobs)), strict=True))
        return [
            Entry(
                place=self.place,
                commit=touch.commit,
                kind=self._read.kinds[number],
                blob=touch.blob,
                text=texts[touch.blob] if touch.blob is not None else None,
            )
            for number, touch in zip(numbers, chosen, strict=True)
        ]


def timeline(repository: GitopsRepository, place: Place, revision: str | None = None) -> Timeline:
    """A model's history in an environment, up to a revision (default: the head)."""
    end = repository.head() if revision is None else repository.resolve(revision)
    return Timeline(repository, place, end, tuple(repository.log(place.document, revision=end)))


def champion(repository: GitopsRepository, environment: str, model: str) -> Release | None:
    """The release that an environment has now, which names the champion; None where it has none.

    Raises `ReleaseError` where there is no such environment or its document is no release.
    """
    snapshot = repository.at()
    require_environment(snapshot, environment)
    return released(snapshot, Place(environment, model))


def releases(repository: GitopsRepository, environment: str, model: str) -> list[Entry]:
    """Every change of a model's release in an environment, newest first."""
    require_environment(repository.at(), environment)
    return timeline(repository, Place(environment, model)).entries()


def released(snapshot: Snapshot, place: Place) -> Release | None:
    """What one revision has released. Raises `ReleaseError` naming the file where it is no release of that model."""
    text = snapshot.text(place.document)
    if text is None:
        return None
    release = Release.from_json(text, place.document)
    if release.model != place.model:
        raise ReleaseError(f"{place.document} is a release of {release.model}.", "Restore it from git.")
    return release


@dataclass(frozen=True)
class _Reading:
    kinds: list[Kind]
    stack: list[int]
    rolled_back: list[int]


def _read_as_stack(documents: Sequence[Blob | None]) -> _Reading:
    """What each change was (oldest first), what lies on the stack at the end, and what was taken off for good.

    Changes are named by their number. A removal takes the top off, unless the next change brings it back.
    """
    kinds: list[Kind] = []
    stack: list[int] = []
    lying: list[Blob] = []  # the stack's documents, beside their numbers
    depths: dict[Blob, int] = {}
    taken_off: dict[Blob, int] = {}

    def take_off(down_to: int) -> None:
        while len(stack) > down_to:
            number = stack.pop()
            document = lying.pop()
            del depths[document]
            taken_off[document] = number

    for number, document in enumerate(documents):
        if document is None:
            kinds.append("removed")
            continue
        was_removed = bool(kinds) and kinds[-1] == "removed"
        depth = depths.get(document)
        kinds.append("released" if depth is None or depth == len(stack) - 1 else "rolled back")
        if depth is not None:
            take_off(depth + 1)
            continue
        if was_removed:
            take_off(len(stack) - 1)
        taken_off.pop(document, None)
        depths[document] = len(stack)
        stack.append(number)
        lying.append(document)
    if stack and kinds[-1] == "removed":
        taken_off[lying[-1]] = stack[-1]
    return _Reading(kinds, stack, sorted(taken_off.values()))


def _version(text: str | None) -> int | None:
    try:
        said = json.loads(text or "null")["model_version"]
    except (ValueError, TypeError, KeyError):
        return None
    return said if isinstance(said, int) else None
