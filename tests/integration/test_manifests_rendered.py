"""What an environment renders to, whatever components it has chosen: valid, confined, and telling its lineage."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from bentos.common.endpoint import BODY_SECONDS, DRAIN_SECONDS, READY
from tests.gitops_world import release
from tests.manifests import CANARY, Layout, Object, containers, only, pod_templates, render

OLDEST_KUBERNETES = "1.30"
COMPONENTS = {
    "as shipped": [],
    "canary": ["canary"],
    "all": ["platform", "canary", "feature-store"],
    "platform": ["platform"],
}
CUSTOM = {"Rollout", "AnalysisTemplate"}
MODELS = ("orders", "cakes")
RENDERED = [f"{environment}: {chosen}" for environment in ("production", "staging") for chosen in COMPONENTS]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[Object]]]:
    """Every object by environment and components, and by model."""
    found: dict[str, dict[str, list[Object]]] = {}
    for chosen, components in COMPONENTS.items():
        layout = Layout(tmp_path_factory.mktemp("layout") / "checkout")
        for environment in layout.names:
            if components:
                layout.choose(environment, components)
            for model in MODELS:
                layout.put(environment, release(3, model=model))
            found[f"{environment}: {chosen}"] = {model: layout.model(environment, model) for model in MODELS}
    assert sorted(found) == sorted(RENDERED)
    return found


@pytest.fixture(params=RENDERED)
def objects(request: pytest.FixtureRequest, rendered: dict[str, dict[str, list[Object]]]) -> list[Object]:
    """What one environment with one choice of components renders for one model."""
    return rendered[request.param]["orders"]


def workload(objects: list[Object]) -> Object:
    """The Deployment, or the Rollout that stands in its place."""
    (found,) = (it for it in objects if it["kind"] in {"Deployment", "Rollout"})
    return found


def audiences(volume: Object) -> set[str]:
    """Whom the tokens in a volume of tokens are for."""
    return {source["serviceAccountToken"]["audience"] for source in volume["projected"]["sources"]}


def test_every_object_is_valid_by_the_schemas_of_kubernetes(
    rendered: dict[str, dict[str, list[Object]]], checkout: Path
) -> None:
    """By the oldest version that has all they use, and by the newest there is a schema for; no unknown field either."""
    everything = [it for models in rendered.values() for it in models["orders"]]
    for folder in [*sorted((checkout / "environments").glob("*/namespace")), checkout / "gitops/admission"]:
        everything += render(folder)
    checked = {it["kind"] for it in everything} - CUSTOM
    assert checked >= {"Deployment", "Job", "NetworkPolicy", "Namespace", "ValidatingAdmissionPolicy"}
    for it in map(json.loads, {json.dumps(it, sort_keys=True, default=str) for it in everything}):
        if it["kind"] not in CUSTOM:
            for version in (OLDEST_KUBERNETES, kubernetes_validate.latest_version()):
                kubernetes_validate.validate(it, version, strict=True)


def test_the_schemas_would_refuse_a_wrong_field(objects: list[Object]) -> None:
    service = only(objects, "Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service | {"spec": service["spec"] | {"port": 80}}, OLDEST_KUBERNETES, strict=True)


def test_every_object_and_every_pod_tells_its_release(objects: list[Object]) -> None:
    """The annotations of the release's pin, all of them, wherever a component came in."""
    told = yaml.safe_load(release(3).pin())["commonAnnotations"]
    told["bakehouse/release-digest"] = only(objects, "ConfigMap")["metadata"]["annotations"]["bakehouse/release-digest"]
    bearers = [it["metadata"] for it in objects] + [it["metadata"] for it in pod_templates(objects).values()]
    for metadata in bearers:
        assert told.items() <= metadata["annotations"].items(), metadata


def test_every_object_stands_in_the_environments_namespace_under_the_models_name(
    rendered: dict[str, dict[str, list[Object]]],
) -> None:
    for which, models in rendered.items():
        environment = which.partition(":")[0]
        for model, objects in models.items():
            for it in objects:
                assert it["metadata"]["namespace"] == f"bakehouse-{environment}"
                assert it["metadata"]["name"].startswith(f"{model}-")
                assert it["metadata"]["labels"]["app.kubernetes.io/name"] == model
                assert it["metadata"]["labels"]["bakehouse/environment"] == environment


