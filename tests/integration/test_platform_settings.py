"""`bakehouse platform write` chooses the platform in an environment's own settings: kustomize then renders every model
with it, and nothing else of what somebody wrote there changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bakehouse.errors import ConfigurationError
from terraform.platform.commands import app
from tests.infra import offline
from tests.manifests import render

NAMESPACES = {"staging": "bakehouse-staging", "production": "bakehouse-production"}
ROLE = "arn:aws:iam::111111111111:role/bakehouse/bakehouse-service-{model}"
CANARY = "../../components/canary"
# As much of a release as the canary reads.
RELEASE = {
    "apiVersion": "kustomize.config.k8s.io/v1alpha1",
    "kind": "Component",
    "configMapGenerator": [{"name": "release"}],
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
        (folder / name / "settings" / "platform.yaml").write_text(yaml.safe_dump(contract(name, namespace)))
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


def contract(environment: str, namespace: str) -> dict[str, Any]:
    """What one environment stands on."""
    host = f"{environment}.example.com"
    database = {"port": 5432, "name": "x", "host": host, "secret": "x"}
    return {
        "environment": environment,
        "object_store": {
            "region": "eu-central-1",
            "buckets": {"predictions": f"{environment}-predictions", "zenml": "z"},
        },
        "registry": {"host": host, "source_host": host, "repositories": {}},
        "databases": {"mlflow": {"engine": "postgres", **database}, "zenml": {"engine": "mysql", **database}},
        "cluster": {"context": environment, "endpoint": f"https://{host}"},
        "namespaces": {"services": namespace, "pipelines": f"{namespace}-training", "tracking": "mlflow"},
        "identities": {"service_role": ROLE, "training_account": "training-{model}"},
    }


def write(environments: Path, environment: str) -> Path:
    done = CliRunner().invoke(app, ["write", environment, "--into", str(environments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return environments / environment / "settings" / "kustomization.yaml"


def variables(environments: Path, environment: str, kind: str = "Deployment") -> dict[str, Any]:
    """The variables that a model's pods get, as kubectl renders them."""
    model = environments / environment / "orders"
    found = {item["kind"]: item for item in render(model)}
    container = found[kind]["spec"]["template"]["spec"]["containers"][0]
    assert found[kind]["metadata"]["namespace"] == NAMESPACES[environment]
    return {item["name"]: item.get("value") for item in container["env"]}


@pytest.mark.parametrize("environment", NAMESPACES)
def test_a_models_pods_have_the_platform_once_the_command_has_run(environment: str, environments: Path) -> None:
    before = variables(environments, environment)
    write(environments, environment)
    after = variables(environments, environment)
    assert "BAKEHOUSE_PREDICTIONS_URL" not in before
    assert after["BAKEHOUSE_PREDICTIONS_URL"] == f"s3://{environment}-predictions/$(BAKEHOUSE_MODEL)"
    assert after["AWS_ROLE_ARN"] == ROLE.replace("{model}", "$(BAKEHOUSE_MODEL)")
    assert before.items() <= after.items()


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
    found = variables(environments, "production", "Rollout")
    assert {"AWS_ROLE_ARN", "BAKEHOUSE_RELEASE", "BAKEHOUSE_PREDICTIONS_URL"} <= found.keys()


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
