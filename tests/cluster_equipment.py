"""A real Kubernetes API with a real Argo CD and Argo Rollouts on loopback, for tests; pods are acted by KWOK.

The equipment is no part of the product: it is the folder that BAKEHOUSE_TEST_CLUSTER names, else `shared/cluster`
beside the checkout. A test that takes the fixture `cluster` uses namespaces of its own and carries
`@pytest.mark.xdist_group("cluster")`, so that all of them share one in one worker.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
VARIABLE = "BAKEHOUSE_TEST_CLUSTER"
DEADLINE_SECONDS = 120


@dataclass(frozen=True)
class Cluster:
    """A running one. `variables` are what its programs want in their environment (KUBECONFIG, GIT_URL, ARGOCD_SERVER,
    ARGOCD_OPTS, ARGOCD_APPSET_WEBHOOK, PATH); `programs` is the folder with kubectl, argocd and kustomize."""

    folder: Path
    programs: Path
    variables: Mapping[str, str]

    @property
    def kubeconfig(self) -> Path:
        """The cluster administrator's."""
        return Path(self.variables["KUBECONFIG"])

    @property
    def git_url(self) -> str:
        """Where `git_folder` is served, pushes included: `<git_url>/<name>.git`."""
        return self.variables["GIT_URL"]

    @property
    def git_folder(self) -> Path:
        """Put bare repositories here, as `<name>.git`."""
        return self.folder / "git"

    def log(self, component: str) -> str:
        """What a component has printed, such as `argocd-application-controller`."""
        return (self.folder / "log" / component).read_text(errors="replace")

    def attempt(self, *command: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, whatever comes of it."""
        return subprocess.run(
            [self.programs / command[0], *command[1:]],
            input=stdin,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def run(self, *command: str | Path, stdin: str | None = None) -> str:
        """Run one of its programs and return what it printed. Fails the test with the program's own words."""
        done = self.attempt(*command, stdin=stdin)
        if done.returncode:
            raise AssertionError(f"{shlex.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """`kubectl` as the administrator."""
        return self.run("kubectl", *arguments, stdin=stdin)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects server-side, as Argo CD does."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed))

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """One object, or None where there is none."""
        where = ["--namespace", namespace] if namespace else []
        printed = self.kubectl("get", kind, name, *where, "--ignore-not-found", "--output=json")
        return dict(json.loads(printed)) if printed else None

    def list(self, kind: str, namespace: str, labels: str = "") -> list[dict[str, Any]]:
        """The objects of a kind in a namespace, chosen by labels."""
        printed = self.kubectl("get", kind, "--namespace", namespace, "--selector", labels, "--output=json")
        return list(json.loads(printed)["items"])

    @contextmanager
    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """A namespace for as long as the block runs."""
        metadata = {"name": name, "labels": dict(labels or {})}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            yield name
        finally:
            self.attempt("kubectl", "delete", "namespace", name, "--wait=false")


@contextmanager
def running_cluster(folder: Path, **settings: str) -> Iterator[Cluster]:
    """A cluster of its own in `folder` for as long as the block runs, with Argo CD's own variables as `settings`.

    Skips the test where the equipment is not there.
    """
    programs = equipment()
    with held([programs / "up", folder, "cat"], folder.with_suffix(".log"), "The cluster", {**os.environ, **settings}):
        yield Cluster(folder, programs, exported(folder / "env.sh"))


@contextmanager
def held(
    command: Sequence[str | Path], log: Path, what: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A command that ends in `cat`, from when that answers to the block's end. Fails with what was written to `log`.

    It runs as long as its `cat` does: until this process closes the pipe, or is gone in whatever way.
    """
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write("up\n")
            process.stdin.flush()
            if not process.stdout.readline():
                raise AssertionError(f"{what} did not come up:\n{log.read_text()}")
            yield process
        finally:
            process.stdin.close()
            process.wait(DEADLINE_SECONDS)


def equipment() -> Path:
    """The folder of its programs. Skips the test where none is named and none is in the usual place; one that is there
    and can't make its programs is broken, so the test fails."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else CHECKOUT.parent / "shared" / "cluster"
    if not named and not folder.is_dir():
        pytest.skip(f"the test cluster ({VARIABLE}, or shared/cluster beside the checkout)")
    done = subprocess.run([folder / "ensure"], capture_output=True, text=True, timeout=500, check=False)
    if done.returncode:
        raise AssertionError(f"{folder / 'ensure'} can't make the programs of the test cluster: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def exported(file: Path) -> dict[str, str]:
    """The variables that a running cluster's `env.sh` sets."""
    words = shlex.split(file.read_text())
    return dict(word.split("=", 1) for word in words if word != "export")
