"""`bakehouse image` with real programs: buildah builds, a registry on loopback takes the push, skopeo looks at it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bentos.common.identity import Identity
from bentos.common.packaging import BuiltBento
from gitops.promotion import commit_release
from gitops.release import Image
from gitops.repository import GitopsRepository
from tests import container_images, gitops_world
from tests.container_images import CHECKOUT, PROGRAMS, Registry
from tests.served import orders_bento

VERSION = 7
PACKAGES_LIMIT = 350_000_000


@dataclass(frozen=True)
class Workshop:
    """A registry with a base image, and a state folder whose image store has a bento of orders."""

    registry: Registry
    settings: Mapping[str, str]
    state: Path
    bento: BuiltBento

    def image(self, *arguments: str, **changed: str) -> dict[str, Any]:
        """What `bakehouse image` answers as JSON."""
        done = self.run(*arguments, "--json", **changed)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def run(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "commands.main", "image", *arguments],
            cwd=CHECKOUT,
            env={**os.environ, **self.settings, **changed},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    container_images.require(*PROGRAMS)
    folder = tmp_path_factory.mktemp("workshop")
    state = folder / "state"
    (state / "images").mkdir(parents=True)
    container_images.share_libraries(state)
    with pytest.MonkeyPatch.context() as patch, container_images.registry(folder / "registry") as registry:
        patch.setenv("BAKEHOUSE_STATE", str(state))
        settings = container_images.container_settings(folder / "containers", registry.host)
        settings["BAKEHOUSE_IMAGE_BASE"] = container_images.base_image(folder / "base", registry, settings)
        bento, _ = orders_bento(folder / "bento", VERSION)
        shutil.copy(bento.archive, state / "images" / f"{bento.digest.removeprefix('sha256:')}.bento")
        yield Workshop(registry, {**settings, "BAKEHOUSE_STATE": str(state)}, state, bento)
    shutil.rmtree(folder / "containers", ignore_errors=True)


@pytest.fixture(scope="module")
def pushed(workshop: Workshop) -> dict[str, Any]:
    """The answer to building and pushing it."""
    return workshop.image(f"orders@{VERSION}", "--push", workshop.registry.host)


def test_the_pushed_image_has_the_digest_that_was_printed(workshop: Workshop, pushed: dict[str, Any]) -> None:
    assert pushed["image"] == f"{workshop.registry.host}/bakehouse/orders:{VERSION}"
    assert workshop.registry.inspect(pushed["image"])["Digest"] == pushed["digest"]


@pytest.fixture(scope="module")
def root(workshop: Workshop, pushed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's own layers, the base's left out, as files."""
    folder = tmp_path_factory.mktemp("unpacked")
    reference = f"docker://{pushed['image'].rpartition(':')[0]}@{pushed['digest']}"
    copied = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", reference, f"dir:{folder / 'image'}"]
    subprocess.run(copied, check=True, capture_output=True)
    found = folder / "root"
    found.mkdir()
    for layer in json.loads((folder / "image" / "manifest.json").read_text())["layers"][1:]:
        blob = folder / "image" / layer["digest"].removeprefix("sha256:")
        subprocess.run(["tar", "--extract", "--gzip", "--file", blob, "--directory", found], check=True)
    return found


def test_its_labels_say_which_model_data_code_and_base_it_is_made_of(
    workshop: Workshop, pushed: dict[str, Any]
) -> None:
    labels = workshop.registry.inspect(pushed["image"])["Labels"]
    identity = Identity.of(workshop.bento.archive.parent / "unpacked" / "src")
    base = workshop.settings["BAKEHOUSE_IMAGE_BASE"].split("@")
    assert {name: labels[f"bakehouse/{name}"] for name in ("model", "model-version", "model-digest")} == {
        "model": "orders",
        "model-version": str(VERSION),
        "model-digest": workshop.bento.model_digest,
    }
    assert labels["bakehouse/data-version"] == identity.data_version
    assert labels["bakehouse/bento-digest"] == workshop.bento.digest
    assert labels["bakehouse/code-commit"] == labels["org.opencontainers.image.revision"] == identity.code_commit
    assert labels["org.opencontainers.image.created"] == identity.built_at.isoformat()
    assert [labels[f"org.opencontainers.image.base.{name}"] for name in ("name", "digest")] == base


def test_it_runs_as_the_user_of_the_deployment_and_holds_no_certificate_or_address_of_this_machine(
    workshop: Workshop, pushed: dict[str, Any], root: Path
) -> None:
    configuration = workshop.registry.configuration(pushed["image"])["config"]
    assert configuration["User"] == "1034:1034"
    assert not list(root.glob("home/bentoml/packages/bin"))
    for path in [*root.glob("home/bentoml/packages/*.dist-info/*"), *root.glob("home/bentoml/bento/*")]:
        assert not path.is_file() or str(CHECKOUT).encode() not in path.read_bytes(), path


