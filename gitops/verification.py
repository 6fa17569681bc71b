"""Whether what git names is whole: everything of a release that can be computed again is, and compared. Only reads.

An image or a report that is not on this machine can't be computed again; that is said, and is no fault.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakehouse.archives import digest
from bakehouse.errors import ReleaseError
from gitops import stores
from gitops.environment import Place, kustomization, places, release_folder, require_environment
from gitops.history import released
from gitops.holds import held
from gitops.release import PIN_FILE, RELEASE_FILE, Release, sha256
from gitops.repository import GitopsRepository, Snapshot

Verdict = Literal["good", "broken", "not here"]
_GRAPH = "model.onnx"


@dataclass(frozen=True)
class Check:
    """One thing that was compared; `said` tells what is wrong, or where it would be."""

    place: Place
    name: str
    verdict: Verdict
    said: str = ""


def verify(repository: GitopsRepository, model: str | None = None, environment: str | None = None) -> list[Check]:
    """Every check of every release at the head, or of one model's or one environment's.

    Raises `ReleaseError` where there is none to check.
    """
    snapshot = repository.at(repository.fetch())
    if environment is not None:
        require_environment(snapshot, environment)
    chosen = [
        place for place in places(snapshot) if model in (None, place.model) and environment in (None, place.environment)
    ]
    if not chosen and (model or environment):
        raise ReleaseError(
            f"There is no release{f' of {model}' if model else ''}{f' in {environment}' if environment else ''}.",
            "`bakehouse status` shows what is where.",
        )
    return [check for place in chosen for check in _checks(snapshot, place)]


def _checks(snapshot: Snapshot, place: Place) -> Iterator[Check]:
    try:
        held(snapshot, place)
    except ReleaseError as error:
        yield Check(place, "hold", "broken", error.message)
    try:
        release = released(snapshot, place)
    except ReleaseError as error:
        yield Check(place, "document", "broken", error.message)
        return
    if release is None:
        return
    yield from _folder(snapshot, place, release)
    image = stores.image(release.image.digest)
    yield _file(place, "image", image, release.image.digest)
    yield _graph(place, image, release)
    for name, wanted in release.evidence.reports.items():
        yield _file(place, f"report {name}", stores.report(wanted), wanted)
    if release.evidence.sbom is not None:
        yield _file(place, "SBOM", stores.report(release.evidence.sbom), release.evidence.sbom)


def _folder(snapshot: Snapshot, place: Place, release: Release) -> Iterator[Check]:
    """The release folder holds what the document says and nothing else, and the model's folder puts it together."""
    wanted = release.files()
    for name, label in ((RELEASE_FILE, "document"), (PIN_FILE, "pin")):
        same = snapshot.text(f"{place.release}/{name}") == wanted[name]
        said = "" if same else f"{place.release}/{name} is not as Bakehouse writes it from the document"
        yield Check(place, label, "good" if same else "broken", said)
    for name in sorted(set(release_folder(snapshot, place)) - set(wanted)):
        yield Check(place, "folder", "broken", f"{place.release}/{name} does not belong there")
    same = snapshot.text(place.kustomization) == kustomization(place.model)
    said = "" if same else f"{place.kustomization} is not the one that every environment has"
    yield Check(place, "kustomization", "good" if same else "broken", said)


def _file(place: Place, name: str, path: Path, wanted: str) -> Check:
    if not path.is_file():
        return Check(place, name, "not here", wanted)
    found = digest(path)
    return Check(place, name, "good") if found == wanted else Check(place, name, "broken", f"{path} is {found}")


def _graph(place: Place, image: Path, release: Release) -> Check:
    """The ONNX file within the image."""
    if not image.is_file():
        return Check(place, "model", "not here", release.model_digest)
    try:
        with tarfile.open(image, mode="r:gz") as archive:
            members = (entry for entry in archive if entry.isfile() and Path(entry.name).name == _GRAPH)
            found = [_digest_of(archive, entry) for entry in members]
    except (tarfile.TarError, EOFError, OSError) as error:
        return Check(place, "model", "broken", f"{image} can't be read: {error}")
    if release.model_digest in found:
        return Check(place, "model", "good")
    return Check(place, "model", "broken", f"{image} holds {', '.join(found) or f'no {_GRAPH}'}")


def _digest_of(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    content = archive.extractfile(entry)
    if content is None:
        return "nothing"
    with content:
        return sha256(content.read())
