"""How long a real Argo CD takes from a push to what it asks for, by webhook: a release, a rollback, a revert out of
what fails or waits, and how that grows with the applications. Kubernetes' API is real, too; KWOK acts the pods.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gitops import holds
from gitops.environment import Place, kustomization
from gitops.release import PIN_FILE, Release
from gitops.rollback import roll_back
from tests.argocd_world import ArgoWorld, argo_world
from tests.cluster_equipment import Cluster, running_cluster
from tests.gitops_world import commit_files, release

PROMISED_SECONDS = {"release": 2.0, "rollback": 2.0, "revert": 20.0, "one of": 30.0}
"""By how a figure's name begins, for its median."""
SIZES = {10: (10, 1), 50: (10, 5), 200: (20, 10)}
"""Applications: models × environments."""
DEADLINE_SECONDS = 900.0
POLLING = {"ARGOCD_RECONCILIATION_TIMEOUT": "30s", "ARGOCD_RECONCILIATION_JITTER": "10s"}
"""As gitops/argocd/installation/settings.yaml sets."""
MODEL = "orders"
PATCH = "patches: [{{target: {{kind: {}}}, patch: '- {{op: replace, path: {}, value: {}}}'}}]\n"
IMAGE = "/spec/template/spec/containers/0/image"
UNPULLABLE = PATCH.format("Deployment", IMAGE, "registry.invalid/broken")
SMOKE_NEVER_ENDS = PATCH.format("Job", IMAGE, "registry.invalid/broken")
REFUSED = PATCH.format("Service", "/spec/ports/0/port", "70000")


def run(quick: bool) -> dict[str, Any]:
    """Seconds: the median, the least and the most of several, beside what is promised."""
    repetitions, sizes = (3, (10,)) if quick else (9, tuple(SIZES))
    with tempfile.TemporaryDirectory(prefix="bakehouse-bench-") as folder:
        os.environ["BAKEHOUSE_STATE"] = f"{folder}/state"
        try:
            with running_cluster(Path(folder) / "cluster", **POLLING) as cluster:
                _add_nodes(cluster, 15)
                one = _one_application(cluster, Path(folder), repetitions)
                many = {
                    f"{size} applications": _many_applications(cluster, Path(folder), size, repetitions)
                    for size in sizes
                }
        except pytest.skip.Exception as missing:
            return {"skipped": str(missing)}
    medians = {name: figures["median"] for name, figures in one.items()}
    medians |= {f"one of {name}": figures["one of them alone"]["median"] for name, figures in many.items()}
    slower = [
        name
        for name, median in medians.items()
        if any(median > limit for start, limit in PROMISED_SECONDS.items() if name.startswith(start))
    ]
    return {
        "repetitions": repetitions,
        "promised_seconds": PROMISED_SECONDS,
        "slower_than_promised": slower,
        **one,
        **many,
    }


