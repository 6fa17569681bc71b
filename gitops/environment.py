"""How the environments folder is laid out: where a model's release, pin and hold stand, and what there is.

An environment is a folder under `environments/` that has `settings/`; its name means nothing to any code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bakehouse.errors import ReleaseError
from gitops.commits import Blob
from gitops.repository import ENVIRONMENTS, Snapshot

SETTINGS = "settings"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Place:
    """One model in one environment."""

    environment: str
    model: str

    def __post_init__(self) -> None:
        for kind, name in (("environment", self.environment), ("model", self.model)):
            if not _NAME.fullmatch(name):
                raise ReleaseError(
                    f"{name!r} can't be the name of a{'n' if kind == 'environment' else ''} {kind}.",
                    "A name is lower-case letters, digits and dashes, and starts with a letter.",
                )

    def __str__(self) -> str:
        return f"{self.model} in {self.environment}"

    @property
    def folder(self) -> str:
        """The model's folder in the environment."""
        return f"{ENVIRONMENTS}/{self.environment}/{self.model}"

    @property
    def release(self) -> str:
        """The folder that a promotion copies and a rollback restores."""
        return f"{self.folder}/release"

    @property
    def document(self) -> str:
        """The release document."""
        return f"{self.release}/release.json"

    @property
    def pin(self) -> str:
        """The kustomize pin beside the document."""
        return f"{self.release}/kustomization.yaml"

    @property
    def kustomization(self) -> str:
        """What puts base, settings and release together; the same bytes in every environment."""
        return f"{self.folder}/kustomization.yaml"

    @property
    def hold(self) -> str:
        """The file that stops promotions as long as it is there."""
        return f"{self.folder}/hold.yaml"


def kustomization(model: str) -> str:
    """The model's kustomization: nothing in it depends on the environment."""
    return f"""\
# Written by the first release of {model}; the same in every environment. What differs stands in ../settings.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: {model}-
labels:
  - includeSelectors: true
    pairs:
      app.kubernetes.io/name: {model}
resources:
  - ../../base
components:
  - release
  - ../settings
patches:
  # The pods of the release before mount its document for as long as they answer, and so does one that replaces another.
  - target: {{kind: ConfigMap, name: release}}
    patch: |-
      - op: add
        path: /metadata/annotations/argocd.argoproj.io~1sync-options
        value: Prune=false
      - op: add
        path: /metadata/annotations/argocd.argoproj.io~1compare-options
        value: IgnoreExtraneous
"""


def environments(snapshot: Snapshot) -> tuple[str, ...]:
    """The environments there are, by name."""
    parts = (path.split("/") for path in snapshot.files)
    return tuple(sorted({part[1] for part in parts if len(part) > 3 and part[2] == SETTINGS}))


def require_environment(snapshot: Snapshot, environment: str) -> None:
    """Raise `ReleaseError` that lists the environments where there is none of that name."""
    known = environments(snapshot)
    if environment not in known:
        listed = ", ".join(known) or "none; is this a GitOps repository of Bakehouse?"
        raise ReleaseError(f"There is no environment {environment}.", f"There are: {listed}.")


def parse_place(path: str) -> tuple[Place | None, str]:
    """The place that a path belongs to, and the rest of the path within it; None where it belongs to none."""
    parts = path.split("/", 3)
    is_place = len(parts) == 4 and parts[0] == ENVIRONMENTS and parts[2] != SETTINGS
    if not is_place or not (_NAME.fullmatch(parts[1]) and _NAME.fullmatch(parts[2])):
        return None, path
    return Place(parts[1], parts[2]), parts[3]


def places(snapshot: Snapshot) -> tuple[Place, ...]:
    """Every model in every environment that has a release or a hold there."""
    found = set()
    for path in snapshot.files:
        parts = path.split("/")
        is_document = len(parts) == 5 and parts[3:] == ["release", "release.json"]
        is_hold = len(parts) == 4 and parts[3] == "hold.yaml"
        if (is_document or is_hold) and _NAME.fullmatch(parts[1]) and _NAME.fullmatch(parts[2]):
            found.add(Place(parts[1], parts[2]))
    known = environments(snapshot)
    return tuple(sorted((place for place in found if place.environment in known), key=lambda it: (it.model, it.folder)))


def is_released(snapshot: Snapshot, model: str) -> bool:
    """Whether any environment has a release of that model."""
    return any(Place(environment, model).document in snapshot.files for environment in environments(snapshot))


def replaced_release(snapshot: Snapshot, target: Place, source: dict[str, Blob]) -> dict[str, bytes | Blob | None]:
    """The files that make `target`'s release folder exactly the given one (by file name within the folder), and its
    kustomization where it has none."""
    files: dict[str, bytes | Blob | None] = dict.fromkeys(snapshot.under(target.release))
    files |= {f"{target.release}/{name}": blob for name, blob in source.items()}
    if target.kustomization not in snapshot.files:
        files[target.kustomization] = kustomization(target.model).encode()
    return files


def release_texts(snapshot: Snapshot, place: Place) -> dict[str, str]:
    """The text of every file in the release folder, by file name within it."""
    blobs = snapshot.under(place.release)
    texts = snapshot.repository.texts(list(blobs.values()), list(blobs))
    return {path.removeprefix(f"{place.release}/"): text for path, text in zip(blobs, texts, strict=True)}


def release_folder(snapshot: Snapshot, place: Place) -> dict[str, Blob]:
    """What the release folder holds, by file name within it."""
    return {path.removeprefix(place.release + "/"): blob for path, blob in snapshot.under(place.release).items()}
