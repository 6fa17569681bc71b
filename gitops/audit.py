"""Whether the whole history is whole: every release folder that any commit of the branch left behind, what the commit
says of it, and whether the history itself was rewritten since it was last found good.

Names every break: the commit, and what is wrong. What stands at the head now, `verification` asks in more detail.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bakehouse.errors import ConfigurationError, ReleaseError
from bakehouse.signatures import SIGNATURE_FILE
from gitops import signing
from gitops.commits import Blob, Commit, Touch
from gitops.environment import Place, parse_place
from gitops.integrity import Fault, distrust, faults
from gitops.release import RELEASE_FILE, Release, sha256
from gitops.repository import ENVIRONMENTS, GitopsRepository

_WINDOW = 500
"""So many commits' files are read from git at once: few processes, and little in memory."""

Folder = tuple[tuple[str, Blob], ...]
"""What a folder holds, by file name, in order."""


@dataclass(frozen=True)
class Break:
    """One commit that left something behind that is not whole."""

    place: Place
    commit: Commit
    said: str

    def __str__(self) -> str:
        return f"commit {self.commit.short} ({self.commit.time:%Y-%m-%d %H:%M}, {self.commit.author}): {self.said}"


@dataclass(frozen=True)
class Audit:
    """What was found: every break, the oldest first, and how many commits each place's release was changed by."""

    commits: int
    changes: dict[Place, int]
    breaks: tuple[Break, ...]


def audit(repository: GitopsRepository, chosen: Callable[[Place], bool] = lambda _: True) -> Audit:
    """Check every commit of the first-parent history that changed a release of the chosen places.

    Raises `ReleaseError` where the branch no longer holds a commit that an earlier audit ended with.
    """
    head = repository.head()
    _refuse_rewritten(repository, head)
    return _Audit(repository, chosen).run(head)


def remember(repository: GitopsRepository) -> None:
    """Note that the history up to the head is whole, so that a later audit sees where it was rewritten."""
    _memory(repository).write_text(repository.head() + "\n", encoding="utf-8")


def _refuse_rewritten(repository: GitopsRepository, head: str) -> None:
    memory = _memory(repository)
    known = memory.read_text(encoding="utf-8").strip() if memory.is_file() else ""
    if known and not repository.contains(known, head):
        raise ReleaseError(
            f"The history of {repository.branch} was rewritten: it no longer holds commit {known[:10]}, which was found"
            " whole here before.",
            f"Find out who pushed over it. To take the new history as it is, delete {memory}.",
        )


def _memory(repository: GitopsRepository) -> Path:
    return repository.cache.with_suffix(".whole")


