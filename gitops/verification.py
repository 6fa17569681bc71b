"""Whether what git names is whole: everything of a release that can be computed again is, and compared. Only reads.

An image or a report that is not on this machine can't be computed again; that is said, and is no fault.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakehouse.archives import digest
from bakehouse.errors import ConfigurationError, ReleaseError
from bakehouse.signatures import SIGNATURE_FILE, Signature
from gitops import evidence_store, stores
from gitops.audit import audit, remember
from gitops.environment import Place, kustomization, places, release_texts, require_environment
from gitops.history import released
from gitops.holds import describe, held
from gitops.integrity import BILL, GRAPH, distrust, faults
from gitops.release import Release, sha256
from gitops.repository import GitopsRepository, Snapshot
from gitops.signing import signers

Verdict = Literal["good", "broken", "not here"]
_SOURCE = "src/"
"""Where a bento keeps what was signed."""


@dataclass(frozen=True)
class Check:
    """One thing that was compared; `said` tells what is wrong, or where it would be."""

    place: Place
    name: str
    verdict: Verdict
    said: str = ""


def verify(
    repository: GitopsRepository, model: str | None = None, environment: str | None = None, *, history: bool = True
) -> list[Check]:
    """Every check of every release at the head, or of one model's or one environment's; and with `history` of every
    release that they ever had.

    Raises `ReleaseError` where there is none to check, and where the history was rewritten since it was last whole.
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
    checks = [check for place in chosen for check in _checks(snapshot, place)]
    return [*checks, *_history(repository, model, environment)] if history else checks


def _history(repository: GitopsRepository, model: str | None, environment: str | None) -> list[Check]:
    found = audit(repository, lambda place: model in (None, place.model) and environment in (None, place.environment))
    if not found.breaks and model is None and environment is None:
        remember(repository)
    broken = {it.place for it in found.breaks}
    checks = [Check(it.place, "history", "broken", str(it)) for it in found.breaks]
    checks += [
        Check(place, "history", "good", f"{count} commit{'s' if count != 1 else ''}")
        for place, count in sorted(found.changes.items(), key=lambda item: item[0].folder)
        if place not in broken
    ]
    return checks


def _checks(snapshot: Snapshot, place: Place) -> Iterator[Check]:
    try:
        if (hold := held(snapshot, place)) is not None:
            yield Check(place, "hold", "good", describe(hold))
    except ReleaseError as error:
        yield Check(place, "hold", "broken", error.message)
    try:
        release = released(snapshot, place)
    except ReleaseError as error:
        yield Check(place, "document", "broken", error.message)
        return
    if release is None:
        return
    texts = release_texts(snapshot, place)
    yield from _folder(snapshot, place, release, texts)
    image = stores.image(release.image.digest)
    yield _file(place, "image", image, release.image.digest)
    bundle = texts.get(SIGNATURE_FILE) if release.evidence.signature is not None else None
    yield from _contents(place, image, release, bundle)
    for name, wanted in release.evidence.reports.items():
        yield _file(place, f"report {name}", evidence_store.report(place.model, wanted), wanted)
    if release.evidence.sbom is not None:
        yield _file(place, "SBOM", evidence_store.report(place.model, release.evidence.sbom), release.evidence.sbom)


def _folder(snapshot: Snapshot, place: Place, release: Release, texts: Mapping[str, str]) -> Iterator[Check]:
    """The release folder holds what the document says and nothing else, somebody signed it who may, and the model's
    folder puts it together."""
    found = {fault.part: fault.said for fault in faults(release, texts)}
    try:
        distrusted = distrust(release, texts, signers(snapshot, place.environment))
        found |= {fault.part: fault.said for fault in distrusted if fault.part not in found}
    except ConfigurationError as error:
        yield Check(place, "signers", "broken", error.message)
    for part in ("document", "pin"):
        yield Check(place, part, "broken" if part in found else "good", found.pop(part, ""))
    if release.evidence.signature is None:
        yield Check(place, "signature", "not here", "it was not signed")
    else:
        yield Check(place, "signature", "broken" if "signature" in found else "good", found.pop("signature", ""))
    for part, said in found.items():
        yield Check(place, part, "broken", f"{place.release}/{said}")
    same = snapshot.text(place.kustomization) == kustomization(place.model)
    said = "" if same else f"{place.kustomization} is not the one that every environment has"
    yield Check(place, "kustomization", "good" if same else "broken", said)


def _file(place: Place, name: str, path: Path, wanted: str) -> Check:
    if not path.is_file():
        return Check(place, name, "not here", wanted)
    found = digest(path)
    return Check(place, name, "good") if found == wanted else Check(place, name, "broken", f"{path} is {found}")


def _contents(place: Place, image: Path, release: Release, bundle: str | None) -> Iterator[Check]:
    """The graph and the bill of materials within the image, and every file in it that was signed."""
    if not image.is_file():
        yield Check(place, "model", "not here", release.model_digest)
        return
    try:
        with tarfile.open(image, mode="r:gz") as archive:
            found = {entry.name: _digest_of(archive, entry) for entry in archive if entry.isfile()}
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        yield Check(place, "model", "broken", f"{image} can't be read: {error}")
        return
    yield _member(place, "model", GRAPH, found, release.model_digest)
    if release.evidence.sbom is not None:
        yield _member(place, "SBOM in the image", BILL, found, release.evidence.sbom)
    if bundle is None:
        return
    try:
        signed = {name.removeprefix(_SOURCE): it for name, it in found.items() if name.startswith(_SOURCE)}
        wrong = "; ".join(Signature.read(bundle.encode()).differences(signed))
    except ReleaseError as error:
        wrong = error.message
    yield Check(place, "signed files", "broken" if wrong else "good", wrong)


def _member(place: Place, part: str, name: str, found: Mapping[str, str], wanted: str) -> Check:
    digests = [it for path, it in found.items() if Path(path).name == name]
    if wanted in digests:
        return Check(place, part, "good")
    return Check(place, part, "broken", f"the image holds {', '.join(digests) or f'no {name}'}, not {wanted}")


def _digest_of(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    content = archive.extractfile(entry)
    if content is None:
        return "nothing"
    with content:
        return sha256(content.read())
