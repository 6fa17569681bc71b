"""`bakehouse platform write` chooses the platform in an environment's own settings: kustomize then renders every model
with it, and nothing else of what somebody wrote there changes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bakehouse.errors import ConfigurationError
from terraform.platform.commands import app
from tests.infra import offline
from tests.manifests import SERVICE_ROLE, platform_contract, render

NAMESPACES = {"staging": "bakehouse-staging", "production": "bakehouse-production"}
CANARY = "../../components/canary"
DIGEST = "sha256:" + "0" * 64
# As much of a release as the canary reads, and the image.
RELEASE = {
    "apiVersion": "kustomize.config.k8s.io/v1alpha1",
    "kind": "Component",
    "configMapGenerator": [{"name": "release"}],
    "images": [{"name": "bento", "newName": "registry.example.com/bakehouse/orders", "newTag": "7", "digest": DIGEST}],
    "commonAnnotations": {
        f"bakehouse/{name}": "x" for name in ("model-version", "data-version", "code-commit", "run", "release-digest")
    },
}


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """The environments as committed, each with a contract as Terraform's outputs would make it, and one model."""
    folder = tmp_path / "environments"
    for name in ("base", "components", *NAMESPACES):
        shutil.copytree(offline.CHECKOUT / "environments" / name, folder / name)
    for name, namespace in NAMESPACES.items():
        (folder / name / "settings" / "platform.yaml").write_text(yaml.safe_dump(platform_contract(name, namespace)))
        model = folder / name / "orders"
        shutil.rmtree(model, ignore_errors=True)
        model.mkdir()
        (model / "kustomization.yaml").write_text(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamePrefix: orders-\n"
            "labels:\n  - includeSelectors: true\n    pairs:\n      app.kubernetes.io/name: orders\n"
            "resources: [../../base]\ncomponents: [release, ../settings]\n"
        )
        (model / "release").mkdir()
        (model / "release" / "kustomization.yaml").write_text(yaml.safe_dump(RELEASE))
    return folder


def write(environments: Path, environment: str) -> Path:
    done = CliRunner().invoke(app, ["write", environment, "--into", str(environments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return environments / environment / "settings" / "kustomization.yaml"


def pod(environments: Path, environment: str, kind: str = "Deployment") -> dict[str, Any]:
    """What a model's pods are, as kubectl renders them."""
    found = {item["kind"]: item for item in render(environments / environment / "orders")}
    assert found[kind]["metadata"]["namespace"] == NAMESPACES[environment]
    template: dict[str, Any] = found[kind]["spec"]["template"]["spec"]
    return template


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in container["env"]}


@pytest.mark.parametrize("environment", NAMESPACES)
def test_a_models_pods_ship_their_logs_once_the_command_has_run(environment: str, environments: Path) -> None:
    before = pod(environments, environment)
    write(environments, environment)
    after = pod(environments, environment)
    (service,), (shipper,) = after["containers"], after["initContainers"]
    assert "initContainers" not in before
    assert shipper["restartPolicy"] == "Always", "it is ended after the service"
    shipped = variables(shipper)
    assert shipped["BAKEHOUSE_PREDICTIONS_URL"] == f"s3://{environment}-predictions/$(BAKEHOUSE_MODEL)"
    assert shipped["AWS_ROLE_ARN"] == SERVICE_ROLE.replace("{model}", "$(BAKEHOUSE_MODEL)")
    told = {"BAKEHOUSE_PREDICTION_LOG_SHIPPED": "true"}
    assert variables(service) == variables(before["containers"][0]) | told, "the role is none of the service's"


def test_what_ships_runs_in_the_services_image_and_sees_its_log_and_the_token_alone(environments: Path) -> None:
    """An image that the release names by one registry and the environment has in another, too."""
    file = environments / "staging" / "settings" / "platform.yaml"
    copied = {
        "host": "staging.example.com",
        "source_host": "registry.example.com",
        "repositories": {"orders": "staging.example.com/bakehouse/orders"},
    }
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"registry": copied}))
    write(environments, "staging")
    found = pod(environments, "staging")
    (service,), (shipper,) = found["containers"], found["initContainers"]
    assert shipper["image"] == service["image"] == f"staging.example.com/bakehouse/orders:7@{DIGEST}"
    assert shipper["securityContext"] == service["securityContext"]
    logs = [it for it in service["volumeMounts"] if it["mountPath"] == variables(service)["BAKEHOUSE_PREDICTION_LOG"]]
    token = {"name": "aws-token", "mountPath": "/var/run/secrets/aws", "readOnly": True}
    assert shipper["volumeMounts"] == [*logs, token]
    assert "aws-token" not in {it["name"] for it in service["volumeMounts"]}


