"""Canaries of an environment that has chosen them, on the real Argo Rollouts and judged by a real Prometheus.

KWOK acts the pods, so that what they would count is counted here, under the names that the services export.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from typing import Any

import pytest

from tests.cluster_equipment import Cluster
from tests.gitops_world import release
from tests.manifests import Layout, Object, only
from tests.scraped import Exporter, exporter, prometheus
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("cluster")

ENVIRONMENT = "production"
TOLD = {"window": "5s", "interval": "6s", "count": "1"}
REQUESTS_A_SECOND = 200
FIGURES = ("error-rate", "p99", "drift")


@dataclass(frozen=True)
class Conduct:
    """How a pod answers: what share of its requests fails, is slow, and is predicted an anomaly."""

    failing: float = 0.0
    slow: float = 0.0
    anomalies: float = 0.2
    asked: bool = True


STABLE = Conduct()
# A model for each way in which its second version may conduct itself.
SECOND = {
    "good": Conduct(failing=0.001, slow=0.002, anomalies=0.22),
    "failing": Conduct(failing=0.05),
    "slow": Conduct(slow=0.05),
    "drifted": Conduct(anomalies=0.6),
    "silent": Conduct(asked=False),
}


@dataclass(frozen=True)
class Pod:
    """What a pod's series are labelled with."""

    name: str
    model: str
    version: str

    def series(self, namespace: str, seconds: float) -> dict[str, float]:
        """What it has counted after so many seconds."""
        conduct = STABLE if self.version == "1" else SECOND[self.model]
        count = round(seconds * REQUESTS_A_SECOND) if conduct.asked else 0
        labels = f'namespace="{namespace}",pod="{self.name}",model="{self.model}",model_version="{self.version}"'
        quick = count * (1 - conduct.slow)
        return {
            f'bakehouse_requests_total{{{labels},status="200"}}': count * (1 - conduct.failing),
            f'bakehouse_requests_total{{{labels},status="500"}}': count * conduct.failing,
            f'bakehouse_predictions_total{{{labels},outcome="anomaly"}}': count * conduct.anomalies,
            f'bakehouse_predictions_total{{{labels},outcome="normal"}}': count * (1 - conduct.anomalies),
            f'bakehouse_request_duration_seconds_bucket{{{labels},le="0.01"}}': quick,
            f'bakehouse_request_duration_seconds_bucket{{{labels},le="0.25"}}': quick,
            f'bakehouse_request_duration_seconds_bucket{{{labels},le="1.0"}}': count,
            f'bakehouse_request_duration_seconds_bucket{{{labels},le="+Inf"}}': count,
        }


