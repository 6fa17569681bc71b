"""Fetch the released model of an environment: the graph that its release names in git, believed by its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from zenml import step

from bakehouse import workspace
from bakehouse.errors import ReleaseError
from gitops import history
from gitops.repository import GitopsRepository
from steps import champion


@step
def fetch(
    model: str, environment: str
) -> tuple[Annotated[Path, "onnx"], Annotated[int, "model_version"], Annotated[str, "model_digest"]]:
    """The champion's graph, its model version and its digest. Raises `ReleaseError` where the environment has released
    no such model, `DataError` where its graph is nowhere."""
    release = history.champion(GitopsRepository.open(), environment, model)
    if release is None:
        raise ReleaseError(
            f"{environment} has no release of {model}.", f"Train it, or promote it: bakehouse promote {model}."
        )
    return champion.fetch(release, workspace.scratch("fetch")), release.model_version, release.model_digest
