"""What the platform gets from the outputs of a really applied environment, and that nothing of it is copied by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from terraform.platform.commands import app
from terraform.platform.contract import read_contract
from tests.infra import offline
from tests.infra.platform import Platform
from tests.manifests import render

# One worker applies the platform, for every file that looks at it.
pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.long]


@pytest.fixture(params=offline.ENVIRONMENTS)
def written(request: pytest.FixtureRequest, platforms: dict[str, Platform], tmp_path: Path) -> tuple[Platform, Path]:
    """An environment's folder as the command writes it from the outputs, beside the base as committed."""
    platform = platforms[request.param]
    for root in ("storage", "cluster", "identity"):
        (tmp_path / f"{root}.json").write_text(platform.terraform.run(root, "output", "-json").stdout)
    environments = tmp_path / "environments"
    shutil.copytree(offline.CHECKOUT / "environments" / "base", environments / "base")
    folder = environments / platform.environment
    folder.mkdir()
    done = CliRunner().invoke(
        app, ["write", platform.environment, "--outputs", str(tmp_path), "--into", str(environments)]
    )
    assert done.exit_code == 0, done.output
    return platform, folder


def test_every_name_in_the_files_is_an_output(written: tuple[Platform, Path]) -> None:
    platform, folder = written
    outputs = json.dumps([platform.outputs(root) for root in ("storage", "cluster", "identity")])
    contract = read_contract(folder / "settings" / "platform.yaml")
    assert {*contract.object_store.buckets.values()} == {*platform.outputs("storage")["buckets"].values()}
    for name in _leaves(
        contract.model_dump(include={"object_store": {"buckets"}, "registry": True, "databases": True})
    ):
        assert str(name) in outputs, name


def test_the_stack_is_one_that_zenml_takes(written: tuple[Platform, Path]) -> None:
    from zenml.integrations.kubernetes.flavors.kubernetes_orchestrator_flavor import KubernetesOrchestratorConfig

    platform, folder = written
    stack = yaml.safe_load((folder / "stack.yaml").read_text())
    parts = stack["components"]
    KubernetesOrchestratorConfig(**parts["orchestrator"]["configuration"])
    assert (
        parts["orchestrator"]["configuration"]["kubernetes_namespace"]
        == (platform.outputs("identity")["namespaces"]["pipelines"])
    )
    assert parts["artifact_store"]["configuration"]["path"] == f"s3://{platform.outputs('storage')['buckets']['zenml']}"
    assert parts["container_registry"]["configuration"]["uri"] == platform.outputs("storage")["registry"]["host"]


def test_a_models_own_stack_runs_as_the_role_that_reaches_its_artifacts(written: tuple[Platform, Path]) -> None:
    platform, folder = written
    identity = platform.outputs("identity")
    parts = yaml.safe_load((folder / "settings" / "stacks" / "orders.yaml").read_text())["components"]
    orchestrator, store = parts["orchestrator"]["configuration"], parts["artifact_store"]["configuration"]["path"]
    subject = f"system:serviceaccount:{identity['namespaces']['pipelines']}:{orchestrator['service_account_name']}"
    role = platform.take_role(
        identity["training_role_arns"]["orders"], platform.outputs("cluster")["oidc"]["issuer"], subject
    )
    files = platform.client("s3", **role)
    bucket, _, prefix = store.removeprefix("s3://").partition("/")
    files.put_object(Bucket=bucket, Key=f"{prefix}/train/model/probe", Body=b"there")
    given = {item["name"]: item["value"] for item in orchestrator["pod_settings"]["env"]}
    files.put_object(Bucket=given["BAKEHOUSE_EVIDENCE_URL"].removeprefix("s3://"), Key="orders/probe", Body=b"there")
    bucket, _, prefix = given["BAKEHOUSE_DATA_REMOTE"].removeprefix("s3://").partition("/")
    platform.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/files/md5/00/probe", Body=b"there")
    assert files.get_object(Bucket=bucket, Key=f"{prefix}/files/md5/00/probe")["Body"].read() == b"there"


def test_pods_run_on_the_nodes_that_are_there_for_them(written: tuple[Platform, Path]) -> None:
    platform, folder = written
    groups = platform.recorded.of_type("aws_eks_node_group")
    taken = {(item["key"], item["value"]) for group in groups for item in group.blocks("taint")}
    stack = yaml.safe_load((folder / "stack.yaml").read_text())["components"]["orchestrator"]["configuration"]
    patch = yaml.safe_load((folder / "settings" / "platform" / "kustomization.yaml").read_text())["patches"][0]["patch"]
    pods = [stack["pod_settings"], yaml.safe_load(patch)["spec"]["template"]["spec"]]
    assert {(item["key"], item["value"]) for pod in pods for item in pod["tolerations"]} == taken
    assert [pod.get("nodeSelector") or pod["node_selectors"] for pod in pods] == [
        {"bakehouse/nodes": "training"},
        {"bakehouse/nodes": "serving"},
    ]


def test_a_models_pods_get_the_environments_image_bucket_and_role(written: tuple[Platform, Path]) -> None:
    platform, folder = written
    registry = platform.outputs("storage")["registry"]
    model = folder / "orders"
    (model / "release").mkdir(parents=True)
    digest = "sha256:" + "0" * 64
    (model / "release" / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n  - name: bento\n"
        f"    newName: {registry['source_host']}/bakehouse/orders\n    newTag: '7'\n    digest: {digest}\n"
    )
    (model / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamePrefix: orders-\n"
        "labels:\n  - includeSelectors: true\n    pairs:\n      app.kubernetes.io/name: orders\n"
        "resources:\n  - ../../base\ncomponents:\n  - release\n  - ../settings/platform\n"
    )
    found = {item["kind"]: item for item in render(model)}
    pod = found["Deployment"]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    assert container["image"] == f"{registry['host']}/bakehouse/orders:7@{digest}"
    (shipper,) = pod["spec"]["initContainers"]
    assert shipper["image"] == container["image"]
    variables = {item["name"]: item.get("value") for item in shipper["env"]}
    role = str(variables["AWS_ROLE_ARN"]).replace(
        "$(BAKEHOUSE_MODEL)", pod["metadata"]["labels"]["app.kubernetes.io/name"]
    )
    assert role == platform.outputs("identity")["service_role_arns"]["orders"]
    account = found["ServiceAccount"]["metadata"]["name"]
    namespace = platform.outputs("identity")["namespaces"]["services"]
    issuer = platform.outputs("cluster")["oidc"]["issuer"]
    assert platform.take_role(role, issuer, f"system:serviceaccount:{namespace}:{account}")


def test_outputs_of_another_environment_are_refused(platforms: dict[str, Platform], tmp_path: Path) -> None:
    for root in ("storage", "cluster", "identity"):
        (tmp_path / f"{root}.json").write_text(platforms["staging"].terraform.run(root, "output", "-json").stdout)
    (tmp_path / "environments" / "production").mkdir(parents=True)
    done = CliRunner().invoke(
        app, ["write", "production", "--outputs", str(tmp_path), "--into", str(tmp_path / "environments")]
    )
    assert done.exit_code == 1
    assert "not of production" in str(done.exception)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [value]