@pytest.mark.parametrize("packaged", ["now", "before logs were shipped"])
def test_a_rollback_to_a_version_that_can_not_ship_is_not_held_up(
    packaged: str, environments: Path, tmp_path: Path
) -> None:
    write(environments, "staging")
    (shipper,) = pod(environments, "staging")["initContainers"]
    source, programs = tmp_path / "src", tmp_path / "bin"
    (source / "bentos" / "common").mkdir(parents=True)
    programs.mkdir()
    python = programs / "python3.11"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    if packaged == "now":
        (source / "bentos" / "common" / "ship.py").touch()
    process = subprocess.Popen(
        shipper["command"],
        cwd=source,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    if packaged == "now":
        assert said == "-m bentos.common.ship\n"
    else:
        assert "packaged before" in said
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
    assert process.wait(30) in (0, 128 + signal.SIGTERM)


@pytest.mark.parametrize("first", ["platform", "canary"])
def test_a_canary_keeps_what_the_platform_gives(first: str, environments: Path) -> None:
    """The canary makes a Rollout of the Deployment, whose variables kustomize could no longer merge."""
    settings = environments / "production" / "settings" / "kustomization.yaml"
    if first == "canary":
        settings.write_text(settings.read_text().replace(f"# components: [{CANARY}]", f"components: [{CANARY}]"))
    write(environments, "production")
    if first == "platform":
        chosen = settings.read_text().replace("\ncomponents: [platform]\n", f"\ncomponents: [platform, {CANARY}]\n")
        settings.write_text(chosen)
    assert yaml.safe_load(settings.read_text())["components"] == ["platform", CANARY]
    found = pod(environments, "production", "Rollout")
    assert "BAKEHOUSE_PREDICTION_LOG_SHIPPED" in variables(found["containers"][0])
    assert {"AWS_ROLE_ARN", "BAKEHOUSE_PREDICTIONS_URL"} <= variables(found["initContainers"][0]).keys()
    assert found["initContainers"][0]["image"] == found["containers"][0]["image"]


@pytest.mark.parametrize(
    ("components", "written"),
    [
        ("", "components: [platform]\n"),
        ("components: []\n", "components: [platform]\n"),
        (f"components: [{CANARY}] # why\n", f"components: [platform, {CANARY}] # why\n"),
        (f"components:\n  # why\n  - {CANARY}\n", f"components:\n  # why\n  - platform\n  - {CANARY}\n"),
        (f"components:\n- {CANARY}\n", f"components:\n- platform\n- {CANARY}\n"),
        ("components: [platform]\n", "components: [platform]\n"),
    ],
)
def test_one_line_of_the_settings_changes_however_it_is_written(
    components: str, written: str, environments: Path
) -> None:
    settings = environments / "staging" / "settings" / "kustomization.yaml"
    text = (
        "# Mine.\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component # of kustomize\n"
        "{}namespace: bakehouse-staging\n"
    )
    settings.write_text(text.format(components))
    assert write(environments, "staging").read_text() == text.format(written)


def test_a_second_run_changes_nothing(environments: Path) -> None:
    once = write(environments, "staging").read_text()
    assert write(environments, "staging").read_text() == once


def test_an_environment_without_settings_gets_them(environments: Path) -> None:
    settings = environments / "staging" / "settings" / "kustomization.yaml"
    settings.unlink()
    assert yaml.safe_load(write(environments, "staging").read_text()) == {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "components": ["platform"],
        "namespace": "bakehouse-staging",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Component\nnamespace: elsewhere\n", "namespace elsewhere"),
        ("kind: Kustomization\n", "is no Component"),
        ("- platform\n", "is no Component"),
        ("kind: [\n", "is no YAML"),
        ("kind: Component\ncomponents:\n", "could not be edited"),
    ],
)
def test_settings_that_can_not_be_edited_are_refused_before_anything_is_written(
    text: str, says: str, environments: Path
) -> None:
    settings = environments / "staging" / "settings" / "kustomization.yaml"
    settings.write_text(text)
    before = {path: path.read_text() for path in environments.rglob("*.yaml")}
    with pytest.raises(ConfigurationError, match=says):
        write(environments, "staging")
    assert {path: path.read_text() for path in environments.rglob("*.yaml")} == before
