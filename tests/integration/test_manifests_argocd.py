"""What environments render to, in the hands of a real Argo CD: what of a release has to outlive it there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from gitops.commits import Change
from gitops.environment import kustomization
from gitops.release import Release
from tests.argocd_world import ArgoWorld, argo_world, unpullable
from tests.cluster_equipment import Cluster
from tests.gitops_world import commit_files, release
from tests.manifests import CANARY, Object
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("cluster")

# A sync of two waves waits for its health, which it has none of where no metrics server is.
NO_AUTOSCALER = """\
  - target: {kind: HorizontalPodAutoscaler, name: bento}
    patch: |-
      $patch: delete
      apiVersion: autoscaling/v2
      kind: HorizontalPodAutoscaler
      metadata: {name: bento}
"""


@pytest.fixture(scope="module")
def argo(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoWorld]:
    """Two environments, of which production has chosen the canary, with nothing released yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        with argo_world(cluster, "manifests-argocd", tmp_path_factory.mktemp("world")) as world:
            name = f"environments/{world.environment('production')}/settings/kustomization.yaml"
            settings = world.checkout / name
            settings.write_text(settings.read_text().replace(CANARY, CANARY.removeprefix("# ")))
            world.git("-C", str(world.checkout), "commit", "--quiet", "--all", "--message=Choose the canary")
            world.git("-C", str(world.checkout), "push", "--quiet", world.url, "HEAD:main")
            yield world


@pytest.fixture(autouse=True)
def workspace(argo: ArgoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(argo.checkout))


def reached(world: ArgoWorld, model: str, original: str, version: int, health: str) -> bool:
    """Whether Argo CD has this version of the model in the cluster, and calls its application that."""
    kind = "deployment" if original == "staging" else "rollout"
    workload = world.cluster.get(kind, f"{model}-bento", world.namespace(original))
    if workload is None or workload["metadata"]["annotations"]["bakehouse/model-version"] != str(version):
        return False
    status = world.status(model, original)
    return (status.get("sync", {}).get("status"), status.get("health", {}).get("status")) == ("Synced", health)


def pods_of(world: ArgoWorld, model: str, original: str, version: int) -> list[Object]:
    """The service's pods of a model version that stay."""
    chosen = f"app.kubernetes.io/name={model},app.kubernetes.io/component=bento"
    pods = world.cluster.list("pods", world.namespace(original), chosen)
    return [
        it
        for it in pods
        if it["metadata"]["annotations"]["bakehouse/model-version"] == str(version)
        and "deletionTimestamp" not in it["metadata"]
    ]


def mounted_document(world: ArgoWorld, original: str, pod: Object) -> Object | None:
    """The release document that a pod mounts, which a pod in its place would want, too."""
    (name,) = (it["configMap"]["name"] for it in pod["spec"]["volumes"] if "configMap" in it)
    return world.cluster.get("configmap", name, world.namespace(original))


@pytest.mark.parametrize("original", ["staging", "production"])
def test_the_release_before_keeps_its_document_until_its_pods_are_gone(
    original: str, argo: ArgoWorld, new_model: str
) -> None:
    """They answer on while the new image can't be pulled, or is judged as a canary; one that takes the place of another
    finds what it mounts, and a revert at that time is no worse than at any other."""
    argo.release(release(1, model=new_model), original)
    eventually("the first release is out", partial(reached, argo, new_model, original, 1, "Healthy"))
    new = release(2, model=new_model, champion=1)
    commit = argo.release(unpullable(new) if original == "staging" else new, original)
    eventually("the second release is on its way", partial(reached, argo, new_model, original, 2, "Progressing"))
    answering = pods_of(argo, new_model, original, 1)
    assert answering
    for pod in answering:
        assert mounted_document(argo, original, pod)
    argo.revert(commit)
    eventually("the first release is whole again", partial(reached, argo, new_model, original, 1, "Healthy"))


def test_a_model_that_leaves_takes_all_its_documents_along(argo: ArgoWorld, new_model: str) -> None:
    """Also those of releases long gone, which no commit names any more."""
    for version in (1, 2):
        argo.release(release(version, model=new_model, champion=version - 1 or None))
        argo.settled(new_model, "staging", version)
    chosen, namespace = f"app.kubernetes.io/name={new_model}", argo.namespace("staging")
    assert len(argo.cluster.list("configmaps", namespace, chosen)) == 2
    place = argo.place(new_model, "staging")
    argo.repository.commit(lambda head: Change("Remove it", dict.fromkeys(head.under(place.folder))))
    argo.notify()
    eventually("all of them are gone", lambda: not argo.cluster.list("configmaps", namespace, chosen))


def turn_to_canaries(world: ArgoWorld, document: Release) -> None:
    """One commit by which one model in staging is delivered by canaries, and has this release."""
    place = world.place(document.model, "staging")
    files = {f"{place.release}/{name}": text for name, text in document.files().items()}
    chosen = kustomization(document.model).replace(
        "  - ../settings\n", "  - ../../components/canary\n  - ../settings\n"
    )
    commit_files(world.repository, files | {place.kustomization: chosen + NO_AUTOSCALER})
    world.notify()


def test_a_model_that_turns_to_canaries_gives_its_deployment_up(argo: ArgoWorld, new_model: str) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    turn_to_canaries(argo, release(1, model=new_model))
    namespace = argo.namespace("staging")
    eventually(
        "the deployment is gone", lambda: argo.cluster.get("deployment", f"{new_model}-bento", namespace) is None
    )
    rollout = argo.cluster.get("rollout", f"{new_model}-bento", namespace)
    assert rollout is not None
    assert rollout["status"]["phase"] == "Healthy"


def test_a_deployment_answers_until_the_rollout_in_its_place_does(argo: ArgoWorld, new_model: str) -> None:
    """Which here it never does, as its image can't be pulled."""
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    turn_to_canaries(argo, unpullable(release(2, model=new_model, champion=1)))
    eventually("Argo CD waits", lambda: "waiting for healthy state" in argo.told(new_model, "staging"))
    deployment = argo.cluster.get("deployment", f"{new_model}-bento", argo.namespace("staging"))
    assert deployment is not None
    assert deployment["status"]["readyReplicas"] >= 1
