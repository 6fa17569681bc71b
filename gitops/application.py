"""What Argo CD says of one model's application, and the cluster of its pods: asked of the programs `kubectl` and
`argocd`, whichever of them gets an answer. Only reads, and knows nothing of git.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bakehouse.errors import DeliveryError
from gitops.environment import Place
from gitops.release import RELEASE_FILE, sha256

TIMEOUT_SECONDS = 60.0
_NAMESPACE = "argocd"
_IN_CLUSTER = "https://kubernetes.default.svc"
_WORKLOADS = ("Deployment", "Rollout")
_VOLUME = "release"


class NoAnswerError(DeliveryError):
    """A program that is missing, has no access or did not understand; the message says which and why."""


@dataclass(frozen=True)
class Application:
    """`automated` says whether Argo CD follows git by itself; `revision` is that of the last sync, which ended with
    `phase` (Succeeded, Failed, Error, Running or Terminating; empty where there was none) and `message`."""

    name: str
    automated: bool
    phase: str
    revision: str
    message: str


@dataclass(frozen=True)
class Workload:
    """A Deployment or a Rollout in the cluster: the image of its pods, and the digest of the release document that they
    mount, empty where they mount none."""

    name: str
    image: str
    document: str


@dataclass(frozen=True)
class Seen:
    """What was answered. `workloads` is None where nobody could look into the cluster, and `reason` then says why."""

    application: Application
    workloads: tuple[Workload, ...] | None
    reason: str = ""


class _Program(Protocol):
    def applications(self, selector: str) -> list[dict[str, Any]]: ...
    def live(self, application: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None: ...


def look(place: Place) -> Seen:
    """The model's application in an environment, and its pods.

    Raises `DeliveryError` with what each program said where none answers, and where there is not one such application.
    """
    selector = f"bakehouse/environment={place.environment},bakehouse/model={place.model}"
    failures: list[str] = []
    for program in (_Kubectl(), _Argocd()):
        try:
            found = program.applications(selector)
        except NoAnswerError as failure:
            failures.append(str(failure))
            continue
        if len(found) == 1:
            return _seen(program, found[0])
        failures.append(f"{type(program).__name__.strip('_').lower()}: {len(found) or 'no'} applications of {place}")
    raise DeliveryError(f"Argo CD can't be asked what runs of {place}: {'; '.join(failures)}.")


def _seen(program: _Program, found: Mapping[str, Any]) -> Seen:
    try:
        application = _application(found)
    except (LookupError, TypeError, AttributeError) as error:
        raise DeliveryError(f"Argo CD's answer can't be read: {error!r}.") from error
    try:
        return Seen(application, tuple(_workloads(program, found)))
    except NoAnswerError as failure:
        return Seen(application, None, str(failure))


def _application(found: Mapping[str, Any]) -> Application:
    automated = (found["spec"].get("syncPolicy") or {}).get("automated")
    operation = found.get("status", {}).get("operationState") or {}
    return Application(
        name=found["metadata"]["name"],
        automated=automated is not None and automated.get("enabled") is not False,
        phase=operation.get("phase", ""),
        revision=(operation.get("syncResult") or {}).get("revision", ""),
        message=operation.get("message", ""),
    )


def _workloads(program: _Program, application: Mapping[str, Any]) -> list[Workload]:
    kept = application.get("status", {}).get("resources") or []
    found = []
    for resource in kept:
        if resource["kind"] in _WORKLOADS:
            live = program.live(application, resource["kind"], resource["name"])
            if live is not None:
                found.append(_workload(program, application, live))
    return found


def _workload(program: _Program, application: Mapping[str, Any], live: Mapping[str, Any]) -> Workload:
    kind, name = live["kind"], live["metadata"]["name"]
    try:
        pods = live["spec"]["template"]["spec"]
        image = pods["containers"][0]["image"]
        mounted = [it["configMap"]["name"] for it in pods.get("volumes", []) if it["name"] == _VOLUME]
    except (LookupError, TypeError) as error:
        raise NoAnswerError(f"{kind} {name} can't be read: {error!r}") from error
    document = ""
    if mounted:
        kept = program.live(application, "ConfigMap", mounted[0]) or {}
        document = sha256(kept.get("data", {}).get(RELEASE_FILE, "").encode())
    return Workload(f"{kind} {name}", image, document)


class _Kubectl:
    """Asks the cluster that Argo CD itself runs in, by whatever KUBECONFIG names."""

    def applications(self, selector: str) -> list[dict[str, Any]]:
        asked = ("get", "applications.argoproj.io", "--namespace", _NAMESPACE, "--selector", selector)
        return list(_asked("kubectl", *asked, "--output=json", "--request-timeout=20s")["items"])

    def live(self, application: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None:
        destination = application["spec"]["destination"]
        if (
            destination.get("server", _IN_CLUSTER) != _IN_CLUSTER
            or destination.get("name", "in-cluster") != "in-cluster"
        ):
            raise NoAnswerError("kubectl asks Argo CD's cluster, and the model runs in another")
        asked = ("get", kind, name, "--namespace", destination["namespace"], "--ignore-not-found")
        return _asked("kubectl", *asked, "--output=json", "--request-timeout=20s", empty={}) or None


class _Argocd:
    """Asks Argo CD's server, which sees every cluster that it delivers to."""

    def applications(self, selector: str) -> list[dict[str, Any]]:
        return list(_asked("argocd", "app", "list", "--selector", selector, "--output", "json", empty=[]))

    def live(self, application: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None:
        asked = ("app", "get-resource", application["metadata"]["name"], "--kind", kind, "--resource-name", name)
        return dict(_asked("argocd", *asked, "--output", "json"))


def _asked(program: str, *arguments: str, empty: Any = None) -> Any:
    """What a program printed as JSON, or `empty` where it printed nothing. Raises `NoAnswerError`."""
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise NoAnswerError(f"{program} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NoAnswerError(f"{program} did not answer within {TIMEOUT_SECONDS:.0f} s") from error
    if done.returncode != 0:
        said = _last_line(done.stderr) or f"nothing, and ended with {done.returncode}"
        raise NoAnswerError(f"{program} says: {said}")
    if not done.stdout.strip() and empty is not None:
        return empty
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise NoAnswerError(f"{program} printed what is not JSON") from error


def _last_line(text: str) -> str:
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""
