"""Without AWS the same contract holds: written by hand, it makes the same files, and they reach an S3 of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from typer.testing import CliRunner

from bakehouse.errors import ConfigurationError
from terraform.platform.commands import app
from tests.infra import offline

GUIDE = offline.CHECKOUT / "docs" / "how-to" / "terraform.md"
KEYS = {"AWS_ACCESS_KEY_ID": "minio", "AWS_SECRET_ACCESS_KEY": "minio123"}


@pytest.fixture(scope="module")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 that is not AWS's: reached at an address of its own, by path."""
    with offline.aws("111111111111", tmp_path_factory.mktemp("store") / "moto.log") as endpoint:
        yield endpoint


@pytest.fixture
def environments(tmp_path: Path, object_store: str) -> Path:
    """The guide's own example as the contract of staging, with the address of the object store put in."""
    example = GUIDE.read_text().partition("```yaml\n")[2].partition("```")[0]
    contract = yaml.safe_load(example)
    contract["object_store"]["endpoint"] = object_store
    settings = tmp_path / "environments" / "staging" / "settings"
    settings.mkdir(parents=True)
    (settings / "platform.yaml").write_text(yaml.safe_dump(contract))
    return tmp_path / "environments"


def write(environments: Path) -> Path:
    done = CliRunner().invoke(app, ["write", "staging", "--into", str(environments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return environments / "staging"


def test_the_contract_itself_is_left_as_somebody_wrote_it(environments: Path) -> None:
    contract = environments / "staging" / "settings" / "platform.yaml"
    before = contract.read_text()
    folder = write(environments)
    assert contract.read_text() == before
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.yaml")} == {
        "settings/platform.yaml",
        "settings/kustomization.yaml",
        "settings/platform/kustomization.yaml",
        "settings/stacks/orders.yaml",
        "stack.yaml",
    }


def test_the_stacks_artifact_store_reaches_it(environments: Path, object_store: str) -> None:
    """What ZenML would open the bucket with, opens it: `s3fs` with the configuration of the stack."""
    store = yaml.safe_load((write(environments) / "stack.yaml").read_text())["components"]["artifact_store"]
    boto3.client(
        "s3",
        endpoint_url=object_store,
        region_name="us-east-1",
        aws_access_key_id="minio",
        aws_secret_access_key="minio123",
    ).create_bucket(Bucket="zenml")
    configuration = store["configuration"]
    program = (
        "import json, sys, s3fs\n"
        "configuration = json.loads(sys.argv[1])\n"
        "path = configuration.pop('path')\n"
        "files = s3fs.S3FileSystem(**configuration)\n"
        "files.pipe(f'{path}/orders/probe', b'there')\n"
        "print(files.cat(f'{path}/orders/probe').decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(configuration)],
        env={"PATH": os.environ["PATH"], **KEYS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "there", done.stderr


def test_a_pods_variables_reach_it(environments: Path, object_store: str) -> None:
    """The variables that the Component gives what ships the logs are all that boto3 needs beside the keys, which come
    from a secret."""
    component = yaml.safe_load((write(environments) / "settings" / "platform" / "kustomization.yaml").read_text())
    patch = yaml.safe_load(component["patches"][0]["patch"])
    (shipper,) = patch["spec"]["template"]["spec"]["initContainers"]
    variables = {item["name"]: item["value"] for item in shipper["env"] if "value" in item}
    secret = {item["name"] for item in shipper["env"] if "secretKeyRef" in item.get("valueFrom", {})}
    assert secret == set(KEYS)
    assert "AWS_ROLE_ARN" not in variables, "there is no AWS to take a role of"
    assert "images" not in component, "releases name the very registry that pods pull from"
    program = "import boto3; s3 = boto3.client('s3'); s3.create_bucket(Bucket='probe'); print(s3.meta.endpoint_url)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], **KEYS, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == object_store, done.stderr


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"object_store": {"region": "x", "endpoint": "minio", "buckets": {}}}, "object_store.endpoint"),
        ({"object_store": {"region": "x", "buckets": {"models": "m"}}}, "object_store.buckets"),
        ({"registry": {"host": "x"}}, "registry.source_host"),
        ({"password": "hunter2"}, "password"),
        (
            {
                "identities": {
                    "service_role": "arn:aws:iam::111111111111:role/bakehouse-staging-service-{model}",
                    "training_account": "training-{model}",
                    "audience": "https://kubernetes.default.svc",
                }
            },
            "identities.audience: Input should be 'sts.amazonaws.com'",
        ),
    ],
)
def test_a_contract_that_is_none_is_refused_by_its_field(
    change: dict[str, object], field: str, environments: Path
) -> None:
    path = environments / "staging" / "settings" / "platform.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(ConfigurationError, match=field):
        CliRunner().invoke(app, ["write", "staging", "--into", str(environments)], catch_exceptions=False)


def test_an_environment_that_there_is_not_is_named(environments: Path) -> None:
    with pytest.raises(ConfigurationError, match="no environment stagin"):
        CliRunner().invoke(app, ["write", "stagin", "--into", str(environments)], catch_exceptions=False)
