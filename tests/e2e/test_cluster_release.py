"""The whole thing on a real cluster: trained, packaged as an image, released by commits, delivered by Argo CD to a node
that runs containers, asked without a pause while the version changes, and taken back by `git revert`.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from bentos.orders.contract import EXAMPLE
from gitops import stores
from gitops.history import champion
from gitops.promotion import commit_release, promote
from gitops.release import Release
from gitops.repository import GitopsRepository
from tests import container_images
from tests.argocd_world import ArgoWorld
from tests.cluster_equipment import Cluster
from tests.container_images import PROGRAMS, Registry
from tests.e2e.conftest import Train
from tests.gitops_world import commit_files
from tests.real_node import PROGRAMS as NODE_PROGRAMS
from tests.real_node import running_node
from tests.waiting import eventually

pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.timeout(1500)]
SECONDS = 300
THREADS = 4
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent (seconds), and the model version that answered it; else what went wrong."""

    sent: float
    version: int | None
    fault: str = ""


@dataclass
class Load:
    """Requests without a pause to one address, each on a connection of its own, from several threads."""

    address: str
    answers: list[Answer] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def faults(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.version is None]

    def settled_on(self, version: int) -> bool:
        """Whether nothing else has answered for a second."""
        recent = [answer.version for answer in self.answers[-200:] if answer.sent > time.monotonic() - 1]
        return len(recent) > THREADS and set(recent) == {version}

    def first(self, version: int, since: float) -> float:
        """Seconds from `since` to the first answer of a version."""
        return next(answer.sent for answer in self.answers if answer.sent > since and answer.version == version) - since

    def run(self) -> None:
        while not self.stopping.wait(PAUSE_SECONDS):
            self.answers.append(ask(self.address))


def ask(address: str) -> Answer:
    """The contract's example, to the Service."""
    sent = time.monotonic()
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request("POST", "/predict", json.dumps(EXAMPLE), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException) as error:
        return Answer(sent, None, repr(error))
    finally:
        connection.close()
    if response.status != 200:
        return Answer(sent, None, f"{response.status}: {body[:200]!r}")
    version = json.loads(body)["model_version"]
    assert str(version) == response.headers["X-Model-Version"]
    return Answer(sent, version)


