"""From a release that fails to the commit that takes it back: the real notifications controller tells a real receiver,
which plays the forge and runs what the workflow `rollback` runs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.environment import kustomization
from gitops.holds import held
from gitops.release import PIN_FILE, Release
from tests.argocd_world import REFRESH, ArgoWorld, argo_world, unpullable
from tests.cluster_equipment import CHECKOUT, Cluster
from tests.gitops_world import commit_files, release
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("cluster")

TOKEN = "a-token-of-the-forge"
STARTS = "/actions/workflows/rollback.yml/dispatches"
CONFIGURATION = CHECKOUT / "gitops/argocd/installation/notifications.yaml"
IMPATIENT = """\
  - target: {kind: Deployment|Rollout, name: bento}
    patch: |-
      - {op: replace, path: /spec/progressDeadlineSeconds, value: 15}
  - target: {kind: AnalysisTemplate, name: canary}
    patch: |-
      - {op: replace, path: /spec/args/3/value, value: PROMETHEUS}
      - {op: replace, path: /spec/args/5/value, value: 1s}
      - {op: replace, path: /spec/args/6/value, value: "1"}
"""
REFUSED = """\
patches:
  - target: {kind: Service}
    patch: |-
      - {op: replace, path: /spec/ports/0/port, value: 70000}
"""
EVERYTHING_FAILS = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, "1"]}]},
}


@dataclass(frozen=True)
class Dispatch:
    """What the forge was sent."""

    path: str
    token: str
    ref: str
    inputs: dict[str, str]


@dataclass
class Forge:
    """Takes what Argo CD sends to GitHub's API, and runs the workflow for it when told to. As Prometheus it says that
    every request fails."""

    url: str = ""
    dispatches: list[Dispatch] = field(default_factory=list)


@contextmanager
def forge() -> Iterator[Forge]:
    """One that listens for as long as the block runs."""
    made = Forge()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, EVERYTHING_FAILS)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.path.endswith(STARTS):
                self._answer(200, EVERYTHING_FAILS)
                return
            body = json.loads(content)
            token = str(self.headers["Authorization"])
            made.dispatches.append(Dispatch(self.path, token, body["ref"], body["inputs"]))
            self._answer(204)

        def _answer(self, code: int, document: object = None) -> None:
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: pytest has no use for it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Failing:
    """An environment whose models fail, each in its way, at the same commit."""

    argo: ArgoWorld
    forge: Forge
    commit: str


@pytest.fixture(scope="module")
def failing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failing]:
    """Version 1 of each model was well; version 2 can't be pulled, is refused by the cluster, and fails as a canary."""
    with pytest.MonkeyPatch.context() as patch, forge() as receiver:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        with (
            notifying(cluster, receiver.url),
            argo_world(cluster, "notified", tmp_path_factory.mktemp("world"), ["production"]) as argo,
        ):
            settings = f"environments/{argo.environment('production')}/settings/kustomization.yaml"
            text = (argo.checkout / settings).read_text() + IMPATIENT.replace("PROMETHEUS", receiver.url)
            commit_files(argo.repository, {settings: text})
            canary = argo.place("canary", "production")
            chosen = kustomization("canary").replace(
                "  - ../settings\n", "  - ../../components/canary\n  - ../settings\n"
            )
            commit_files(argo.repository, {canary.kustomization: chosen})
            models = ("unpullable", "refused", "canary")
            for model in models:
                put(argo, release(1, model=model))
            argo.notify()
            for model in models:
                eventually(f"{model} is healthy", partial(healthy, argo, model, 1))
            limit = {"spec": {"syncPolicy": {"retry": {"limit": 1}}}}
            where = ("--namespace=argocd", "--type=merge", "--patch", json.dumps(limit))
            cluster.kubectl("patch", "application", argo.application("refused", "production"), *where)
            argo.wait_for_refreshes()
            put(argo, release(2, model="refused", champion=1), REFUSED)
            put(argo, release(2, model="canary", champion=1))
            put(argo, unpullable(release(2, model="unpullable", champion=1)))
            argo.notify()
            yield Failing(argo, receiver, argo.notified)


@contextmanager
def notifying(cluster: Cluster, url: str) -> Iterator[None]:
    """Argo CD set as gitops/argocd/installation says, with the forge's address and token."""
    document = yaml.safe_load(CONFIGURATION.read_text().replace("https://api.github.com", url))
    token = {"apiVersion": "v1", "kind": "Secret", "stringData": {"github-token": TOKEN}}
    secret = token | {"metadata": {"name": "argocd-notifications-secret", "namespace": "argocd"}}
    cluster.apply(secret, document)
    try:
        yield
    finally:
        empty = ("--namespace=argocd", "--type=merge", "--patch", '{"data": null}')
        cluster.attempt("kubectl", "patch", "configmap", "argocd-notifications-cm", *empty)


def put(argo: ArgoWorld, document: Release, pin: str = "") -> str:
    """A release in production, with more in its pin than the pipeline writes. The commit."""
    folder = argo.place(document.model, "production").release
    place = argo.place(document.model, "production")
    files: dict[str, str | None] = {f"{folder}/{name}": text for name, text in document.files().items()}
    files[f"{folder}/{PIN_FILE}"] = document.pin() + pin
    if place.kustomization not in argo.repository.at().files:
        files[place.kustomization] = kustomization(document.model)
    return commit_files(argo.repository, files).sha