@dataclass(frozen=True)
class _Verdict:
    """What is known of one folder's content, whichever commit left it behind."""

    faults: tuple[Fault, ...]
    model_version: int = 0
    document: str = ""
    trailers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Audit:
    """One walk through the history, oldest commit first. Each content is looked at once."""

    repository: GitopsRepository
    chosen: Callable[[Place], bool]
    folders: dict[Place, dict[str, Blob]] = field(default_factory=dict)
    signers: dict[str, dict[str, Blob]] = field(default_factory=dict)
    held: dict[Place, set[Folder]] = field(default_factory=dict)
    documents: dict[tuple[str, int], tuple[str, Commit]] = field(default_factory=dict)
    verdicts: dict[Folder, _Verdict] = field(default_factory=dict)
    trust: dict[tuple[str, Blob | None, Folder], tuple[Fault, ...]] = field(default_factory=dict)
    texts: dict[Blob, str] = field(default_factory=dict)
    changes: dict[Place, int] = field(default_factory=dict)

    def run(self, head: str) -> Audit:
        touches = [*self.repository.log(revision=head)][::-1]
        history = [list(group) for _, group in itertools.groupby(touches, lambda touch: touch.commit.sha)]
        breaks: list[Break] = []
        for start in range(0, len(history), _WINDOW):
            window = history[start : start + _WINDOW]
            self._read([touch for group in window for touch in group])
            for group in window:
                breaks += self._commit(group[0].commit, group)
        return Audit(len(history), self.changes, tuple(breaks))

    def _read(self, touches: Sequence[Touch]) -> None:
        """Get the texts that a stretch of history needs, by one process."""
        wanted = {touch.blob for touch in touches if touch.blob is not None and _is_ours(touch.path)}
        blobs = sorted(wanted, key=lambda blob: blob.oid)
        self.texts = dict(zip(blobs, self.repository.texts(blobs), strict=True))

    def _commit(self, commit: Commit, touches: Sequence[Touch]) -> Iterator[Break]:
        changed = self._apply(touches)
        for place in changed:
            self.changes[place] = self.changes.get(place, 0) + 1
            yield from (Break(place, commit, said) for said in self._folder(place, commit))
        claimed = _claimed(commit)
        if claimed is not None and self.chosen(claimed):
            yield from (Break(claimed, commit, said) for said in self._claims(claimed, commit, touches))
        for place in changed:
            self.held.setdefault(place, set()).add(_contents(self.folders[place]))

    def _apply(self, touches: Sequence[Touch]) -> list[Place]:
        """Bring the folders to what the commit left, and name the places whose release it changed."""
        changed: dict[Place, None] = {}
        for touch in touches:
            place, name = parse_place(touch.path)
            environment = _signers_of(touch.path)
            if environment is not None:
                _put(self.signers.setdefault(environment, {}), touch.path, touch.blob)
            elif place is not None and name.startswith("release/") and self.chosen(place):
                _put(self.folders.setdefault(place, {}), name.removeprefix("release/"), touch.blob)
                changed[place] = None
        return list(changed)

    def _folder(self, place: Place, commit: Commit) -> Iterator[str]:
        """What is wrong with what a commit left in a release folder."""
        if not self.folders[place]:
            return
        verdict = self._verdict(place)
        found = verdict.faults or self._distrust(place)
        if found:
            yield f"{place.release}: {'; '.join(f'{fault.part}: {fault.said}' for fault in found)}"
        if verdict.faults:
            return
        named = (place.model, verdict.model_version)
        digest, first = self.documents.setdefault(named, (verdict.document, commit))
        if digest != verdict.document:
            yield (
                f"{place.document}: model version {named[1]} had another document before"
                f" (commit {first.short}); a version is never bound anew, nor its evidence"
            )

    def _verdict(self, place: Place) -> _Verdict:
        """The verdict on what the place's folder holds now."""
        folder = _contents(self.folders[place])
        if folder not in self.verdicts:
            self.verdicts[folder] = self._judge(place, self._texts(dict(folder)))
        return self.verdicts[folder]

    def _judge(self, place: Place, files: dict[str, str]) -> _Verdict:
        if RELEASE_FILE not in files:
            return _Verdict((Fault("document", f"{RELEASE_FILE} is missing"),))
        try:
            release = Release.from_json(files[RELEASE_FILE])
        except ReleaseError as error:
            return _Verdict((Fault("document", error.message.rstrip(".")),))
        found = list(faults(release, files))
        if release.model != place.model:
            found.append(Fault("document", f"it is a release of {release.model}"))
        return _Verdict(tuple(found), release.model_version, sha256(files[RELEASE_FILE].encode()), release.trailers())

    def _distrust(self, place: Place) -> tuple[Fault, ...]:
        """Whether nobody signed it whom the environment believed when the commit was made."""
        folder, signers = self.folders[place], self.signers.get(place.environment, {})
        key = (place.environment, folder.get(SIGNATURE_FILE), _contents(signers))
        if key not in self.trust:
            files = self._texts(folder)
            try:
                believed = signing.read_signers(place.environment, self._texts(signers))
                self.trust[key] = tuple(distrust(Release.from_json(files[RELEASE_FILE]), files, believed))
            except ConfigurationError as error:
                self.trust[key] = (Fault("signers", error.message),)
        return self.trust[key]

    def _texts(self, files: dict[str, Blob]) -> dict[str, str]:
        missing = [blob for blob in files.values() if blob not in self.texts]
        self.texts |= dict(zip(missing, self.repository.texts(missing), strict=True))
        return {name: self.texts[blob] for name, blob in files.items()}

    def _claims(self, place: Place, commit: Commit, touches: Sequence[Touch]) -> Iterator[str]:
        """Where a commit that says by its trailers what it releases did something else."""
        for touch in touches:
            if not (touch.path.startswith(f"{place.release}/") or touch.path in (place.kustomization, place.hold)):
                yield f"{touch.path}: it was changed by a commit that releases {place}"
        folder = self.folders.get(place, {})
        verdict = self._verdict(place) if folder else None
        for name, value in (verdict.trailers if verdict is not None else {}).items():
            if commit.trailers.get(name, value) != value:
                yield f"{place.document}: it says {name} {value}, but the commit's trailer {commit.trailers[name]}"
        if verdict is None:
            yield f"{place.document}: the commit says that it releases model version {commit.trailers[_CLAIM]}"
            return
        source = commit.trailers.get("Promoted-From")
        if source is not None and not self._had(Place(source, place.model), folder):
            yield f"{place.release}: it was promoted from {source}, which never had that release"
        if "Rolled-Back-From" in commit.trailers and not self._had(place, folder):
            yield f"{place.release}: it was rolled back to what {place.environment} never had"
        if "Adopted-From" in commit.trailers and not self._had(place, folder):
            yield f"{place.release}: it was adopted from what {place.environment} never had"

    def _had(self, place: Place, folder: dict[str, Blob]) -> bool:
        return not self.chosen(place) or _contents(folder) in self.held.get(place, ())


_CLAIM = "Model-Version"


def _claimed(commit: Commit) -> Place | None:
    """The place that a commit's trailers say it releases into."""
    said = commit.trailers
    if not {"Model", "Environment", _CLAIM} <= set(said):
        return None
    try:
        return Place(said["Environment"], said["Model"])
    except ReleaseError:
        return None


def _is_ours(path: str) -> bool:
    place, name = parse_place(path)
    return _signers_of(path) is not None or (place is not None and name.startswith("release/"))


def _signers_of(path: str) -> str | None:
    """The environment of which this path names a signer."""
    parts = path.split("/")
    is_signer = len(parts) == 5 and parts[0] == ENVIRONMENTS and path.startswith(f"{signing.folder(parts[1])}/")
    return parts[1] if is_signer else None


def _put(folder: dict[str, Blob], name: str, blob: Blob | None) -> None:
    if blob is None:
        folder.pop(name, None)
    else:
        folder[name] = blob


def _contents(folder: dict[str, Blob]) -> Folder:
    return tuple(sorted(folder.items(), key=lambda item: item[0]))
