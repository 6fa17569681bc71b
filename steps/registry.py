"""The model registry: MLflow's numbered model versions, as far as the steps need them. Git is the authority on what is
released; this only holds the files, and can be filled again from git and the image store.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bakehouse import archives, workspace
from bakehouse.errors import DataError, ReleaseError
from bentos.common.identity import GRAPH_FILE
from gitops import history
from gitops.environment import places
from gitops.release import Code, Release
from gitops.repository import GitopsRepository
from steps import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

FOLDER = "model"
REQUIREMENTS = ("onnxruntime", "numpy")


def add(model: str, run: str, onnx: Path, example: Mapping[str, NDArray[Any]] | None, tags: Mapping[str, str]) -> int:
    """Log the graph to the MLflow run as a model with its signature, and register it. Returns the new version."""
    client = tracking.client()
    _make_sure_of(client, model)
    scratch = workspace.scratch("registry")
    _save(onnx, example, scratch / FOLDER)
    client.log_artifacts(run, str(scratch / FOLDER), FOLDER)
    shutil.rmtree(scratch)
    source = f"{client.get_run(run).info.artifact_uri}/{FOLDER}"
    return int(client.create_model_version(model, source=source, run_id=run, tags=dict(tags)).version)


def download(model: str, version: int, folder: Path) -> Path:
    """Everything the registry holds of a version, copied to `folder`. Raises `DataError` where it does not hold it."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    try:
        source = tracking.client().get_model_version_download_uri(model, str(version))
        return Path(
            download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=workspace.tracking_uri())
        )
    except (MlflowException, OSError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"The registry can't give {model} version {version}: {said}.") from error


def restore(repository: GitopsRepository, model: str) -> list[int]:
    """Register again, under their own numbers, the releases that git knows and the registry has lost, and return them.

    MLflow numbers from the highest version it remembers, so a number that git has no release of is used up and deleted.
    Without this, a new database would give a number to another model than git's history does.
    """
    released = _released(repository, model)
    client = tracking.client()
    _make_sure_of(client, model)
    restored = []
    for version in range(_highest(client, model) + 1, max(released, default=0) + 1):
        if (release := released.get(version)) is not None:
            _register_again(client, release)
            restored.append(version)
        else:
            client.delete_model_version(model, client.create_model_version(model, source="not-in-git").version)
    return restored


def alias(model: str, environment: str, version: int | None) -> None:
    """Let the alias named after an environment stand for `version`, or for none.

    Raises `DataError` where the registry has no such version.
    """
    from mlflow.exceptions import MlflowException

    client = tracking.client()
    standing = client.get_registered_model(model).aliases.get(environment)
    if version is None and standing is not None:
        client.delete_registered_model_alias(model, environment)
    elif version is not None and str(standing) != str(version):
        try:
            client.set_registered_model_alias(model, environment, str(version))
        except MlflowException as error:
            raise DataError(f"The registry has no {model} version {version} to call {environment}.") from error


def lineage(data_version: str, code: Code, zenml_run: str, model_digest: str) -> dict[str, str]:
    """The tags of every model version: where it comes from."""
    return {
        "data_version": data_version,
        "code_commit": code.commit,
        "code_dirty": str(code.dirty).lower(),
        "zenml_run": zenml_run,
        "model_digest": model_digest,
    }


def _released(repository: GitopsRepository, model: str) -> dict[int, Release | None]:
    """Every model version that any environment ever released; None where its document can't be read any more."""
    found: dict[int, Release | None] = {}
    for place in places(repository.at()):
        if place.model != model:
            continue
        for entry in history.releases(repository, place.environment, model):
            if entry.model_version is None or found.get(entry.model_version):
                continue
            try:
                found[entry.model_version] = entry.release
            except ReleaseError:
                found[entry.model_version] = None
    return found


def _register_again(client: MlflowClient, release: Release) -> None:
    from mlflow.entities.model_registry import ModelVersion

    run = client.create_run(
        tracking.experiment(client, release.model), run_name=f"restored {release.model} {release.model_version}"
    ).info.run_id
    tags = lineage(release.data.version, release.code, release.run.zenml, release.model_digest)
    tags |= {"restored_from": "git"}
    archive = workspace.images() / f"{release.image.digest.removeprefix('sha256:')}.bento"
    scratch = workspace.scratch("restore")
    try:
        unpacked = archives.unpack(archive, release.image.digest, scratch / "bento")
        version = add(release.model, run, next(unpacked.rglob(GRAPH_FILE)), None, tags)
    except (DataError, StopIteration):
        # The number is what must not be lost; the file is in whatever store the team keeps images in.
        lost: ModelVersion = client.create_model_version(
            release.model, source=release.image.reference, tags=tags | {"file": "not in this image store"}
        )
        version = int(lost.version)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        client.set_terminated(run)
    if version != release.model_version:
        raise ReleaseError(
            f"The registry gave {release.model} {release.model_version} the number {version}.",
            "Another run is filling it at the same time: try again.",
        )


def _make_sure_of(client: MlflowClient, model: str) -> None:
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)


def _highest(client: MlflowClient, model: str) -> int:
    return max((int(found.version) for found in client.search_model_versions(f"name = '{model}'")), default=0)


def _save(onnx: Path, example: Mapping[str, NDArray[Any]] | None, folder: Path) -> None:
    """MLflow's folder around the graph. Its requirements are given: MLflow would take half a minute to guess them."""
    import mlflow.onnx
    import onnx as onnx_format

    graph = onnx_format.load(str(onnx))
    mlflow.onnx.save_model(
        graph,
        str(folder),
        signature=_signature(graph),
        input_example=dict(example) if example else None,
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIREMENTS],
        save_as_external_data=False,
    )
    # MLflow writes the graph anew; what is registered is the file that was evaluated, to the byte.
    shutil.copyfile(onnx, folder / GRAPH_FILE)


def _signature(graph: Any) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from onnx.helper import tensor_dtype_to_np_dtype

    def schema(values: Any) -> Schema:
        return Schema(
            [
                TensorSpec(
                    tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
                    tuple(part.dim_value or -1 for part in value.type.tensor_type.shape.dim),
                    value.name,
                )
                for value in values
            ]
        )

    return ModelSignature(inputs=schema(graph.graph.input), outputs=schema(graph.graph.output))
