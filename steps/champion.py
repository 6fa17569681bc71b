"""The champion: the model version that an environment's release names in git, and its ONNX graph.

Git says which one; the image store, or else the registry, only hold its bytes, and are believed by digest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import archives, workspace
from bakehouse.errors import DataError
from bakehouse.gates import GateResult, holds
from bentos.common.identity import GRAPH_FILE
from gitops import history
from gitops.environment import Place
from gitops.promotion_gates import no_hold
from gitops.release import Release
from gitops.repository import GitopsRepository
from steps import registry


class Champion(BaseModel):
    """Whom the candidate meets. `gates` says whether the environment lets a release in at all, and whether a champion
    that git names could be fetched; where it names none, nothing is missing."""

    model_config = ConfigDict(frozen=True)

    version: int | None
    gates: tuple[GateResult, ...]


@step
def champion(
    model: str, environment: str
) -> tuple[
    Annotated[Champion, "champion"], Annotated[int | None, "champion_version"], Annotated[Path | None, "champion_onnx"]
]:
    """The champion of `environment`, its version and its graph. A hold there, or a graph that can't be had, is a missed
    gate, so that no number is used up for what can't be released."""
    repository = GitopsRepository.open()
    release = history.champion(repository, environment, model)
    unheld = no_hold(repository.at(), Place(environment, model))
    if release is None:
        first = _gate(environment, True, "no champion yet")
        return Champion(version=None, gates=(unheld, first)), None, None
    try:
        graph = fetch(release, workspace.scratch("champion"))
    except DataError as error:
        unreachable = _gate(environment, False, f"version {release.model_version} can't be fetched", str(error))
        return Champion(version=release.model_version, gates=(unheld, unreachable)), release.model_version, None
    reached = _gate(environment, True, f"version {release.model_version} fetched")
    return Champion(version=release.model_version, gates=(unheld, reached)), release.model_version, graph


def fetch(release: Release, folder: Path) -> Path:
    """The release's `model.onnx`, written to `folder`, from the image store or else the registry.

    Raises `DataError` with every reason where neither has a file of that digest.
    """
    reasons = []
    for source in (_from_image_store, _from_registry):
        try:
            return source(release, folder)
        except DataError as error:
            reasons.append(error.message)
    raise DataError(
        f"The graph of {release.model} version {release.model_version} is nowhere: {' '.join(reasons)}",
        "Copy its image into the image store, or hold or roll back the release that names it.",
    )


def _from_image_store(release: Release, folder: Path) -> Path:
    archive = workspace.images() / f"{release.image.digest.removeprefix('sha256:')}.bento"
    return _with_digest(archives.unpack(archive, release.image.digest, folder / "bento"), release, "Its image")


def _from_registry(release: Release, folder: Path) -> Path:
    downloaded = registry.download(release.model, release.model_version, folder / "registered")
    return _with_digest(downloaded, release, "The registry's version")


def _with_digest(folder: Path, release: Release, holder: str) -> Path:
    for path in sorted(folder.rglob(GRAPH_FILE)):
        if archives.digest(path) == release.model_digest:
            return path
    raise DataError(f"{holder} holds no {GRAPH_FILE} with the digest {release.model_digest}.")


def _gate(environment: str, passed: bool, found: str, explanation: str = "") -> GateResult:
    source = f"environments/{environment} in the GitOps repository"
    return holds("champion_at_hand", passed, found, "fetched, where there is one", source, explanation)
