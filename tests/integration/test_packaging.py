"""build_bento: the same input gives the same archive, and it holds what answers and nothing else."""

from __future__ import annotations

import json
import shutil
import tarfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakehouse import archives, workspace
from bakehouse.errors import ConfigurationError, DataError
from bentos.common.packaging import BuiltBento, build_bento
from bentos.common.room import load_room
from gitops.signing import KEY_VARIABLE, sign
from tests.served import LINEAGE


@pytest.fixture(scope="module")
def built(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> BuiltBento:
    """One bento for all the tests that only look into it."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(folder / "state"))
        patch.delenv(KEY_VARIABLE, raising=False)
        return build_bento(load_room("orders"), graph, 3, LINEAGE, folder, sign)


@pytest.fixture
def build(graph: Path, tmp_path: Path) -> Callable[..., BuiltBento]:
    def builder(out: str = "out", **changed: Any) -> BuiltBento:
        given: dict[str, Any] = {"model_onnx": graph, "model_version": 3, "lineage": LINEAGE, **changed}
        return build_bento(given.pop("room", None) or load_room("orders"), out=tmp_path / out, sign=sign, **given)

    return builder


@pytest.fixture
def other_checkout(checkout: Path, tmp_path: Path) -> Path:
    """A copy of the packages whose orders room can be changed."""
    root = tmp_path / "checkout"
    for package in ("bakehouse", "bentos"):
        shutil.copytree(checkout / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def files(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        return {entry.name for entry in tar if entry.isfile()}


def content(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(name)
        assert stream is not None
        return stream.read()


def test_two_builds_of_the_same_input_give_the_same_digest(build: Callable[..., BuiltBento]) -> None:
    first = build("one")
    time.sleep(1.1)  # a clock that leaked into the archive would now show another second
    second = build("two")
    assert first.digest == second.digest == archives.digest(second.archive)
    assert first.sbom.read_bytes() == second.sbom.read_bytes()


@pytest.mark.parametrize(
    "changed",
    [
        {"model_version": 4},
        {"lineage": {**LINEAGE, "data_version": "9" * 32}},
        {"lineage": {**LINEAGE, "code_commit": "e" * 40}},
    ],
    ids=["version", "data", "code"],
)
def test_another_version_or_lineage_gives_another_digest(
    build: Callable[..., BuiltBento], changed: dict[str, Any]
) -> None:
    assert build("one").digest != build("two", **changed).digest


def test_it_holds_the_runtime_modules_the_graph_and_its_papers_and_nothing_else(built: BuiltBento) -> None:
    found = files(built.archive)
    modules = {name.removeprefix("src/") for name in found if name.endswith(".py")}
    assert {name for name in modules if name.startswith("bentos/orders/")} == {
        f"bentos/orders/{name}.py" for name in ("__init__", "contract", "features", "service")
    }
    assert not modules & {f"bentos/common/{name}.py" for name in ("estimator", "forest_converter", "packaging", "room")}
    assert {name for name in found if not name.endswith(".py")} == {
        "README.md",
        "apis/openapi.yaml",
        "apis/schema.json",
        "bento.yaml",
        "env/docker/Dockerfile",
        "env/docker/entrypoint.sh",
        "env/python/requirements.in",
        "env/python/requirements.txt",
        "src/bentofile.yaml",
        "src/card.md",
        "src/model.json",
        "src/model.onnx",
        "src/model.sig",
        "src/requirements.lock",
        "src/sbom.cdx.json",
    }


def test_its_identity_names_the_graph_and_the_lineage(built: BuiltBento, graph: Path) -> None:
    assert json.loads(content(built.archive, "src/model.json")) == {
        "model": "orders",
        "model_version": 3,
        "model_digest": archives.digest(graph),
        **LINEAGE,
    }
    assert built.model_digest == archives.digest(graph)
    assert content(built.archive, "src/model.onnx") == graph.read_bytes()


def test_its_image_gets_every_library_in_the_version_that_was_tested(built: BuiltBento) -> None:
    pins = set(content(built.archive, "env/python/requirements.txt").decode().split())
    for name in ("bentoml", "onnxruntime", "numpy", "pydantic", "uvloop", "httptools", "starlette"):
        assert f"{name}=={version(name)}" in pins
    assert all("==" in pin for pin in pins)
    assert not {pin.partition("==")[0] for pin in pins} & {"pandas", "scikit-learn", "mlflow", "zenml", "onnx"}


def test_its_bill_of_materials_lists_the_model_and_the_same_libraries(built: BuiltBento) -> None:
    bill = json.loads(built.sbom.read_bytes())
    assert content(built.archive, "src/sbom.cdx.json") == built.sbom.read_bytes()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    by_type: dict[str, list[dict[str, Any]]] = {}
    for component in bill["components"]:
        by_type.setdefault(component["type"], []).append(component)
    (model,) = by_type["machine-learning-model"]
    assert f"sha256:{model['hashes'][0]['content']}" == built.model_digest
    assert {"name": "bakehouse:data-version", "value": LINEAGE["data_version"]} in model["properties"]
    pins = set(content(built.archive, "env/python/requirements.txt").decode().split())
    assert {f"{found['name']}=={found['version']}" for found in by_type["library"]} == pins
    assert {found["purl"] for found in by_type["library"]} >= {f"pkg:pypi/onnxruntime@{version('onnxruntime')}"}


def test_its_description_carries_the_lineage(built: BuiltBento) -> None:
    description = yaml.safe_load(content(built.archive, "bento.yaml"))
    assert description["version"] == "3"
    assert description["labels"] == {
        "model-version": "3",
        "data-version": LINEAGE["data_version"],
        "code-commit": LINEAGE["code_commit"],
    }


def test_nothing_is_left_in_the_state_folder(build: Callable[..., BuiltBento]) -> None:
    build()
    assert list(workspace.state().glob("bento-*")) == []


def test_it_builds_below_a_hidden_folder_as_the_state_folder_is_one(
    build: Callable[..., BuiltBento], built: BuiltBento, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEHOUSE_STATE", str(tmp_path / ".hidden" / "state"))
    monkeypatch.setenv(KEY_VARIABLE, str(built.archive.parent / "state" / "signing-key.pem"))
    assert build().digest == built.digest


def test_a_missing_graph_is_named(build: Callable[..., BuiltBento], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no graph at .*nowhere\.onnx"):
        build(model_onnx=tmp_path / "nowhere.onnx")


def test_a_lineage_that_is_not_complete_is_refused_with_what_it_lacks(build: Callable[..., BuiltBento]) -> None:
    with pytest.raises(DataError, match=r"data_version: Field required; .*built_at: Field required"):
        build(lineage={"code_commit": "f" * 40})


def test_a_service_that_would_import_a_training_library_is_refused(
    build: Callable[..., BuiltBento], other_checkout: Path
) -> None:
    features = other_checkout / "bentos" / "orders" / "features.py"
    features.write_text(features.read_text() + "\n\ndef late() -> None:\n    import pandas\n")
    with pytest.raises(ConfigurationError, match=r"bentos/orders/features\.py imports pandas, which a service may not"):
        build(room=load_room("orders", other_checkout))


def test_a_room_that_bentoml_can_not_import_fails_the_build_with_its_reason(
    build: Callable[..., BuiltBento], other_checkout: Path
) -> None:
    service = other_checkout / "bentos" / "orders" / "service.py"
    service.write_text(service.read_text() + "\nraise RuntimeError('no flour')\n")
    with pytest.raises(ConfigurationError, match=r"BentoML can't build bentos/orders: .*no flour"):
        build(room=load_room("orders", other_checkout))
    assert list(workspace.state().glob("bento-*")) == []
