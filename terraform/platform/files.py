"""The files of an environment that follow from its contract: its ZenML stack, and the Component of its platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from terraform.platform.contract import FILE, ObjectStore, Platform

SHIPPER = "ship"
"""The container beside the service that ships its logs."""
KEYS_IN = "bakehouse-predictions"
"""The Kubernetes secret that its keys come from where there are no identities."""
_SHIP = """\
[ -f bentos/common/ship.py ] && exec python3.11 -m bentos.common.ship
echo 'This version was packaged before logs were shipped: its log goes with the pod.' >&2
trap 'kill $!' TERM
sleep infinity & wait
"""
_WRITTEN = "# Written by `bakehouse platform write`; change what it is made from instead.\n"
_ZENML_VERSION = "0.98.0"


def files(platform: Platform) -> Mapping[str, str]:
    """What follows from the contract, by its path in `environments/<env>/`."""
    return {
        "settings/platform/kustomization.yaml": _WRITTEN + _yaml(component(platform)),
        "stack.yaml": _WRITTEN + _yaml(stack(platform)),
        **{
            f"settings/stacks/{model}.yaml": _WRITTEN + _yaml(stack(platform, model))
            for model in sorted(platform.registry.repositories)
        },
    }


def contract_file(platform: Platform) -> Mapping[str, str]:
    """The contract itself, where Terraform's outputs and nobody's hand wrote it."""
    return {f"settings/{FILE}": _WRITTEN + platform.to_yaml()}


def stack(platform: Platform, model: str | None = None) -> dict[str, Any]:
    """The ZenML stack of the environment, as `zenml stack import` reads it; or that of one model, whose pods have the
    model's own role, which reaches what stands under the model's name and nothing else."""
    name, store = "-".join(filter(None, (platform.environment, model))), platform.object_store
    where: dict[str, Any] = {"path": "/".join(filter(None, (f"s3://{store.buckets['zenml']}", model)))}
    if store.endpoint:
        where["client_kwargs"] = {"endpoint_url": store.endpoint, "region_name": store.region}
    if store.path_style:
        where["config_kwargs"] = {"s3": {"addressing_style": "path"}}
    aws = ".dkr.ecr." in platform.registry.host
    return {
        "zenml_version": _ZENML_VERSION,
        "stack_name": name,
        "components": {
            "orchestrator": _part(
                "orchestrator",
                "kubernetes",
                f"{name}-kubernetes",
                {
                    "incluster": True,
                    "kubernetes_namespace": platform.namespaces.pipelines,
                    "skip_local_validations": True,
                    **_pods_of_pipelines(platform, model),
                },
            ),
            "artifact_store": _part("artifact_store", "s3", f"{name}-artifacts", where),
            "container_registry": _part(
                "container_registry", "aws" if aws else "default", f"{name}-registry", {"uri": platform.registry.host}
            ),
            "image_builder": _part("image_builder", "local", f"{name}-builder", {}),
        },
    }


def _pods_of_pipelines(platform: Platform, model: str | None) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if platform.nodes:
        settings = _on_nodes(platform.nodes.key, platform.nodes.pipelines, selector="node_selectors")
    if model is None:
        return {"pod_settings": settings} if settings else {}
    store = platform.object_store
    settings["env"] = [
        {"name": "BAKEHOUSE_DATA_REMOTE", "value": f"s3://{store.buckets['data']}/{model}"},
        {"name": "BAKEHOUSE_EVIDENCE_URL", "value": f"s3://{store.buckets['evidence']}"},
    ]
    account = {}
    if platform.identities:
        name = platform.identities.training_account.replace("{model}", model)
        account = {"service_account_name": name, "step_pod_service_account_name": name}
    return {**account, "pod_settings": settings}


def _on_nodes(key: str, value: str, selector: str) -> dict[str, Any]:
    toleration = {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
    return {selector: {key: value}, "tolerations": [toleration]}


def component(platform: Platform) -> dict[str, Any]:
    """The Component that points a model's pods at the environment: images from its own registry by the digest that the
    release names, and logs shipped into its bucket, on AWS as the model's own role."""
    found: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    registry = platform.registry
    if registry.source_host != registry.host:
        found["images"] = [
            {"name": url.replace(registry.host, registry.source_host, 1), "newName": url}
            for _, url in sorted(registry.repositories.items())
        ]
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bento"},
        "spec": {"template": {"spec": _pod(platform)}},
    }
    egress = [{"op": "add", "path": "/spec/egress/-", "value": _way_to(platform.object_store)}]
    deployment = {"kind": "Deployment", "name": "bento"}
    image = "spec.template.spec.{}.[name={}].image"
    return {
        **found,
        "patches": [
            {"patch": _yaml(patch)},
            {
                "target": {"kind": "NetworkPolicy", "name": "bento"},
                "patch": yaml.safe_dump(egress, sort_keys=False, width=120),
            },
        ],
        # The release has pinned the images that there were before this Component.
        "replacements": [
            {
                "source": {**deployment, "fieldPath": image.format("containers", "bento")},
                "targets": [{"select": deployment, "fieldPaths": [image.format("initContainers", SHIPPER)]}],
            }
        ],
    }


