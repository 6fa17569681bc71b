"""Package a registered model version as a bento, and put its archive into the image store."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import archives, workspace
from bentos.common.packaging import build_bento
from bentos.common.room import load_room


class Package(BaseModel):
    """What a release names. `digest` is the archive's and its name in the image store; `sbom` is that of the bill of
    materials, its name among the reports."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    model_version: int
    digest: str
    model_digest: str
    sbom: str


@step
def package(
    model: str, onnx: Path, model_version: int, data_version: str, code_commit: str
) -> Annotated[Package, "package"]:
    """Build the bento of `model_version` around the graph `onnx`."""
    lineage = {
        "data_version": data_version,
        "code_commit": code_commit,
        "built_at": datetime.now(UTC).replace(microsecond=0),
    }
    folder = workspace.scratch("package")
    built = build_bento(load_room(model), onnx, model_version, lineage, folder)
    sbom = archives.digest(built.sbom)
    _keep(built.archive, workspace.images(), built.digest, ".bento")
    _keep(built.sbom, workspace.reports(), sbom, ".json")
    shutil.rmtree(folder)
    return Package(
        model=model, model_version=model_version, digest=built.digest, model_digest=built.model_digest, sbom=sbom
    )


def _keep(file: Path, store: Path, digest: str, suffix: str) -> None:
    """Move `file` into `store` under its digest. By a rename, so that a name never stands for half a file."""
    file.replace(store / f"{digest.removeprefix('sha256:')}{suffix}")