def test_two_models_of_an_environment_share_no_object(rendered: dict[str, dict[str, list[Object]]]) -> None:
    for models in rendered.values():
        identities = [(it["kind"], it["metadata"]["name"]) for objects in models.values() for it in objects]
        assert len(identities) == len(set(identities))


def test_every_image_is_pinned_by_tag_and_digest(objects: list[Object]) -> None:
    images = [container["image"] for it in pod_templates(objects).values() for container in containers(it["spec"])]
    assert set(images) == {release(3).image.reference}


def test_every_pod_may_do_nothing_but_its_work(objects: list[Object]) -> None:
    """No root, no writable root file system, no capability, no token, no other system calls than the runtime's."""
    for template in pod_templates(objects).values():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        for volume in pod["volumes"]:
            assert {"configMap", "emptyDir"} & set(volume) or audiences(volume) == {"sts.amazonaws.com"}
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]
    assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False


def test_every_container_asks_for_what_it_needs_and_has_a_limit_of_memory(objects: list[Object]) -> None:
    """No limit of CPU: it would throttle a service that its node has time for."""
    for template in pod_templates(objects).values():
        for container in containers(template["spec"]):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert set(container["resources"]["limits"]) == {"memory"}


def test_probes_ask_the_services_own_paths_on_its_port(objects: list[Object]) -> None:
    (container,) = workload(objects)["spec"]["template"]["spec"]["containers"]
    probes = {name: container[name]["httpGet"] for name in container if name.endswith("Probe")}
    assert probes == {
        "startupProbe": {"path": READY, "port": "http"},
        "readinessProbe": {"path": READY, "port": "http"},
        "livenessProbe": {"path": "/livez", "port": "http"},
    }
    assert container["ports"] == [{"name": "http", "containerPort": 3000, "protocol": "TCP"}]
    assert only(objects, "Service")["spec"]["ports"][0]["targetPort"] == "http"


def test_a_pod_gets_longer_to_end_than_the_service_takes(objects: list[Object]) -> None:
    """It drains, and then the last request that it took may still be on its way in."""
    assert workload(objects)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > DRAIN_SECONDS + BODY_SECONDS


def test_the_autoscaler_alone_decides_how_many_pods_there_are(objects: list[Object]) -> None:
    it = workload(objects)
    assert "replicas" not in it["spec"]
    scaler = only(objects, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"] == {
        "apiVersion": it["apiVersion"],
        "kind": it["kind"],
        "name": it["metadata"]["name"],
    }
    assert 1 <= scaler["minReplicas"] < scaler["maxReplicas"]


