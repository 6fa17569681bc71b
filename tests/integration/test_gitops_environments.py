"""The environment folders, rendered by the real kustomize, and their other files read by what reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.environment import environments
from gitops.promotion import commit_release
from gitops.promotion_gates import admission, settings_path
from gitops.repository import GitopsRepository
from tests.gitops_world import release
from tests.manifests import render


@pytest.fixture
def repository(tmp_path: Path, checkout: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> GitopsRepository:
    """One that starts from the checkout's environments as the files are, committed or not."""
    del state
    copy = tmp_path / "checkout"
    shutil.copytree(checkout / "environments", copy / "environments")
    (copy / "bentos").mkdir()
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(copy))
    return GitopsRepository.open()


@pytest.fixture
def clone(tmp_path: Path, repository: GitopsRepository) -> Path:
    """What Argo CD would see: the environments, with a release in each."""
    for name in environments(repository.at()):
        commit_release(repository, name, release(1))
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", repository.url, folder], check=True)
    return folder


@pytest.fixture
def rendered(clone: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Every object of the service by environment and kind."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for folder in sorted((clone / "environments").glob("*/orders")):
        objects = render(folder)
        found[folder.parent.name] = {it["kind"]: it for it in objects if "smoke" not in it["metadata"]["name"]}
    return found


def test_a_models_kustomization_is_the_same_bytes_in_every_environment(clone: Path) -> None:
    files = list((clone / "environments").glob("*/orders/kustomization.yaml"))
    assert len(files) == 2
    assert len({file.read_bytes() for file in files}) == 1


def test_the_release_document_is_mounted_where_the_service_looks(
    rendered: dict[str, dict[str, dict[str, Any]]], clone: Path
) -> None:
    """By a ConfigMap with a hash in its name, so that a new release rolls the pods."""
    for environment, objects in rendered.items():
        pod = objects["Deployment"]["spec"]["template"]["spec"]
        name = next(volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "release")
        assert name == objects["ConfigMap"]["metadata"]["name"] != "orders-release"
        document = clone / "environments" / environment / "orders/release/release.json"
        assert objects["ConfigMap"]["data"]["release.json"] == document.read_text()
        variables = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
        assert variables["BAKEHOUSE_RELEASE"] == "/etc/bakehouse/release.json"


def test_environments_differ_by_their_settings_alone(rendered: dict[str, dict[str, dict[str, Any]]]) -> None:
    replicas = {name: objects["HorizontalPodAutoscaler"]["spec"]["minReplicas"] for name, objects in rendered.items()}
    assert replicas == {"production": 2, "staging": 1}


def test_the_shipped_gates_can_be_read(repository: GitopsRepository) -> None:
    snapshot = repository.at()
    asking = [name for name in environments(snapshot) if settings_path(name) in snapshot.files]
    assert asking
    for name in asking:
        assert admission(snapshot, name).source in environments(snapshot)


def test_every_stack_is_of_the_zenml_that_is_installed(checkout: Path) -> None:
    """`zenml stack import` refuses a stack of another version."""
    from importlib.metadata import version

    stacks = [yaml.safe_load(path.read_text()) for path in sorted((checkout / "environments").glob("*/stack.yaml"))]
    assert len(stacks) == 3
    assert {stack["zenml_version"] for stack in stacks} == {version("zenml")}
    for stack in stacks:
        assert {"orchestrator", "artifact_store"} <= set(stack["components"])
        for kind, component in stack["components"].items():
            assert component["type"] == kind
            assert set(component) == {"type", "flavor", "name", "configuration"}