def _one_application(cluster: Cluster, folder: Path, repetitions: int) -> dict[str, Any]:
    """One model in one environment, and its ways in and out."""
    with argo_world(cluster, "one", folder / "one") as world, watching(cluster) as seen:
        versions = iter(range(1, 1_000))
        standing = next(versions)
        _release(world, seen, standing, None)
        releases, rollbacks = [], []
        for _ in range(repetitions):
            releases.append(_release(world, seen, next(versions), standing))
            world.wait_for_refreshes()
            place = world.place(MODEL, "staging")
            done = roll_back(world.repository, place)
            rollbacks.append(_until_synced(world, seen, done.commit, [world.application(MODEL, "staging")]))
            assert done.release is not None
            standing = done.release.model_version
            holds.lift(world.repository, place)
        reverts = {
            f"revert of a release {what}": _summary(
                [_revert(world, seen, next(versions), standing, patch, begun) for _ in range(max(3, repetitions // 3))]
            )
            for what, (patch, begun) in FAILURES.items()
        }
    return {"release to synced": _summary(releases), "rollback to synced": _summary(rollbacks), **reverts}


@dataclass(frozen=True)
class Seen:
    """An application as it was last seen."""

    sync: str
    revision: str
    health: str
    phase: str
    message: str


FAILURES: dict[str, tuple[str, Callable[[Seen], bool]]] = {
    "whose image can't be pulled": (UNPULLABLE, lambda seen: seen.health == "Progressing"),
    "whose smoke Job never ends": (SMOKE_NEVER_ENDS, lambda seen: seen.health == "Progressing"),
    "that the cluster refuses": (REFUSED, lambda seen: "etrying" in seen.message),
}


class Watch:
    """Every application in the cluster, as Kubernetes' watch tells."""

    def __init__(self) -> None:
        self.applications: dict[str, Seen] = {}
        self._changed = threading.Condition()

    def take(self, event: dict[str, Any]) -> None:
        """One event of the watch."""
        name, status = event["object"]["metadata"]["name"], event["object"].get("status", {})
        sync, operation = status.get("sync", {}), status.get("operationState", {})
        seen = Seen(
            sync.get("status", ""),
            sync.get("revision", ""),
            status.get("health", {}).get("status", ""),
            operation.get("phase", ""),
            operation.get("message", ""),
        )
        with self._changed:
            self.applications[name] = seen
            self._changed.notify_all()

    def until(self, condition: Callable[[dict[str, Seen]], bool]) -> float:
        """Wait for it; the moment when it was so. Raises after `DEADLINE_SECONDS`."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self.applications), DEADLINE_SECONDS):
                raise TimeoutError(f"not within {DEADLINE_SECONDS:g} s: {self.applications}")
            return time.perf_counter()


@contextmanager
def watching(cluster: Cluster) -> Iterator[Watch]:
    """A watch for as long as the block runs."""
    path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications?watch=true"
    watch = Watch()
    with subprocess.Popen(
        [cluster.programs / "kubectl", "get", "--raw", path],
        env={**os.environ, **cluster.variables},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        lines = process.stdout
        assert lines is not None

        def read() -> None:
            for line in lines:
                watch.take(json.loads(line))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield watch
        finally:
            process.terminate()
            thread.join()


def _release(world: ArgoWorld, seen: Watch, version: int, champion: int | None) -> float:
    """Release a model version; the seconds from the push until it is synced."""
    world.wait_for_refreshes()
    files = _files(world, release(version, model=MODEL, champion=champion))
    commit = commit_files(world.repository, files, f"Release {MODEL} {version}")
    return _until_synced(world, seen, commit.sha, [world.application(MODEL, "staging")])


def _revert(
    world: ArgoWorld, seen: Watch, version: int, champion: int, patch: str, begun: Callable[[Seen], bool]
) -> float:
    """Seconds from the push of a revert to the old release synced and healthy."""
    name = world.application(MODEL, "staging")
    document = release(version, model=MODEL, champion=champion)
    commit = commit_files(world.repository, _files(world, document, patch), f"Release {MODEL} {version}")
    world.notify()
    seen.until(lambda now: now[name].revision == commit.sha and begun(now[name]))
    world.wait_for_refreshes()
    reverted = world.push_revert(commit.sha)
    pushed = time.perf_counter()
    world.notify()
    return seen.until(lambda now: _settled(now[name], reverted) and now[name].health == "Healthy") - pushed


def _until_synced(world: ArgoWorld, seen: Watch, commit: str, names: Sequence[str]) -> float:
    """Seconds from now, when the commit has been pushed, until these applications are synced to it."""
    pushed = time.perf_counter()
    world.notify()
    return seen.until(lambda now: all(name in now and _settled(now[name], commit) for name in names)) - pushed


def _settled(application: Seen, commit: str) -> bool:
    return (application.sync, application.revision, application.phase) == ("Synced", commit, "Succeeded")


def _files(
    world: ArgoWorld, document: Release, patch: str = "", environment: str | None = None
) -> dict[str, str | None]:
    """The files of a release in an environment, by default staging."""
    place = Place(environment or world.environment("staging"), document.model)
    files: dict[str, str | None] = {f"{place.release}/{name}": text for name, text in document.files().items()}
    files[f"{place.release}/{PIN_FILE}"] = document.pin() + patch
    return files | {place.kustomization: kustomization(document.model)}


def _many_applications(cluster: Cluster, folder: Path, size: int, repetitions: int) -> dict[str, Any]:
    """Models × environments: all released by one push, all changed by another, and one among them."""
    models, environments = SIZES[size]
    names = [f"model-{number:02}" for number in range(models)]
    copies = [str(number) for number in range(environments)]
    with argo_world(cluster, f"many{size}", folder / f"many{size}", copies) as world, watching(cluster) as seen:
        mine = [f"{model}-{world.environment(copy)}" for model in names for copy in copies]

        def everywhere(version: int) -> float:
            files: dict[str, str | None] = {}
            for model in names:
                document = release(version, model=model, champion=version - 1 or None)
                for copy in copies:
                    files |= _files(world, document, environment=world.environment(copy))
            world.wait_for_refreshes()
            commit = commit_files(world.repository, files, f"Release {size} times")
            return _until_synced(world, seen, commit.sha, mine)

        def alone(version: int) -> float:
            document = release(version, model=names[0], champion=version - 1)
            files = _files(world, document, environment=world.environment(copies[0]))
            world.wait_for_refreshes()
            commit = commit_files(world.repository, files, "Release one")
            return _until_synced(world, seen, commit.sha, mine[:1])

        first, second = everywhere(1), everywhere(2)
        each = [alone(version) for version in range(3, 3 + repetitions)]
        return {
            "released for the first time": round(first, 2),
            "changed by one push": round(second, 2),
            "one of them alone": _summary(each),
            "load_of_the_machine": round(os.getloadavg()[0], 1),
        }


def _add_nodes(cluster: Cluster, count: int) -> None:
    """Room for the pods of 200 applications, which KWOK acts as well."""
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    for number in range(count):
        labels = {"kubernetes.io/hostname": f"more-{number}", "kubernetes.io/os": "linux"}
        metadata = {"name": f"more-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": labels}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        cluster.apply(node)
        status = json.dumps({"status": {"allocatable": room, "capacity": room}})
        where = ("--subresource=status", "--type=merge", "--patch", status)
        cluster.kubectl("patch", "node", f"more-{number}", *where)


def _summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(seconds), 2),
        "least": round(min(seconds), 2),
        "most": round(max(seconds), 2),
    }