def test_pods_are_spread_over_nodes_and_drained_one_at_a_time(objects: list[Object]) -> None:
    it = workload(objects)
    labels = it["spec"]["template"]["metadata"]["labels"]
    (spread,) = it["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    budget = only(objects, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= labels.items()


def test_selectors_choose_the_services_pods_and_neither_the_smoke_jobs_nor_another_models(
    rendered: dict[str, dict[str, list[Object]]],
) -> None:
    for models in rendered.values():
        for model, objects in models.items():
            chosen = [
                only(objects, "Service")["spec"]["selector"],
                workload(objects)["spec"]["selector"]["matchLabels"],
                only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                only(objects, "NetworkPolicy", "-bento")["spec"]["podSelector"]["matchLabels"],
            ]
            templates = [(name, it) for every in models.values() for name, it in pod_templates(every).items()]
            for selector in chosen:
                matched = [name for name, it in templates if selector.items() <= it["metadata"]["labels"].items()]
                assert matched == [f"{workload(objects)['kind']} {model}-bento"]


def test_a_model_talks_to_nobody_but_whom_its_policies_name(rendered: dict[str, dict[str, list[Object]]]) -> None:
    """Requests and metrics in, DNS out, and the feature store and S3 where the environment has chosen them."""
    for which, models in rendered.items():
        policy = only(models["orders"], "NetworkPolicy", "-bento")["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert policy["ingress"] == [
            {
                "from": [{"namespaceSelector": {"matchLabels": {"bakehouse/may-ask": "true"}}}],
                "ports": [{"protocol": "TCP", "port": "http"}],
            }
        ]
        ports = [sorted(entry["port"] for entry in rule["ports"]) for rule in policy["egress"]]
        chosen = COMPONENTS[which.partition(": ")[2]]
        more = {"platform": [443], "feature-store": [5432, 6379]}
        assert ports == [[53, 53], *(more[name] for name in chosen if name in more)]
        assert all(
            "169.254.0.0/16" in to["ipBlock"]["except"]
            for rule in policy["egress"]
            for to in rule["to"]
            if "ipBlock" in to
        )


def test_a_model_is_told_the_feature_stores_address_where_the_environment_has_chosen_it(
    rendered: dict[str, dict[str, list[Object]]],
) -> None:
    """By a Deployment and by a Rollout alike, from a secret: an address may hold a password."""
    for which, models in rendered.items():
        (container,) = workload(models["orders"])["spec"]["template"]["spec"]["containers"]
        told = [it for it in container["env"] if it["name"] == "BAKEHOUSE_ONLINE_STORE"]
        assert len(told) == (1 if which.endswith("all") else 0)
        assert all(it["valueFrom"]["secretKeyRef"]["name"] == "bakehouse-feature-store" for it in told)


def test_no_pod_is_without_a_policy_of_its_own(objects: list[Object]) -> None:
    """The namespace denies what no policy allows, so whoever needs anything has one."""
    policies = [it["spec"] for it in objects if it["kind"] == "NetworkPolicy"]
    for name, template in pod_templates(objects).items():
        labels = template["metadata"]["labels"]
        mine = [it for it in policies if it["podSelector"]["matchLabels"].items() <= labels.items()]
        assert any("Egress" in it["policyTypes"] for it in mine), name


def test_every_environment_has_a_namespace_that_confines(checkout: Path) -> None:
    folders = {path.parent.name for path in (checkout / "environments").glob("*/settings")}
    assert folders
    for environment in folders:
        objects = render(checkout / "environments" / environment / "namespace")
        namespace = only(objects, "Namespace")["metadata"]
        assert namespace["name"] == f"bakehouse-{environment}"
        assert namespace["labels"]["bakehouse/environment"] == environment
        assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        policy = only(objects, "NetworkPolicy")
        assert policy["metadata"]["namespace"] == namespace["name"]
        assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_an_environment_chooses_the_canary_by_one_line(tmp_path: Path) -> None:
    """The line that stands in its settings with a `#` before it."""
    layout = Layout(tmp_path / "checkout")
    settings = layout.environments / "production/settings/kustomization.yaml"
    assert settings.read_text().count(CANARY) == 1
    settings.write_text(settings.read_text().replace(CANARY, CANARY.removeprefix("# ")))
    layout.put("production", release(3))
    objects = layout.model("production", "orders")
    rollout, template = only(objects, "Rollout"), only(objects, "AnalysisTemplate")
    assert not [it for it in objects if it["kind"] == "Deployment"]
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    named = [entry["templateName"] for step in steps for entry in step.get("analysis", {}).get("templates", [])]
    assert set(named) == {template["metadata"]["name"]}
    asked = rollout["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert asked["cpu"] == "1", "the environment's own settings reach the pods as before"


def test_the_canarys_queries_name_series_that_a_service_really_exports(checkout: Path) -> None:
    """Asked of the metrics themselves, in a process of its own since their registry is the process'."""
    program = (
        "import prometheus_client\n"
        "from datetime import UTC, datetime\n"
        "from bentos.common.identity import Identity\n"
        "from bentos.common.metrics import ServiceMetrics\n"
        "identity = Identity(model='m', model_version=1, model_digest='sha256:' + '0' * 64, data_version='d',"
        " code_commit='c', built_at=datetime.now(UTC))\n"
        "metrics = ServiceMetrics(identity, ['yes', 'no'], None)\n"
        "metrics.answered(500, 0.1)\n"
        "print(prometheus_client.generate_latest().decode())\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout
    template = (checkout / "environments/components/canary/analysis.yaml").read_text()
    asked = set(re.findall(r"\b(bakehouse_\w+)\{", template))
    assert len(asked) == 3
    for series in asked:
        assert re.search(rf"^{series}\{{", printed, re.MULTILINE), series
    assert re.search(r'^bakehouse_requests_total\{.*status="500"', printed, re.MULTILINE)
    assert {'outcome="yes"', 'outcome="no"'} <= set(re.findall(r'outcome="\w+"', printed)), "there from the start"