def healthy(argo: ArgoWorld, model: str, version: int) -> bool:
    """Whether Argo CD has this version of the model in the cluster and calls it synced and healthy."""
    kind = "rollout" if model == "canary" else "deployment"
    workload = argo.cluster.get(kind, f"{model}-bento", argo.namespace("production"))
    state = argo.state(model, "production")
    if workload is None or state is None:
        return False
    status = state.get("status", {})
    whole = (status.get("sync", {}).get("status"), status.get("health", {}).get("status"))
    return whole == ("Synced", "Healthy") and workload["metadata"]["annotations"]["bakehouse/model-version"] == str(
        version
    )


def told(failing: Failing, model: str) -> Dispatch:
    """What the forge was sent of a failing model, once it was. Argo CD looks as often as it is asked to."""
    argo = failing.argo
    app = argo.application(model, "production")

    def sent() -> Dispatch | None:
        argo.cluster.kubectl("annotate", "--overwrite", "application", app, "--namespace=argocd", f"{REFRESH}=normal")
        sought = (model, failing.commit)
        said = failing.forge.dispatches
        return next((it for it in said if (it.inputs["model"], it.inputs["failed"]) == sought), None)

    try:
        return eventually(f"the forge is told of {model} at {failing.commit[:10]}", sent)
    except AssertionError as error:
        raise AssertionError(f"{error}; told: {failing.forge.dispatches}; {argo.state(model, 'production')}") from None


def run_workflow(argo: ArgoWorld, dispatch: Dispatch, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the workflow's own script with the variables that it makes of an event."""
    said = yaml.safe_load((CHECKOUT / ".github/workflows/rollback.yml").read_text())
    declared = said[True]["workflow_dispatch"]["inputs"]  # YAML 1.1 reads `on` as true
    assert dispatch.inputs.keys() <= declared.keys(), "GitHub refuses an input that is not declared"
    assert {name for name, it in declared.items() if it.get("required")} <= dispatch.inputs.keys()
    job = said["jobs"]["rollback"]
    known = {
        "github.actor": "argocd",
        "github.actor_id": "1",
        "github.server_url": argo.cluster.git_url,
        "github.repository": urllib.parse.unquote(dispatch.path.removeprefix("/repos//").removesuffix(STARTS)),
    } | {f"inputs.{name}": value for name, value in dispatch.inputs.items()}

    def value(expression: re.Match[str]) -> str:
        return next((known[it.strip()] for it in expression[1].split("||") if known.get(it.strip())), "")

    variables = {name: re.sub(r"\$\{\{(.*?)\}\}", value, text) for name, text in job["env"].items()}
    (activate := folder / ".venv/bin/activate").parent.mkdir(parents=True, exist_ok=True)
    activate.write_text("")
    for program, does in {"gh": "exit 0", "bakehouse": f'exec "{sys.executable}" -m commands.main "$@"'}.items():
        (folder / program).write_text(f"#!/bin/sh\n{does}\n")
        (folder / program).chmod(0o755)
    own = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "BAKEHOUSE_ROOT": str(argo.checkout),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", job["steps"][-1]["run"]],
        cwd=folder,
        env={**os.environ, **variables, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("model", "reason"),
    [("refused", "the sync failed: .*70000"), ("canary", "the canary was aborted"), ("unpullable", "degraded")],
)
def test_a_release_that_fails_is_taken_back_by_a_commit_with_a_hold(
    model: str, reason: str, failing: Failing, tmp_path: Path
) -> None:
    argo = failing.argo
    dispatch = told(failing, model)
    assert dispatch.token == f"Bearer {TOKEN}"
    assert dispatch.path == f"/repos//{argo.name}{STARTS}"  # an address with an owner gives OWNER/NAME
    if model == "canary":
        rollout = argo.cluster.get("rollout", "canary-bento", argo.namespace("production"))
        assert rollout is not None
        assert 'Metric "error-rate" assessed Failed' in rollout["status"]["message"]
    assert dispatch.ref == "main"
    assert re.search(reason, dispatch.inputs["reason"])
    argo.wait_for_refreshes()
    done = run_workflow(argo, dispatch, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    argo.notify()
    head = argo.repository.commit_at(argo.notified)
    assert (head.trailers["Rolled-Back-From"], head.trailers["Model-Version"]) == ("2", "1")
    hold = held(argo.repository.at(), argo.place(model, "production"))
    assert hold is not None
    assert re.search(reason, hold.reason)
    eventually("version 1 is healthy again", lambda: healthy(argo, model, 1))

    again = run_workflow(argo, dispatch, tmp_path)
    assert again.returncode == 0, again.stderr
    assert argo.repository.fetch() == head.sha, "what was told twice was done twice"


@pytest.mark.parametrize(("minutes", "result"), [(1, "true"), (45, "false")])
def test_what_breaks_long_after_its_sync_is_an_outage_and_takes_nothing_back(
    minutes: int, result: str, cluster: Cluster, tmp_path: Path
) -> None:
    finished = subprocess.run(
        ["date", "--utc", f"--date={minutes} minutes ago", "+%Y-%m-%dT%H:%M:%SZ"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    operation = {"phase": "Succeeded", "finishedAt": finished, "syncResult": {"revision": "f" * 40}}
    application: dict[str, Any] = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "any", "namespace": "argocd"},
        "status": {
            "health": {"status": "Degraded", "lastTransitionTime": finished},
            "operationState": operation,
            "resources": [{"kind": "Deployment"}],
        },
    }
    file = tmp_path / "application.yaml"
    file.write_text(yaml.safe_dump(application))
    asked = ("admin", "notifications", "trigger", "run", "release-degraded", file, "--config-map", CONFIGURATION)
    printed = cluster.run("argocd", *asked, "--secret", ":empty", "--namespace", "argocd")
    assert result in printed
