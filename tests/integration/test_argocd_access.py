"""What an operator may do in a real Argo CD, and what not: roll back, without the right to edit."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
import yaml

from tests.argocd_world import ArgoWorld, argo_world
from tests.cluster_equipment import CHECKOUT, Cluster
from tests.gitops_world import commit_files, release
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("cluster")


@dataclass(frozen=True)
class Operator:
    """Somebody with the role `operator`: in the project of the models, and in that of their delivery. Single sign-on
    gives both by a group; the tokens here are Argo CD's own for each role."""

    argo: ArgoWorld
    releases: str
    delivery: str

    def argocd(self, *command: str) -> subprocess.CompletedProcess[str]:
        """`argocd app …` with the rights in the models' project."""
        server = self.argo.cluster.variables["ARGOCD_SERVER"]
        connection = ("--server", server, "--plaintext", "--auth-token", self.releases)
        return self.argo.cluster.attempt("argocd", "app", *command, *connection)

    def toggle(self, original: str, model: str) -> httpx.Response:
        """Pause or resume a model's delivery, as the web page's button does."""
        parent = self.argo.namespace(original)
        return httpx.post(
            f"http://{self.argo.cluster.variables['ARGOCD_SERVER']}/api/v1/applications/{parent}/resource/actions/v2",
            headers={"Authorization": f"Bearer {self.delivery}"},
            json={
                "namespace": "argocd",
                "resourceName": self.argo.application(model, original),
                "version": "v1alpha1",
                "group": "argoproj.io",
                "kind": "Application",
                "action": "toggle-auto-sync",
            },
            timeout=60,
        )


@pytest.fixture(scope="module")
def argo(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoWorld]:
    """One with a model in staging."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        with argo_world(cluster, "access", tmp_path_factory.mktemp("world")) as world:
            world.release(release(1))
            world.settled("orders", "staging", 1)
            yield world


@pytest.fixture(scope="module")
def operator(argo: ArgoWorld) -> Operator:
    cluster = argo.cluster
    secret = cluster.get("secret", "argocd-initial-admin-secret", "argocd")
    assert secret is not None
    password = base64.b64decode(secret["data"]["password"]).decode()
    server = cluster.variables["ARGOCD_SERVER"]
    cluster.run("argocd", "login", server, "--plaintext", "--username", "admin", "--password", password)

    def token(project: str) -> str:
        return cluster.run("argocd", "proj", "role", "create-token", project, "operator", "--token-only").strip()

    return Operator(argo, token(argo.namespace("staging")), token(f"{argo.namespace('staging')}-delivery"))


@pytest.mark.parametrize(
    "command",
    [
        ("set", "APP", "--sync-policy", "none"),
        ("set", "APP", "--revision", "another"),
        ("set", "APP", "--kustomize-image", "bento=registry.invalid/other"),
        ("patch", "APP", "--patch", '{"spec": {"project": "default"}}', "--type", "merge"),
        ("patch-resource", "APP", "--kind", "Deployment", "--resource-name", "orders-bento", "--patch", "{}"),
        ("delete-resource", "APP", "--kind", "Deployment", "--resource-name", "orders-bento"),
        ("delete", "APP", "--yes"),
        ("create", "another", "--repo", "URL", "--path", "x", "--dest-namespace", "x", "--project", "PROJECT"),
    ],
    ids=lambda command: " ".join(command[:3:2]),
)
def test_an_operator_may_not_edit(argo: ArgoWorld, operator: Operator, command: tuple[str, ...]) -> None:
    app, project = argo.application("orders", "staging"), argo.namespace("staging")
    filled = {"APP": app, "URL": argo.url, "PROJECT": project}
    done = operator.argocd(*(filled.get(word, word) for word in command))
    assert done.returncode != 0
    assert "permission denied" in done.stderr.lower()


def test_an_operator_pauses_rolls_back_and_resumes(argo: ArgoWorld, operator: Operator, new_model: str) -> None:
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    argo.release(release(2, model=new_model, champion=1))
    argo.settled(new_model, "staging", 2)
    app = argo.application(new_model, "staging")
    refused = operator.argocd("rollback", app)
    assert "auto-sync is enabled" in refused.stderr

    assert operator.toggle("staging", new_model).status_code == 200
    done = operator.argocd("rollback", app, "--prune")
    assert done.returncode == 0, done.stderr
    assert argo.running(new_model, "staging") == 1
    argo.release(release(1, model=f"{new_model}-other"))
    argo.settled(f"{new_model}-other", "staging", 1)
    assert argo.running(new_model, "staging") == 1, "the set, or another commit, undid the rollback"

    assert operator.toggle("staging", new_model).status_code == 200
    argo.settled(new_model, "staging", 2)


def test_an_operator_of_one_environment_may_nothing_in_another(
    argo: ArgoWorld, operator: Operator, new_model: str
) -> None:
    argo.release(release(1, model=new_model), "production")
    argo.settled(new_model, "production", 1)
    assert "permission denied" in operator.argocd("sync", argo.application(new_model, "production")).stderr.lower()
    assert operator.toggle("production", new_model).status_code == 403


def test_a_project_refuses_what_no_release_brings(argo: ArgoWorld, new_model: str) -> None:
    """A release folder that somebody filled by hand with a Secret does not get it into the cluster."""
    argo.release(release(1, model=new_model))
    argo.settled(new_model, "staging", 1)
    place = argo.place(new_model, "staging")
    kustomization = argo.repository.at().text(place.kustomization)
    assert kustomization is not None
    secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: taken\n"
    files = {
        f"{place.folder}/secret.yaml": secret,
        place.kustomization: kustomization.replace("resources:\n", "resources:\n  - secret.yaml\n"),
    }
    commit_files(argo.repository, files)
    argo.notify()
    eventually("the sync says why", lambda: "is not permitted in project" in argo.told(new_model, "staging"))
    assert argo.cluster.get("secret", f"{new_model}-taken", argo.namespace("staging")) is None


@pytest.mark.parametrize(
    ("who", "action", "answer"),
    [
        ("bakehouse-platform", "get", "Yes"),
        ("bakehouse-platform", "update", "No"),
        ("bakehouse-platform", "sync", "No"),
        ("anybody", "get", "No"),
    ],
)
def test_beside_the_projects_nobody_has_more_than_reading(cluster: Cluster, who: str, action: str, answer: str) -> None:
    """By Argo CD's own enforcer, over what gitops/argocd/installation sets."""
    policy = CHECKOUT / "gitops/argocd/installation/access.yaml"
    assert "role:admin" not in yaml.safe_load(policy.read_text())["data"]["policy.csv"]
    asked = ("rbac", "can", who, action, "applications", "any/thing", "--policy-file", policy)
    done = cluster.attempt("argocd", "admin", "settings", *asked)
    assert done.stdout.strip() == answer, done.stderr
