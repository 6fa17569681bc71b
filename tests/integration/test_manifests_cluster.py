"""The environments on a real Kubernetes API: what it takes, what becomes of it, and what its admission refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_equipment import Cluster
from tests.gitops_world import release
from tests.manifests import Layout, Object, from_admitted_registry, only, pod_templates
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("cluster")

POLICIES = ("bakehouse-images", "bakehouse-lineage", "bakehouse-privilege")
Spoil = Callable[[Object], Any]


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Both environments with the same release, and all components in production."""
    made = Layout(tmp_path_factory.mktemp("layout") / "checkout", prefix="manifests")
    made.choose("production", ["platform", "canary", "feature-store"])
    for environment in made.names:
        made.put(environment, from_admitted_registry(release(1)))
    return made


@pytest.fixture(scope="module")
def prepared(cluster: Cluster, layout: Layout) -> Iterator[Cluster]:
    """The cluster after what the how-to has an administrator do once, with a release delivered to each environment."""
    admission = layout.folder / "gitops/admission"
    cluster.kubectl("apply", "--server-side", "--kustomize", admission)
    for environment in layout.names:
        cluster.kubectl("apply", "--server-side", "--kustomize", layout.environments / environment / "namespace")
        key = f"--from-literal=key={'0123456789abcdef' * 4}"
        where = f"--namespace={layout.namespace(environment)}"
        cluster.kubectl("create", "secret", "generic", "bakehouse-masking", where, key)
        cluster.kubectl("apply", "--server-side", "--kustomize", layout.environments / environment / "orders")
    # A policy holds from when the API server has read it, a moment later.
    good = only(layout.model("staging", "orders"), "Deployment")
    for policy, fault in zip(POLICIES, ("tag alone", "no run", "writable root"), strict=True):
        bad = spoilt(good, FAULTS[fault][0])
        eventually(f"{policy} judges", partial(refused_by, policy, cluster, layout, bad))
    yield cluster
    for environment in layout.names:
        cluster.attempt("kubectl", "delete", "namespace", layout.namespace(environment), "--wait=false")
    cluster.kubectl("delete", "--wait=false", "--kustomize", admission)


def refusal(cluster: Cluster, layout: Layout, it: Object, environment: str = "staging") -> str:
    """What the API server says against an object, and nothing where it would take it."""
    where = f"--namespace={layout.namespace(environment)}"
    done = cluster.attempt("kubectl", "create", "--dry-run=server", "--filename=-", where, stdin=json.dumps(it))
    return done.stderr if done.returncode else ""


def refused_by(policy: str, cluster: Cluster, layout: Layout, it: Object) -> bool:
    return policy in refusal(cluster, layout, it)


def spoilt(it: Object, spoil: Spoil) -> Object:
    """A copy of a workload, or of a pod, under another name and with something done to its pod."""
    bad = copy.deepcopy(it)
    bad["metadata"]["name"] = "spoilt"
    bad["metadata"].pop("namespace", None)
    spoil(bad if bad["kind"] == "Pod" else bad["spec"]["template"])
    return bad


def pod(template: Object) -> Object:
    """A pod as a template has it, by hand."""
    return {"apiVersion": "v1", "kind": "Pod"} | copy.deepcopy(template)


def test_the_real_api_takes_every_object_of_every_environment(prepared: Cluster, layout: Layout) -> None:
    for environment in layout.names:
        objects = layout.model(environment, "orders")
        where = f"--namespace={layout.namespace(environment)}"
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        taken = prepared.kubectl(
            "apply", "--server-side", "--dry-run=server", "--filename=-", where, "--output=name", stdin=listed
        )
        assert len(taken.split()) == len(objects)


def test_a_namespace_refuses_what_restricted_pod_security_refuses(prepared: Cluster, layout: Layout) -> None:
    bad = spoilt(
        pod(only(layout.model("staging", "orders"), "Deployment")["spec"]["template"]),
        lambda it: it["spec"].update(hostNetwork=True),
    )
    assert 'violates PodSecurity "restricted:latest": host namespaces' in refusal(prepared, layout, bad)


def container(template: Object) -> Object:
    first: Object = template["spec"]["containers"][0]
    return first


def lineage(template: Object) -> Object:
    written: Object = template["metadata"]["annotations"]
    return written


def image(name: str) -> Spoil:
    return lambda it: container(it).update(image=name)


def security(**settings: Any) -> Spoil:
    return lambda it: container(it)["securityContext"].update(settings)


def pod_settings(**settings: Any) -> Spoil:
    return lambda it: it["spec"].update(settings)


def tokens(*wanted: Object) -> Object:
    """A volume with these tokens of the pod's service account."""
    return {"name": "tokens", "projected": {"sources": [{"serviceAccountToken": it} for it in wanted]}}