@contextmanager
def counting(cluster: Cluster, namespace: str, target: Exporter) -> Iterator[None]:
    """Let every pod of the namespace count from when it is there."""
    started: dict[Pod, float] = {}
    done = Event()
    columns = (
        r"{.metadata.name} {.metadata.labels.app\.kubernetes\.io/name}"
        r' {.metadata.annotations.bakehouse/model-version}{"\n"}'
    )
    with subprocess.Popen(
        [
            cluster.programs / "kubectl", "get", "pods", f"--namespace={namespace}", "--watch",
            "--selector=app.kubernetes.io/component=bento", f"--output=jsonpath={columns}",
        ],
        env={**os.environ, **cluster.variables},
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:  # fmt: skip

        def follow() -> None:
            assert watch.stdout is not None
            for line in watch.stdout:
                started.setdefault(Pod(*line.split()), time.monotonic())

        def count() -> None:
            while not done.wait(0.2):
                now = time.monotonic()
                for pod, since in list(started.items()):
                    target.tell(pod.series(namespace, now - since))

        threads = [Thread(target=it, daemon=True) for it in (follow, count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            watch.terminate()
            for thread in threads:
                thread.join(10)


def delivered(layout: Layout, version: int) -> list[Object]:
    """What a version of every model renders to, but for the smoke Jobs, which nobody would answer here."""
    objects = []
    for model in SECOND:
        layout.put(ENVIRONMENT, release(version, model=model))
        objects += [it for it in layout.model(ENVIRONMENT, model) if it["kind"] != "Job"]
    return objects


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the second version of every model has begun to replace the first."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (./run.sh programs)")
    folder = tmp_path_factory.mktemp("canaries")
    layout = Layout(folder / "checkout", prefix="canaries")
    with (
        exporter() as target,
        prometheus(program, folder / "prometheus", {ENVIRONMENT: [target.url]}) as measured,
        cluster.namespace(layout.namespace(ENVIRONMENT)) as name,
        counting(cluster, name, target),
    ):
        layout.choose(ENVIRONMENT, ["canary"])
        layout.put(ENVIRONMENT, release(1, model="good"))
        layout.patch(ENVIRONMENT, patched(layout, TOLD | {"prometheus": measured.url}))
        cluster.apply(*delivered(layout, 1))
        for model in SECOND:
            eventually(f"{model}'s first version is out", partial(reached, cluster, name, model, "Healthy"))
        cluster.apply(*delivered(layout, 2))
        yield name


def patched(layout: Layout, told: dict[str, str]) -> str:
    """The patch by which an environment sets arguments of its analysis, as the how-to says."""
    arguments = [it["name"] for it in only(layout.model(ENVIRONMENT, "good"), "AnalysisTemplate")["spec"]["args"]]
    lines = [
        f'      - {{op: replace, path: /spec/args/{arguments.index(name)}/value, value: "{value}"}}'
        for name, value in told.items()
    ]
    return "\n".join(["  - target: {kind: AnalysisTemplate, name: canary}", "    patch: |-", *lines]) + "\n"


def reached(cluster: Cluster, namespace: str, model: str, phase: str) -> Object | None:
    """The model's rollout, once its controller has seen the newest version and it is in that phase."""
    it = cluster.get("rollout", f"{model}-bento", namespace)
    if it is None or it.get("status", {}).get("observedGeneration") != str(it["metadata"]["generation"]):
        return None
    return it if it["status"].get("phase") == phase else None


def verdicts(cluster: Cluster, namespace: str, model: str) -> dict[str, set[str]]:
    """What the analyses found of each figure."""
    found: dict[str, set[str]] = {}
    for run in cluster.list("analysisruns", namespace):
        if run["metadata"]["name"].startswith(f"{model}-"):
            for result in run.get("status", {}).get("metricResults", []):
                found.setdefault(result["name"], set()).add(result["phase"])
    return found


def answering(cluster: Cluster, namespace: str, model: str) -> set[str]:
    """Which versions the pods of a model are that stay."""
    pods = cluster.list("pods", namespace, f"app.kubernetes.io/name={model},app.kubernetes.io/component=bento")
    return {
        it["metadata"]["annotations"]["bakehouse/model-version"]
        for it in pods
        if "deletionTimestamp" not in it["metadata"]
    }


def settled(cluster: Cluster, namespace: str, model: str, versions: set[str]) -> bool:
    return answering(cluster, namespace, model) == versions


def test_a_release_that_answers_as_well_as_the_one_before_is_promoted(cluster: Cluster, namespace: str) -> None:
    """All its figures were in order at each step, and only then do all pods have it."""
    rollout: dict[str, Any] = eventually(
        "the second version has all the pods", partial(reached, cluster, namespace, "good", "Healthy")
    )
    assert rollout["status"]["stableRS"] == rollout["status"]["currentPodHash"]
    assert verdicts(cluster, namespace, "good") == {figure: {"Successful"} for figure in FIGURES}
    eventually("the old pods are gone", partial(settled, cluster, namespace, "good", {"2"}))


@pytest.mark.parametrize(("model", "figure"), [("failing", "error-rate"), ("slow", "p99"), ("drifted", "drift")])
def test_a_release_that_answers_worse_is_taken_back(model: str, figure: str, cluster: Cluster, namespace: str) -> None:
    """By that figure, while the others were in order; and the version before answers everything again."""
    rollout = eventually("the rollout is degraded", partial(reached, cluster, namespace, model, "Degraded"))
    assert rollout["status"]["abort"]
    assert rollout["status"]["stableRS"] != rollout["status"]["currentPodHash"]
    found = verdicts(cluster, namespace, model)
    assert found.pop(figure) == {"Failed"}
    assert set.union(*found.values()) == {"Successful"}
    eventually("the new pods are gone", partial(settled, cluster, namespace, model, {"1"}))


def test_a_release_that_nobody_asks_waits_for_a_person(cluster: Cluster, namespace: str) -> None:
    """Without a figure it is neither promoted nor taken back, and the version before still has its pods."""
    rollout = eventually("the rollout pauses", partial(reached, cluster, namespace, "silent", "Paused"))
    assert [it["reason"] for it in rollout["status"]["pauseConditions"]] == ["InconclusiveAnalysisRun"]
    assert not rollout["status"].get("abort")
    assert verdicts(cluster, namespace, "silent") == {figure: {"Inconclusive"} for figure in FIGURES}
    assert answering(cluster, namespace, "silent") == {"1", "2"}
