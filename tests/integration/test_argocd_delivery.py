"""Releases, promotions and reverts as a real Argo CD delivers them to a real Kubernetes API, whose pods KWOK acts.

Each test has a model of its own, and another one where it is tried again. How long things take is measured in
tests/benchmarks/argocd.py; here deadlines are generous, but short of those of a rollout (120 s) and of the smoke Job
(170 s), which must hold up nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitops.commits import Change, Commit
from gitops.promotion import promote
from gitops.release import PIN_FILE, Release
from tests.argocd_world import ArgoWorld, argo_world, unpullable
from tests.cluster_equipment import CHECKOUT, Cluster
from tests.gitops_world import commit_files, release
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("cluster")

PROMISED_SECONDS = 60
BROKEN_SMOKE = """\
patches:
  - target: {kind: Job, name: smoke}
    patch: |-
      - {op: replace, path: /spec/template/spec/containers/0/image, value: registry.invalid/broken}
"""

REFUSED = """\
patches:
  - target: {kind: Service}
    patch: |-
      - {op: replace, path: /spec/ports/0/port, value: 70000}
"""


@pytest.fixture(scope="module")
def argo(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoWorld]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        cluster.kubectl("apply", "--server-side", "-f", CHECKOUT / "gitops/argocd/installation/outlive.yaml")
        with argo_world(cluster, "delivery", tmp_path_factory.mktemp("world")) as world:
            yield world


@pytest.fixture(autouse=True)
def workspace(argo: ArgoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(argo.checkout))


def patched(argo: ArgoWorld, document: Release, patch: str) -> Commit:
    """A release by hand, with more in its pin than the pipeline writes."""
    folder = argo.place(document.model, "staging").release
    files = document.files() | {PIN_FILE: document.pin() + patch}
    commit = commit_files(argo.repository, {f"{folder}/{name}": text for name, text in files.items()})
    argo.notify()
    return commit


def health(argo: ArgoWorld, model: str) -> str:
    return str(argo.status(model, "staging").get("health", {}).get("status", ""))


def smoke_job(argo: ArgoWorld, model: str, version: int) -> dict[str, Any] | None:
    """The smoke Job of this model version, once it is in the cluster."""
    job = argo.cluster.get("job", f"{model}-smoke", argo.namespace("staging"))
    ours = job is not None and job["metadata"]["annotations"]["bakehouse/model-version"] == str(version)
    return job if ours else None


def test_a_model_appears_with_its_first_release_and_leaves_with_its_removal(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    place = argo.place(new_model, "staging")
    argo.repository.commit(lambda head: Change("Remove a model", dict.fromkeys(head.under(place.folder))))
    argo.notify()
    eventually("the application is gone", lambda: argo.state(new_model, "staging") is None)
    chosen = f"app.kubernetes.io/name={new_model}"
    kinds = "deployment,service,configmap,job,networkpolicy,horizontalpodautoscaler,poddisruptionbudget,serviceaccount"
    eventually("all of it is gone", lambda: not argo.cluster.list(kinds, argo.namespace("staging"), chosen))


def test_a_release_is_in_an_environment_only_after_its_promotion(
    argo: ArgoWorld, new_model: str, tmp_path: Path
) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    assert argo.state(new_model, "production") is None
    done = promote(argo.repository, new_model, argo.environment("production"), proposals=tmp_path)
    assert done.action == "landed"
    argo.notify()
    state = argo.settled(new_model, "production", 1)
    assert state["spec"]["project"] == argo.namespace("production")


def test_both_environments_take_what_one_push_brings_each(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model), "production")
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "production", 1)
    argo.settled(new_model, "staging", 1)
    changed = release(2, model=new_model, champion=1)
    files = {
        f"{argo.place(new_model, original).release}/{name}": text
        for original, document in (("staging", changed), ("production", changed))
        for name, text in document.files().items()
    }
    commit_files(argo.repository, files)
    argo.notify()
    argo.settled(new_model, "production", 2)
    argo.settled(new_model, "staging", 2)


def test_a_release_whose_image_cannot_be_pulled_is_undone_by_a_revert(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    commit = argo.release(unpullable(release(2, model=new_model, champion=1)))
    eventually("the rollout has begun", lambda: argo.running(new_model, "staging") == 2)
    eventually("it is not healthy", lambda: health(argo, new_model) == "Progressing")
    argo.revert(commit)
    argo.settled(new_model, "staging", 1, PROMISED_SECONDS)


def test_a_release_that_the_cluster_refuses_is_undone_by_a_revert(argo: ArgoWorld, new_model: str) -> None:
    """A sync that fails is tried again, of what git says by then."""
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    commit = patched(argo, release(2, model=new_model, champion=1), REFUSED)
    eventually("the sync is tried again", lambda: "Retrying attempt" in argo.told(new_model, "staging"))
    argo.revert(commit.sha)
    argo.settled(new_model, "staging", 1, PROMISED_SECONDS)


def test_a_release_whose_smoke_job_never_ends_is_undone_by_a_revert(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    commit = patched(argo, release(2, model=new_model, champion=1), BROKEN_SMOKE)
    job = eventually("the smoke Job waits", lambda: smoke_job(argo, new_model, 2))
    assert 0 < job["spec"]["activeDeadlineSeconds"] <= 360
    assert job["spec"]["backoffLimit"] == 0
    eventually("it counts as not yet healthy", lambda: health(argo, new_model) == "Progressing")
    argo.revert(commit.sha)
    argo.settled(new_model, "staging", 1, PROMISED_SECONDS)
    assert smoke_job(argo, new_model, 1)


def test_a_release_whose_smoke_job_fails_is_degraded_and_undone_by_a_revert(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    commit = patched(argo, release(2, model=new_model, champion=1), BROKEN_SMOKE)
    eventually("the smoke Job waits", lambda: smoke_job(argo, new_model, 2))
    chosen = f"app.kubernetes.io/name={new_model},app.kubernetes.io/component=smoke"

    def waiting() -> list[dict[str, Any]]:
        pods = argo.cluster.list("pod", argo.namespace("staging"), chosen)
        return [pod for pod in pods if pod["status"]["phase"] == "Pending" and pod["status"].get("containerStatuses")]

    (pod,) = eventually("its pod waits", waiting)
    failed = json.dumps({"status": {"phase": "Failed"}})
    where = ("--namespace", argo.namespace("staging"), "--subresource=status", "--type=merge")
    argo.cluster.kubectl("patch", "pod", pod["metadata"]["name"], *where, "--patch", failed)
    eventually("the application is degraded", lambda: health(argo, new_model) == "Degraded")
    argo.revert(commit.sha)
    argo.settled(new_model, "staging", 1, PROMISED_SECONDS)


def test_what_somebody_changes_by_hand_is_put_back(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    where = ("--namespace", argo.namespace("staging"))
    argo.cluster.kubectl("set", "image", f"deployment/{new_model}-bento", "bento=registry.invalid/other", *where)

    def image() -> str:
        deployment = argo.cluster.get("deployment", f"{new_model}-bento", argo.namespace("staging"))
        assert deployment is not None
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])

    eventually("the released image is back", lambda: image() == release(1, model=new_model).image.reference)


def test_another_models_release_leaves_an_application_alone(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    before = argo.state(new_model, "staging")
    argo.release(release(1, model=f"{new_model}-loud"))
    argo.settled(f"{new_model}-loud", "staging", 1)
    after = argo.state(new_model, "staging")
    assert before is not None and after is not None
    assert after["status"]["reconciledAt"] == before["status"]["reconciledAt"]
    assert after["status"]["history"] == before["status"]["history"]


def test_production_outlives_its_application_set_and_belongs_to_the_next(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model), "production")
    argo.settled(new_model, "production", 1)
    name = argo.namespace("production")
    argo.cluster.kubectl("delete", "application", name, "--namespace=argocd")
    argo.cluster.kubectl("delete", "applicationset", name, "--namespace=argocd")
    refused = "outlives its ApplicationSet"
    eventually("the collector was refused", lambda: refused in argo.cluster.log("kube-controller-manager"))
    state = argo.settled(new_model, "production", 1)
    assert "deletionTimestamp" not in state["metadata"]

    argo.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=argo.rendered("production"))
    (new,) = [argo.cluster.get("applicationset", name, "argocd")]
    assert new is not None

    def adopted() -> bool:
        held = argo.state(new_model, "production")
        return held is not None and held["metadata"]["ownerReferences"][0]["uid"] == new["metadata"]["uid"]

    eventually("the application belongs to the new set", adopted)
    argo.release(release(2, model=new_model, champion=1), "production")
    argo.settled(new_model, "production", 2)


def test_argo_cds_own_objects_follow_git_too(argo: ArgoWorld) -> None:
    path = f"environments/{argo.environment('staging')}/argocd/kustomization.yaml"
    text = argo.git("-C", str(argo.repository.cache), "show", f"{argo.repository.fetch()}:{path}")
    commit_files(argo.repository, {path: text.replace("value: [bakehouse-developers]", "value: [the-new-group]")})
    argo.notify()

    def groups() -> list[str]:
        project = argo.cluster.get("appproject", argo.namespace("staging"), "argocd")
        assert project is not None
        return list(project["spec"]["roles"][0]["groups"])

    eventually("the project has the new group", lambda: groups() == ["the-new-group"])
