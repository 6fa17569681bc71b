"""The whole emergency on the real Argo CD: a bad promotion, an operator who undoes it there, and git that follows."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakehouse.errors import GateError, ReleaseError
from gitops.adoption import adopt
from gitops.application import look
from gitops.history import releases
from gitops.promotion import promote
from tests.argocd_world import ArgoWorld, argo_world
from tests.cluster_equipment import Cluster
from tests.conftest import Asked
from tests.gitops_world import release
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("cluster")

MODEL = "orders"


@pytest.fixture(scope="module")
def argo(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoWorld]:
    """One whose production has version 1, and then a promotion that should not have been."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        with argo_world(cluster, "emergency", tmp_path_factory.mktemp("world")) as world:
            for version in (1, 2):
                world.release(release(version, model=MODEL, champion=version - 1 or None))
                promote(world.repository, MODEL, world.environment("production"), proposals=world.folder)
                world.wait_for_refreshes()
                world.notify()
                world.settled(MODEL, "production", version)
            yield world


@pytest.fixture
def operator(argo: ArgoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody at a terminal where kubectl and argocd have access."""
    for name, value in argo.cluster.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(argo.checkout))
    monkeypatch.setenv("BAKEHOUSE_GITOPS_URL", argo.url)
    secret = argo.cluster.get("secret", "argocd-initial-admin-secret", "argocd")
    assert secret is not None
    password = base64.b64decode(secret["data"]["password"]).decode()
    login = ("--plaintext", "--username", "admin", "--password", password)
    argo.cluster.run("argocd", "login", argo.cluster.variables["ARGOCD_SERVER"], *login)


def running(argo: ArgoWorld) -> dict[str, Any]:
    """What a restart would change: the pods by their uid, and the Deployment's generation."""
    namespace, chosen = argo.namespace("production"), f"app.kubernetes.io/name={MODEL}"
    pods = argo.cluster.list("pod", namespace, f"{chosen},app.kubernetes.io/component=bento")
    deployment = argo.cluster.get("deployment", f"{MODEL}-bento", namespace)
    assert deployment is not None
    uids = sorted(pod["metadata"]["uid"] for pod in pods)
    return {"pods": uids, "uid": deployment["metadata"]["uid"], "generation": deployment["metadata"]["generation"]}


def rolled_out(argo: ArgoWorld) -> bool:
    """Whether only pods of what the Deployment says are left, and as many as the autoscaler wants at least."""
    namespace, name = argo.namespace("production"), f"{MODEL}-bento"
    deployment = argo.cluster.get("deployment", name, namespace)
    autoscaler = argo.cluster.get("horizontalpodautoscaler", name, namespace)
    assert deployment is not None and autoscaler is not None
    status = deployment["status"]
    if status.get("observedGeneration") != deployment["metadata"]["generation"]:
        return False
    counts = {
        deployment["spec"]["replicas"],
        *(status.get(it) for it in ("updatedReplicas", "readyReplicas", "replicas")),
    }
    return counts == {autoscaler["spec"]["minReplicas"]}


@pytest.mark.usefixtures("operator")
def test_an_emergency_ends_with_git_and_the_cluster_agreed_and_nothing_restarted(
    argo: ArgoWorld, bakehouse: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, app = argo.place(MODEL, "production"), argo.application(MODEL, "production")
    with pytest.raises(ReleaseError, match="nothing to adopt") as raised:
        adopt(argo.repository, place, releases(argo.repository, place.environment, MODEL)[1].commit.sha)
    assert f"argocd app set {app} --sync-policy none" in raised.value.hint

    argo.cluster.run("argocd", "app", "set", app, "--sync-policy", "none")
    argo.cluster.run("argocd", "app", "rollback", app, "--prune")
    eventually("version 1 runs", lambda: argo.running(MODEL, "production") == 1 and rolled_out(argo))
    argo.release(release(1, model="cakes"), "production")
    argo.settled("cakes", "production", 1)
    assert argo.running(MODEL, "production") == 1, "a commit elsewhere undid the operator's rollback"
    before = running(argo)

    done = bakehouse.json("adopt", MODEL, "--env", place.environment, "--reason", "it answers nonsense")
    assert (done["action"], done["model_version"], done["away_from"]) == ("adopted", 1, 2)
    assert done["not_compared"] is None
    argo.notify()
    resume = shlex.split(done["resume"])
    assert resume[:4] == ["argocd", "app", "set", app]
    argo.cluster.run(*resume)
    argo.settled(MODEL, "production", 1)
    assert running(argo) == before
    with pytest.raises(GateError, match="it answers nonsense"):
        promote(argo.repository, MODEL, place.environment, proposals=tmp_path)

    # The same line resumes what was paused by the button, which switches automation off and leaves it there.
    off = json.dumps({"spec": {"syncPolicy": {"automated": {"enabled": False}}}})
    argo.cluster.kubectl("patch", "application", app, "--namespace=argocd", "--type=merge", "--patch", off)
    assert not look(place).application.automated
    argo.cluster.run(*resume)
    assert look(place).application.automated

    # Where kubectl is not at hand, Argo CD's own program is asked, and answers the same.
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "argocd").symlink_to(argo.cluster.programs / "argocd")
    (programs / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(programs))
    again = adopt(argo.repository, place, done["revision"])
    assert (again.action, again.application, again.paused, again.not_compared) == ("already there", app, False, "")
