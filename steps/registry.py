"""The model registry: MLflow's numbered model versions, as far as the steps need them. Git is the authority on what is
released; this only holds the files, and can be filled again from git and the image store.
"""

from __future__ import annotations

import logging
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
USED_UP = "numbers_used_up_to"
MEANT_FOR = "meant_for_version"
MOST_DESCRIBED = 5_000
"""The length of the column in MLflow's database: PostgreSQL refuses more."""
_CUT = "\n\n… The whole card is model_card.md in the run."

logger = logging.getLogger(__name__)

_LOST = (
    "the registry can't hold %s version %d again: the number was used up there and its version deleted."
    " Git and the image store have the release"
)


def add(
    model: str,
    run: str,
    onnx: Path,
    example: Mapping[str, NDArray[Any]] | None,
    tags: Mapping[str, str],
    card: str = "",
) -> int:
    """Log the graph to the MLflow run as a model with its signature, and register it, described by as much of its
    Markdown `card` as the registry's column takes. Returns the new version."""
    client = tracking.client()
    _make_sure_of(client, model)
    source = log(client, run, onnx, example)
    described = card if len(card) <= MOST_DESCRIBED else f"{card[: MOST_DESCRIBED - len(_CUT)]}{_CUT}"
    return int(
        client.create_model_version(
            model, source=source, run_id=run, tags=dict(tags), description=described or None
        ).version
    )


def log(client: MlflowClient, run: str, onnx: Path, example: Mapping[str, NDArray[Any]] | None) -> str:
    """Log the graph to the MLflow run as a model with its signature. Returns the address to register it by."""
    scratch = workspace.scratch("registry")
    _save(onnx, example, scratch / FOLDER)
    client.log_artifacts(run, str(scratch / FOLDER), FOLDER)
    shutil.rmtree(scratch)
    return f"{client.get_run(run).info.artifact_uri}/{FOLDER}"


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

    Without this, a new database would give a number to another model than git's history does. MLflow numbers on from
    the highest version it ever gave, deleted ones too, which it shows to nobody. So a release is registered until it
    gets its own number, and what got another one is deleted. A number that MLflow is past is lost, and is logged.

    Raises `ReleaseError` where another run registers at the same time.
    """
    released = _released(repository, model)
    client = tracking.client()
    _make_sure_of(client, model)
    _delete_misnumbered(client, model)
    highest = _highest(client, model)
    restored = []
    for version in sorted(found for found in released if found > highest):
        if version <= _highest(client, model):
            logger.warning(_LOST, model, version)
        elif (release := released[version]) is None:
            if _give_number(client, model, version, "unreadable-in-git", None, {}):
                _use_up(client, model, version)
        elif _register_again(client, release):
            restored.append(version)
    return restored


def alias(model: str, environment: str, version: int | None) -> None:
    """Let the alias named after an environment stand for `version`, or for none.

    Raises `DataError` where the registry has no such version; the alias stands for none then, rather than for another.
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
            if standing is not None:
                client.delete_registered_model_alias(model, environment)
            raise DataError(
                f"The registry has no {model} version {version} to call {environment}.",
                "Git and the image store have the release. The alias stands again with the next one.",
            ) from error


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


def _register_again(client: MlflowClient, release: Release) -> bool:
    """Register a release under its own number, and return whether that could be had."""
    model, version = release.model, release.model_version
    run: str | None = client.create_run(
        tracking.experiment(client, model), run_name=f"restored {model} {version}"
    ).info.run_id
    tags = lineage(release.data.version, release.code, release.run.zenml, release.model_digest)
    tags |= {"restored_from": "git"}
    archive = workspace.images() / f"{release.image.digest.removeprefix('sha256:')}.bento"
    scratch = workspace.scratch("restore")
    try:
        unpacked = archives.unpack(archive, release.image.digest, scratch / "bento")
        source = log(client, str(run), next(unpacked.rglob(GRAPH_FILE)), None)
    except (DataError, StopIteration):
        # The number is what must not be lost; the file is in whatever store the team keeps images in.
        client.delete_run(str(run))
        source, run = release.image.reference, None
        tags |= {"file": "not in this image store"}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    had = _give_number(client, model, version, source, run, tags)
    if run is not None:
        client.set_terminated(run, "FINISHED" if had else "FAILED")
    return had


def _give_number(
    client: MlflowClient, model: str, version: int, source: str, run: str | None, tags: Mapping[str, str]
) -> bool:
    """Register until the registry gives this number or is past it, delete what got another one, and return whether the
    number was had. Raises `ReleaseError` where another run has taken it meanwhile."""
    number = 0
    meant = {**tags, MEANT_FOR: str(version)}
    while number < version:
        number = int(client.create_model_version(model, source=source, run_id=run, tags=meant).version)
        if number != version:
            _use_up(client, model, number)
    if number == version:
        return True
    if any(int(found.version) == version for found in client.search_model_versions(f"name = '{model}'")):
        raise ReleaseError(
            f"Another run registered {model} version {version} while this one was about to.",
            "Try again when it has ended.",
        )
    logger.warning(_LOST, model, version)
    return False


def _delete_misnumbered(client: MlflowClient, model: str) -> None:
    """What a run that was killed while it restored has left under a number that is another release's, or nobody's."""
    for found in client.search_model_versions(f"name = '{model}'"):
        if found.tags.get(MEANT_FOR, str(found.version)) != str(found.version):
            _use_up(client, model, int(found.version))


def _use_up(client: MlflowClient, model: str, number: int) -> None:
    """Delete a version, and leave a note of its number, which MLflow counts on from but does not show."""
    client.set_registered_model_tag(model, USED_UP, str(max(number, _highest(client, model))))
    client.delete_model_version(model, str(number))


def _make_sure_of(client: MlflowClient, model: str) -> None:
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)


def _highest(client: MlflowClient, model: str) -> int:
    """The highest number that is known to be used up."""
    there = [int(found.version) for found in client.search_model_versions(f"name = '{model}'")]
    return max([0, int(client.get_registered_model(model).tags.get(USED_UP, 0)), *there])


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