def _pod(platform: Platform) -> dict[str, Any]:
    container = {"name": "bento", "env": [{"name": "BAKEHOUSE_PREDICTION_LOG_SHIPPED", "value": "true"}]}
    pod: dict[str, Any] = {"containers": [container], "initContainers": [_shipper(platform)]}
    if platform.nodes:
        pod |= _on_nodes(platform.nodes.key, platform.nodes.services, selector="nodeSelector")
    if platform.identities:
        token = {"audience": platform.identities.audience, "expirationSeconds": 3600, "path": "token"}
        pod["volumes"] = [{"name": "aws-token", "projected": {"sources": [{"serviceAccountToken": token}]}}]
    return pod


def _shipper(platform: Platform) -> dict[str, Any]:
    """An init container that always runs: it starts before the service, and is ended after it. In the image of an older
    version, such as a rollback brings back, it ships nothing and holds up nothing."""
    store = platform.object_store
    model = {"fieldRef": {"fieldPath": "metadata.labels['app.kubernetes.io/name']"}}
    environment: list[dict[str, Any]] = [
        {"name": "BAKEHOUSE_MODEL", "valueFrom": model},
        {"name": "BAKEHOUSE_PREDICTION_LOG", "value": "/var/log/bakehouse"},
        {"name": "BAKEHOUSE_PREDICTIONS_URL", "value": f"s3://{store.buckets['predictions']}/$(BAKEHOUSE_MODEL)"},
        {"name": "AWS_DEFAULT_REGION", "value": store.region},
    ]
    mounts: list[dict[str, Any]] = [{"name": "predictions", "mountPath": "/var/log/bakehouse"}]
    if store.endpoint:
        environment.append({"name": "AWS_ENDPOINT_URL_S3", "value": store.endpoint})
    if platform.identities:
        # The pod's own label fills the name in, so that one patch does for every model.
        role = platform.identities.service_role.replace("{model}", "$(BAKEHOUSE_MODEL)")
        environment += [
            {"name": "AWS_ROLE_ARN", "value": role},
            {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/secrets/aws/token"},
        ]
        mounts.append({"name": "aws-token", "mountPath": "/var/run/secrets/aws", "readOnly": True})
    else:
        environment += [
            {"name": key, "valueFrom": {"secretKeyRef": {"name": KEYS_IN, "key": key}}}
            for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        ]
    return {
        "name": SHIPPER,
        "image": "bento",
        "restartPolicy": "Always",
        "workingDir": "/home/bentoml/bento/src",
        "command": ["sh", "-c", _SHIP],
        "env": environment,
        "resources": {"requests": {"cpu": "10m", "memory": "96Mi"}, "limits": {"memory": "192Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _way_to(store: ObjectStore) -> dict[str, Any]:
    """Whom the pods may connect to, so that logs reach the store. AWS's addresses change; the link-local ones, by which
    a pod would get its node's rights, are none of them."""
    if store.endpoint is None:
        everybody = {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}
        return {"to": [{"ipBlock": everybody}], "ports": [{"protocol": "TCP", "port": 443}]}
    address = urlsplit(store.endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    return {"ports": [{"protocol": "TCP", "port": port}]}


def _part(kind: str, flavor: str, name: str, configuration: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "flavor": flavor, "name": name, "configuration": configuration}


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=120)