DIGEST = "@sha256:" + "0" * 64
FAULTS: dict[str, tuple[Spoil, str]] = {
    "tag alone": (image("registry.bakehouse.internal/it:1"), "Not named by digest: registry.bakehouse.internal/it:1."),
    "short digest": (image("registry.bakehouse.internal/it@sha256:00"), "Not named by digest"),
    "another registry": (
        image(f"docker.io/library/it:1{DIGEST}"),
        f"Not from registry.bakehouse.internal: docker.io/library/it:1{DIGEST}.",
    ),
    "a registry that begins alike": (image(f"registry.bakehouse.internal.example.org/it{DIGEST}"), "Not from"),
    "an init container from elsewhere": (
        lambda it: it["spec"].update(
            initContainers=[
                {"name": "first", "image": f"it{DIGEST}", "securityContext": container(it)["securityContext"]}
            ]
        ),
        f"Not from registry.bakehouse.internal: it{DIGEST}.",
    ),
    "a sidecar that may do more": (
        lambda it: it["spec"].update(
            initContainers=[{"name": "ship", "image": container(it)["image"], "restartPolicy": "Always"}]
        ),
        "ship can write its root file system",
    ),
    "no annotations": (lambda it: it["metadata"].pop("annotations"), "bakehouse/release-digest"),
    "no run": (lambda it: lineage(it).pop("bakehouse/run"), "have wrongly, the annotations bakehouse/run."),
    "a version that is none": (
        lambda it: lineage(it).update({"bakehouse/model-version": "latest"}),
        "have wrongly, the annotations bakehouse/model-version.",
    ),
    "an abbreviated commit": (
        lambda it: lineage(it).update({"bakehouse/code-commit": "abc1234"}),
        "have wrongly, the annotations bakehouse/code-commit.",
    ),
    "writable root": (security(readOnlyRootFilesystem=False), "can write its root file system"),
    # This API server refuses it before any policy is asked; another one leaves it to them.
    "privileged": (security(privileged=True, allowPrivilegeEscalation=True), "privileged"),
    "escalation": (security(allowPrivilegeEscalation=True), "may gain privileges"),
    "kept capabilities": (security(capabilities={}), "keeps capabilities"),
    "an added capability": (security(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}), "keeps capabilities"),
    "root by the pod": (lambda it: it["spec"]["securityContext"].pop("runAsNonRoot"), "may run as root"),
    "root by the container": (security(runAsNonRoot=False), "may run as root"),
    "unconfined": (security(seccompProfile={"type": "Unconfined"}), "has no seccomp profile"),
    "no seccomp": (lambda it: it["spec"]["securityContext"].pop("seccompProfile"), "has no seccomp profile"),
    "the host's network": (pod_settings(hostNetwork=True), "the pod has hostNetwork"),
    "the host's processes": (pod_settings(hostPID=True), "the pod has hostPID"),
    "a token": (pod_settings(automountServiceAccountToken=True), "gets a service account token"),
    "a token by default": (lambda it: it["spec"].pop("automountServiceAccountToken"), "gets a service account token"),
    "a token as a volume": (
        lambda it: it["spec"]["volumes"].append(
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
        ),
        "the volume token is none of",
    ),
    "a token for another than AWS": (
        lambda it: it["spec"]["volumes"].append(
            tokens({"path": "token", "audience": "https://kubernetes.default.svc"})
        ),
        "the volume tokens is none of",
    ),
    "the cluster's token beside one for AWS": (
        lambda it: it["spec"]["volumes"].append(
            tokens({"path": "aws", "audience": "sts.amazonaws.com"}, {"path": "token"})
        ),
        "the volume tokens is none of",
    ),
    "the node's files": (
        lambda it: it["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        "the volume host is none of",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_admission_refuses_a_deployment_and_says_why(fault: str, prepared: Cluster, layout: Layout) -> None:
    """One fault in what is admitted otherwise, and the message names it."""
    spoil, message = FAULTS[fault]
    good = only(layout.model("staging", "orders"), "Deployment")
    assert message in refusal(prepared, layout, spoilt(good, spoil))


@pytest.mark.parametrize("kind", ["Job", "Rollout", "Pod"])
def test_admission_refuses_whatever_makes_pods(kind: str, prepared: Cluster, layout: Layout) -> None:
    """A pod by hand gets in no better than a Deployment, and the smoke Job is no way around."""
    objects = layout.model("production", "orders")
    good = pod(only(objects, "Rollout")["spec"]["template"]) if kind == "Pod" else only(objects, kind)
    assert not refusal(prepared, layout, spoilt(good, lambda _: None))
    for fault in ("tag alone", "another registry", "no run", "writable root", "a token"):
        spoil, message = FAULTS[fault]
        assert message in refusal(prepared, layout, spoilt(good, spoil))


@contextmanager
def running_pod(prepared: Cluster, layout: Layout, name: str) -> Iterator[str]:
    """A pod by hand of what was released to staging, in the namespace that is yielded, until the block ends."""
    namespace = layout.namespace("staging")
    mine = pod(only(layout.model("staging", "orders"), "Deployment")["spec"]["template"])
    mine["metadata"] = mine["metadata"] | {"name": name, "namespace": namespace, "labels": {}}
    mine["spec"]["serviceAccountName"] = "default"
    eventually("the default account", lambda: prepared.get("serviceaccount", "default", namespace))
    prepared.apply(mine)
    try:
        yield namespace
    finally:
        prepared.kubectl("delete", "pod", name, f"--namespace={namespace}")


def test_admission_refuses_to_move_a_running_pod_to_another_image(prepared: Cluster, layout: Layout) -> None:
    """An image is the one thing of a pod's that can be changed while it runs."""
    with running_pod(prepared, layout, "moved") as namespace:
        done = prepared.attempt(
            "kubectl", "set", "image", "pod/moved", "*=registry.bakehouse.internal/it:2", f"--namespace={namespace}"
        )
    assert "Not named by digest: registry.bakehouse.internal/it:2." in done.stderr


def test_no_container_can_be_added_to_a_running_pod_from_elsewhere(
    prepared: Cluster, layout: Layout, tmp_path: Path
) -> None:
    """`kubectl debug` brings its own image, which is no part of a release; nothing else is wrong with it."""
    custom = tmp_path / "custom.json"
    custom.write_text('{"securityContext": {"readOnlyRootFilesystem": true}}')
    chosen = ("--image=busybox", "--profile=restricted", f"--custom={custom}")
    with running_pod(prepared, layout, "debugged") as namespace:
        done = prepared.attempt("kubectl", "debug", "debugged", *chosen, f"--namespace={namespace}")
    assert "Not named by digest: busybox." in done.stderr


def test_without_its_parameters_admission_lets_no_image_in(prepared: Cluster, layout: Layout) -> None:
    """Who takes the list of registries away has not opened the door."""
    good = spoilt(only(layout.model("staging", "orders"), "Deployment"), lambda _: None)
    assert not refusal(prepared, layout, good)
    prepared.kubectl("delete", "configmap", "images", "--namespace=bakehouse-admission")
    try:
        refused = eventually("a refusal", lambda: refusal(prepared, layout, good))
        assert "bakehouse-images" in refused
    finally:
        prepared.kubectl("apply", "--server-side", "--kustomize", layout.folder / "gitops/admission")
        eventually("admission as before", lambda: not refusal(prepared, layout, good))


def test_other_namespaces_are_left_alone(prepared: Cluster, layout: Layout) -> None:
    """Admission judges where the label `bakehouse/environment` is, and nowhere else."""
    bad = spoilt(only(layout.model("staging", "orders"), "Deployment"), image("it:1"))
    with prepared.namespace("manifests-other") as other:
        listed = json.dumps(bad)
        prepared.kubectl("create", "--dry-run=server", "--filename=-", f"--namespace={other}", stdin=listed)


def test_the_api_server_finds_no_fault_with_the_policies_themselves(prepared: Cluster) -> None:
    """It checks their expressions against the types of what they judge."""

    def checked(name: str) -> Object | None:
        return (prepared.get("validatingadmissionpolicy", name) or {}).get("status")

    for name in POLICIES:
        status = eventually(f"{name} is checked", partial(checked, name))
        assert not status.get("typeChecking", {}).get("expressionWarnings")


def test_every_kind_that_makes_pods_here_is_judged(layout: Layout) -> None:
    """A kind that a component brings must be one that the tests above spoil."""
    made = {
        name.split()[0] for environment in layout.names for name in pod_templates(layout.model(environment, "orders"))
    }
    assert made == {"Deployment", "Rollout", "Job"}


def test_an_environments_pods_become_ready_under_restricted_pod_security(prepared: Cluster, layout: Layout) -> None:
    """Applied for real: as many as the autoscaler's least, telling their release, and the smoke Job is run."""
    for environment in layout.names:
        namespace = layout.namespace(environment)
        objects = layout.model(environment, "orders")
        least = only(objects, "HorizontalPodAutoscaler")["spec"]["minReplicas"]

        def ready(namespace: str = namespace, least: int = least) -> list[Object]:
            pods = prepared.list("pods", namespace, "app.kubernetes.io/component=bento")
            up = [it for it in pods if is_ready(it)]
            return up if len(up) == least else []

        for it in eventually(f"{least} ready pods in {namespace}", ready):
            assert it["metadata"]["annotations"]["bakehouse/model-version"] == "1"
        job = only(objects, "Job")["metadata"]["name"]
        prepared.kubectl("wait", "--for=condition=Complete", f"job/{job}", f"--namespace={namespace}", "--timeout=60s")


def is_ready(it: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in it["status"].get("conditions", []))