def test_its_libraries_are_those_of_the_bill_of_materials_and_stay_small(workshop: Workshop, root: Path) -> None:
    packages = root / "home/bentoml/packages"
    installed = {tuple(path.name.removesuffix(".dist-info").split("-")) for path in packages.glob("*.dist-info")}
    bill = json.loads(workshop.bento.sbom.read_text())["components"]
    listed = {(it["name"], it["version"]) for it in bill if it["type"] == "library"}
    assert {(normal(name), version) for name, version in installed} == {(normal(n), v) for n, v in listed}
    assert sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) < PACKAGES_LIMIT


def test_what_ships_the_logs_runs_on_the_libraries_of_the_image_alone(root: Path, tmp_path: Path) -> None:
    settings = {
        "PYTHONPATH": str(root / "home/bentoml/packages"),
        "BAKEHOUSE_PREDICTION_LOG": str(tmp_path),
        "BAKEHOUSE_PREDICTIONS_URL": "s3://production-predictions/orders",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    process = subprocess.Popen(
        [sys.executable, "-S", "-m", "bentos.common.ship"],  # -S: without the checkout's own libraries
        cwd=root / "home/bentoml/bento/src",
        env=settings,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Shipping" in process.stderr.readline()
    process.terminate()
    assert process.wait(60) == 0, process.stderr.read()


def test_another_machine_that_has_nothing_of_it_gets_the_same_digest_without_pushing(
    workshop: Workshop, pushed: dict[str, Any], tmp_path: Path
) -> None:
    """Other storage, other state, libraries fetched and compiled anew."""
    other = container_images.container_settings(tmp_path / "containers", workshop.registry.host)
    shutil.copytree(workshop.state / "images", tmp_path / "state" / "images")
    again = workshop.image(
        f"orders@{VERSION}",
        **other,
        BAKEHOUSE_STATE=str(tmp_path / "state"),
        BAKEHOUSE_IMAGE_REGISTRY=workshop.registry.host,
    )
    assert (again["digest"], again["pushed"]) == (pushed["digest"], False)


def test_the_check_fails_where_an_environment_names_another_image_of_the_version(
    workshop: Workshop, pushed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEHOUSE_STATE", str(workshop.state))
    other = gitops_world.release(VERSION).model_copy(update={"model_digest": workshop.bento.model_digest})
    image = Image(name=f"{workshop.registry.host}/bakehouse/orders", tag=str(VERSION), digest=pushed["digest"])
    commit_release(GitopsRepository.open(), "staging", other.model_copy(update={"image": image}))
    commit_release(GitopsRepository.open(), "production", other)
    refused = workshop.run(f"orders@{VERSION}", "--push", workshop.registry.host, "--check")
    assert refused.returncode == 1
    assert "staging has released this image" in refused.stdout
    assert "production names another digest" in refused.stderr


def test_a_bento_whose_graph_is_not_the_released_one_is_refused(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(workshop.state / "images", tmp_path / "state" / "images")
    container_images.share_libraries(tmp_path / "state")
    monkeypatch.setenv("BAKEHOUSE_STATE", str(tmp_path / "state"))
    commit_release(GitopsRepository.open(), "staging", gitops_world.release(VERSION))
    refused = workshop.run(f"orders@{VERSION}", BAKEHOUSE_STATE=str(tmp_path / "state"))
    assert refused.returncode == 1
    assert f"the bento here holds {workshop.bento.model_digest}" in refused.stderr


def test_the_next_version_adds_less_than_a_megabyte_to_the_registry(
    workshop: Workshop, pushed: dict[str, Any], tmp_path: Path
) -> None:
    bento, _ = orders_bento(tmp_path, VERSION + 1)
    shutil.copy(bento.archive, workshop.state / "images" / f"{bento.digest.removeprefix('sha256:')}.bento")
    after = workshop.image(f"orders@{VERSION + 1}", "--push", workshop.registry.host)
    layers = [workshop.registry.inspect(answer["image"])["Layers"] for answer in (pushed, after)]
    assert layers[0][:-1] == layers[1][:-1]
    assert workshop.registry.sizes(after["image"])[-1] < 1_000_000


@pytest.mark.parametrize(
    ("arguments", "changed", "said"),
    [
        (["orders@9"], {}, "There is no bento of orders 9"),
        ([f"orders@{VERSION}"], {"BAKEHOUSE_IMAGE_BASE": "python:3.11"}, "which names no digest"),
        (
            [f"orders@{VERSION}", "--engine", "kaniko"],
            {},
            "There is no engine kaniko",
        ),
    ],
)
def test_what_can_not_be_built_is_said_in_one_line(
    workshop: Workshop, arguments: list[str], changed: dict[str, str], said: str
) -> None:
    refused = workshop.run(*arguments, **changed)
    assert refused.returncode == 1
    assert said in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


def normal(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")
