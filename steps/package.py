"""Package a registered model version as a bento, keep its archive, and push its image where there is a registry."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import archives, workspace
from bentos.common.images import build_image, image_name, push_image
from bentos.common.packaging import build_bento
from bentos.common.room import load_room
from gitops import signing, stores


class Package(BaseModel):
    """What a release names. `digest` is the image's in the registry, where there is one; else the archive's, and its
    name in the image store. `sbom` and `signature` are those of the bill of materials and of the signature of all that
    is in the bento, their names among the reports."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    model_version: int
    image: str
    digest: str
    model_digest: str
    sbom: str
    signature: str


@step
def package(
    model: str, onnx: Path, model_version: int, data_version: str, code_commit: str
) -> Annotated[Package, "package"]:
    """Build the bento of `model_version` around the graph `onnx`, and sign it."""
    lineage = {
        "data_version": data_version,
        "code_commit": code_commit,
        "built_at": datetime.now(UTC).replace(microsecond=0),
    }
    folder = workspace.scratch("package")
    built = build_bento(load_room(model), onnx, model_version, lineage, folder, signing.sign)
    sbom, signature = archives.digest(built.sbom), archives.digest(built.signature)
    _keep(built.archive, workspace.images(), built.digest, ".bento")
    _keep(built.sbom, workspace.reports(), sbom, ".json")
    _keep(built.signature, workspace.reports(), signature, ".sig")
    shutil.rmtree(folder)
    name, digest = image_name(model, workspace.image_registry()), built.digest
    if workspace.image_registry():
        digest = push_image(build_image(stores.image(built.digest), built.digest, name))
    return Package(
        model=model,
        model_version=model_version,
        image=name,
        digest=digest,
        model_digest=built.model_digest,
        sbom=sbom,
        signature=signature,
    )


def _keep(file: Path, store: Path, digest: str, suffix: str) -> None:
    """Move `file` into `store` under its digest. By a rename, so that a name never stands for half a file."""
    file.replace(store / f"{digest.removeprefix('sha256:')}{suffix}")
