"""An environment or two of a test's own on the real Argo CD: the GitOps repository that it reads, and the objects that
`environments/<environment>/argocd` renders to.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gitops.environment import Place
from gitops.promotion import commit_release
from gitops.release import Release
from gitops.repository import GitopsRepository
from tests.cluster_equipment import CHECKOUT, DEADLINE_SECONDS, Cluster
from tests.gitops_world import NO_CONDITIONS
from tests.waiting import eventually

ORIGINALS = ("staging", "production")
REFRESH = "argocd.argoproj.io/refresh"


@dataclass
class ArgoWorld:
    """The checkout's environments under names that begin with `name`, so that several worlds share one cluster. Where
    a method takes `original`, that is the environment's name in the checkout; one of `originals` that the checkout has
    not is another copy of its first."""

    cluster: Cluster
    name: str
    folder: Path
    originals: Sequence[str] = ORIGINALS
    notified: str = field(init=False)

    def __post_init__(self) -> None:
        for original in self.originals:
            self._copy(original)
        for shared in ("environments/base", "environments/components", "gitops/argocd"):
            if (CHECKOUT / shared).is_dir():
                shutil.copytree(CHECKOUT / shared, self.checkout / shared)
        self.git("init", "--quiet", "--initial-branch=main", str(self.checkout))
        self.git("-C", str(self.checkout), "add", ".")
        self.git("-C", str(self.checkout), "commit", "--quiet", "--message=Start")
        bare = self.cluster.git_folder / f"{self.name}.git"
        self.git("clone", "--quiet", "--bare", str(self.checkout), str(bare))
        self.repository = GitopsRepository(self.url, "main", self.folder / "cache.git")
        self.notified = self.repository.fetch()

    @property
    def url(self) -> str:
        """Where Argo CD reads the repository."""
        return f"{self.cluster.git_url}/{self.name}.git"

    @property
    def checkout(self) -> Path:
        """What an operator has on disk: `environments/` and `gitops/argocd/`."""
        return self.folder / "checkout"

    def environment(self, original: str) -> str:
        """What the environment is called here."""
        return f"{self.name}-{original}"

    def namespace(self, original: str) -> str:
        """Where the environment's models run; its AppProject and its ApplicationSet have the same name."""
        return f"bakehouse-{self.environment(original)}"

    def application(self, model: str, original: str) -> str:
        """The name of one model's application."""
        return f"{model}-{self.environment(original)}"

    def place(self, model: str, original: str) -> Place:
        """One model in one environment."""
        return Place(self.environment(original), model)

    def rendered(self, original: str) -> str:
        """What an operator applies for the environment."""
        return self.cluster.kubectl("kustomize", self.checkout / "environments" / self.environment(original) / "argocd")

    def release(self, document: Release, original: str = "staging") -> str:
        """Commit a release as the pipeline does, and tell Argo CD. The commit."""
        self.wait_for_refreshes()
        commit = commit_release(self.repository, self.environment(original), document)
        self.notify()
        return commit

    def revert(self, commit: str) -> None:
        """`git revert` by a person, and tell Argo CD."""
        self.wait_for_refreshes()
        self.push_revert(commit)
        self.notify()

    def push_revert(self, commit: str) -> str:
        """`git revert` by a person. The commit."""
        clone = self.folder / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        self.git("clone", "--quiet", self.url, str(clone))
        self.git("-C", str(clone), "revert", "--no-edit", commit)
        self.git("-C", str(clone), "push", "--quiet")
        return self.git("-C", str(clone), "rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        """Plain git, as a person types it."""
        identity = ["-c", "user.name=Grace Hopper", "-c", "user.email=grace@example.org"]
        done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    def notify(self) -> None:
        """Send what GitHub sends after a push, to both that listen: Argo CD's server and the ApplicationSets'."""
        before, self.notified = self.notified, self.repository.fetch()
        changed = self.git("-C", str(self.repository.cache), "diff", "--name-only", before, self.notified).split()
        body = {
            "ref": "refs/heads/main",
            "before": before,
            "after": self.notified,
            "commits": [{"id": self.notified, "added": [], "removed": [], "modified": changed}],
            "repository": {"html_url": self.url, "default_branch": "main"},
        }
        server = f"http://{self.cluster.variables['ARGOCD_SERVER']}/api/webhook"
        for listener in (server, self.cluster.variables["ARGOCD_APPSET_WEBHOOK"]):
            headers = {"X-GitHub-Event": "push", "Content-Type": "application/json"}
            request = urllib.request.Request(listener, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
                assert answer.status == 200

    def wait_for_refreshes(self) -> None:
        """Until Argo CD acted on every webhook before. Of two that come at once it forgets the second, and polls."""

        def pending() -> list[str]:
            listed = self.cluster.list("application", "argocd", "app.kubernetes.io/part-of=bakehouse")
            return [it["metadata"]["name"] for it in listed if REFRESH in it["metadata"].get("annotations", {})]

        eventually("Argo CD has looked at the commit before", lambda: not pending())

    def state(self, model: str, original: str) -> dict[str, Any] | None:
        """The application as Argo CD has it."""
        return self.cluster.get("application", self.application(model, original), "argocd")

    def status(self, model: str, original: str) -> dict[str, Any]:
        """What Argo CD says of the application; nothing where there is none yet, or it has not been looked at."""
        found: dict[str, Any] = (self.state(model, original) or {}).get("status", {})
        return found

    def told(self, model: str, original: str) -> str:
        """What Argo CD says of the sync that it is at; nothing where it has not begun one."""
        return str(self.status(model, original).get("operationState", {}).get("message", ""))

    def settled(self, model: str, original: str, version: int, seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """The application once it is synced and healthy, and the Deployment in the cluster is this model version's."""

        def there() -> dict[str, Any] | None:
            state = self.state(model, original)
            if state is None or self.running(model, original) != version:
                return None
            status = state.get("status", {})
            whole = (status.get("sync", {}).get("status"), status.get("health", {}).get("status"))
            pending = REFRESH in state["metadata"]["annotations"]
            return state if whole == ("Synced", "Healthy") and not pending else None

        what = f"{model} {version} synced and healthy in {original}"
        try:
            return eventually(what, there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(self.status(model, original))}") from None

    def running(self, model: str, original: str) -> int | None:
        """The model version that the Deployment in the cluster names; None where there is none."""
        deployment = self.cluster.get("deployment", f"{model}-bento", self.namespace(original))
        return int(deployment["metadata"]["annotations"]["bakehouse/model-version"]) if deployment else None

    def _copy(self, original: str) -> None:
        """The environment's folder under its name here."""
        source = original if original in ORIGINALS else ORIGINALS[0]
        target = self.checkout / "environments" / self.environment(original)
        shutil.copytree(CHECKOUT / "environments" / source, target)
        for path in target.rglob("*.yaml"):
            text = path.read_text().replace(f"bakehouse-{source}", self.namespace(original))
            label = "bakehouse/environment: "
            path.write_text(text.replace(f"{label}{source}", f"{label}{self.environment(original)}"))
        promotion = target / "settings" / "promotion.yaml"
        if promotion.exists():
            promotion.write_text(NO_CONDITIONS.replace(ORIGINALS[0], self.environment(ORIGINALS[0])))
        parameters = target / "argocd" / "parameters.yaml"
        document = yaml.safe_load(parameters.read_text())
        document["data"] |= {"environment": self.environment(original), "repository": self.url}
        parameters.write_text(yaml.safe_dump(document))


@contextmanager
def argo_world(cluster: Cluster, name: str, folder: Path, originals: Sequence[str] = ORIGINALS) -> Iterator[ArgoWorld]:
    """A world that Argo CD delivers for as long as the block runs, with nothing released in it yet. Where there was one
    of that name before, as for a test that is tried again, its name ends in a number."""
    earlier = len(list(cluster.git_folder.glob(f"{name}*.git")))
    world = ArgoWorld(cluster, f"{name}-{earlier + 1}" if earlier else name, folder, originals)
    for original in originals:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace(original)}})
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=world.rendered(original))
    try:
        yield world
    finally:
        for original in originals:
            chosen = f"--selector=bakehouse/environment={world.environment(original)}"
            parent = world.namespace(original)
            cluster.attempt("kubectl", "delete", "-n", "argocd", "application", parent)
            cluster.attempt("kubectl", "delete", "-n", "argocd", "applicationset", parent)
            cluster.attempt("kubectl", "delete", "--wait=false", "-n", "argocd", "applications", chosen)
            cluster.attempt("kubectl", "delete", "--wait=false", "namespace", world.namespace(original))
        for original in originals:
            projects = (world.namespace(original), f"{world.namespace(original)}-delivery")
            cluster.attempt("kubectl", "delete", "-n", "argocd", "appproject", *projects)


def unpullable(document: Release) -> Release:
    """The same release, of an image that no node can pull."""
    image = document.image.model_copy(update={"name": f"bakehouse/broken-{document.model}"})
    return document.model_copy(update={"image": image})