@contextmanager
def load(address: str) -> Iterator[Load]:
    running = Load(address)
    threads = [threading.Thread(target=running.run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.stopping.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def releases(
    train: Train, batches: Sequence[Path], state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Registry, list[Release]]]:
    """Model versions 1 and 2 as the pipeline released them, their images in a registry. It is down by now; what it
    keeps is to be served at the same address."""
    container_images.require(*PROGRAMS, *NODE_PROGRAMS)
    container_images.share_libraries(state)
    found = []
    with container_images.registry(tmp_path / "registry") as registry:
        settings = container_images.container_settings(tmp_path / "containers", registry.host)
        settings["BAKEHOUSE_IMAGE_BASE"] = container_images.base_image(tmp_path / "base", registry, settings)
        settings["BAKEHOUSE_IMAGE_REGISTRY"] = registry.host
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        for version in (1, 2):
            ended = train(*batches[:version])
            assert ended.code == 0, ended.output
            release = champion(GitopsRepository.open(), "staging", "orders")
            assert release is not None and release.model_version == version
            assert registry.inspect(release.image.reference.replace(f":{version}@", "@"))["Digest"]
            found.append(release)
    yield registry, found
    shutil.rmtree(tmp_path / "containers", ignore_errors=True)


def test_a_promotion_and_its_revert_reach_real_containers_under_load_and_no_request_fails(
    releases: tuple[Registry, list[Release]], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    registry, (first, second) = releases
    port = int(registry.host.rpartition(":")[2])
    with running_node(tmp_path / "cluster") as cluster, container_images.registry(registry.folder, port):
        world = ArgoWorld(cluster, "whole", tmp_path / "world")
        make_small(world)
        namespace = world.namespace("production")
        cluster.kubectl("apply", "-k", world.checkout / "environments" / world.environment("production") / "namespace")
        key = f"--from-literal=key={'0' * 64}"
        cluster.kubectl("create", "secret", "generic", "bakehouse-masking", "-n", namespace, key)
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=world.rendered("production"))

        put_into_production(world, first, tmp_path)
        settled(world, 1)
        address = cluster.get("service", "orders-bento", namespace)
        assert address is not None
        with load(address["spec"]["clusterIP"]) as running:
            eventually("version 1 answers", lambda: running.settled_on(1), SECONDS)
            assert_as_released(cluster, namespace, first)

            promoted = time.monotonic()
            commit = put_into_production(world, second, tmp_path)
            settled(world, 2)
            eventually("version 2 answers alone", lambda: running.settled_on(2), SECONDS)
            assert_as_released(cluster, namespace, second)
            record_property("seconds from promotion to first answer", running.first(2, promoted))

            reverted = time.monotonic()
            world.revert(commit)
            settled(world, 1)
            eventually("version 1 answers alone again", lambda: running.settled_on(1), SECONDS)
            record_property("seconds from revert to first answer", running.first(1, reverted))
        record_property("requests", len(running.answers))
        assert not running.faults, f"{len(running.faults)} of {len(running.answers)}: {running.faults[:5]}"


def make_small(world: ArgoWorld) -> None:
    """Production asks for six processors on several machines; this one has what staging has. Settings are data."""
    folder = "environments/{}/settings/kustomization.yaml"
    staging, production = (world.environment(name) for name in ("staging", "production"))
    text = (world.checkout / folder.format(staging)).read_text().replace(staging, production)
    commit_files(world.repository, {folder.format(production): text}, "Let production be small")


def put_into_production(world: ArgoWorld, release: Release, folder: Path) -> str:
    """Release into staging as the pipeline does, promote as a person does, tell Argo CD; the promotion's commit."""
    assert release.evidence.signature is not None
    signature = stores.report(release.evidence.signature).read_bytes()
    commit_release(world.repository, world.environment("staging"), release, signature)
    done = promote(world.repository, "orders", world.environment("production"), proposals=folder / "proposals")
    assert done.action == "landed"
    world.notify()
    return done.commit


def settled(world: ArgoWorld, version: int) -> None:
    """Argo CD has synced it, everything is healthy, and the smoke Job of this version has succeeded."""
    namespace = world.namespace("production")
    try:
        world.settled("orders", "production", version, SECONDS)
    except AssertionError as error:
        pods = world.cluster.kubectl("describe", "pods", "-n", namespace)
        logs = world.cluster.attempt(
            "kubectl", "logs", "-n", namespace, "--prefix", "-l", "bakehouse/environment"
        ).stdout
        raise AssertionError(f"{error}\n{pods}\n{logs}") from None
    job = world.cluster.get("job", "orders-smoke", namespace)
    assert job is not None
    assert job["metadata"]["annotations"]["bakehouse/model-version"] == str(version)
    assert job["status"]["succeeded"] == 1


def assert_as_released(cluster: Cluster, namespace: str, release: Release) -> None:
    """Where Pod Security is `restricted`, the pods run the pinned image on a read-only root, probed as released."""
    namespace_labels = (cluster.get("namespace", namespace) or {})["metadata"]["labels"]
    assert namespace_labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pods = [pod for pod in cluster.list("pods", namespace, "app.kubernetes.io/component=bento") if is_ready(pod)]
    assert pods
    for pod in pods:
        assert pod["spec"]["nodeName"] == "real"
        container, status = pod["spec"]["containers"][0], pod["status"]["containerStatuses"][0]
        assert container["image"] == release.image.reference
        assert status["imageID"].endswith(release.image.digest)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {it["type"]: it["status"] for it in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
