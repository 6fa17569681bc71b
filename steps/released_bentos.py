"""The bento of a model version on this machine, and what environments have released of that model now. Only reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bakehouse.errors import ReleaseError
from bentos.common.images import find_bento
from gitops.environment import Place, environments, require_environment
from gitops.history import released
from gitops.release import Release
from gitops.repository import GitopsRepository

_NAMED = re.compile(r"(?P<model>[a-z][a-z0-9-]*)(?:@(?P<version>[1-9][0-9]*))?")


def parse(said: str) -> tuple[str, int | None] | None:
    """The model and the version that `MODEL@VERSION` or `MODEL` names; None where it is neither."""
    found = _NAMED.fullmatch(said)
    return None if found is None else (found["model"], int(found["version"]) if found["version"] else None)


def releases(repository: GitopsRepository, model: str, environment: str | None = None) -> dict[str, Release]:
    """What each environment, or that one, has released of a model, by the environment's name."""
    snapshot = repository.at()
    if environment is not None:
        require_environment(snapshot, environment)
    asked = environments(snapshot) if environment is None else (environment,)
    return {name: release for name in asked if (release := released(snapshot, Place(name, model))) is not None}


def released_bento(model: str, version: int, releases: Mapping[str, Release]) -> Path:
    """The archive of a model version. Raises `DataError` where this machine has none, and `ReleaseError` where one of
    these releases of the version has another model."""
    archive, identity = find_bento(model, version)
    for environment, release in releases.items():
        if release.model_version == version and release.model_digest != identity.model_digest:
            raise ReleaseError(
                f"{environment} has released {model} {version} with the model {release.model_digest}, but the bento"
                f" here holds {identity.model_digest}.",
                "Copy the archive of the released one into the image store.",
            )
    return archive
