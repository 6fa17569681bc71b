"""The environments of the checkout with releases in them, laid out in a folder and rendered by the real kustomize."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gitops.environment import kustomization
from gitops.release import Image, Release
from terraform.platform.contract import Platform
from terraform.platform.files import files
from tests.cluster_equipment import CHECKOUT, equipment

Object = dict[str, Any]
SERVICE_ROLE = "arn:aws:iam::111111111111:role/bakehouse/bakehouse-service-{model}"
CANARY = "# components: [../../components/canary]"


@dataclass(frozen=True)
class Layout:
    """`environments/` of a checkout of its own. With another `prefix` than `bakehouse`, so are the names of its
    namespaces."""

    folder: Path
    prefix: str = "bakehouse"

    def __post_init__(self) -> None:
        for name in ("environments", "gitops/admission"):
            shutil.copytree(CHECKOUT / name, self.folder / name)
        for path in self.environments.glob("*/*/*.yaml"):
            path.write_text(path.read_text().replace("namespace: bakehouse-", f"namespace: {self.prefix}-"))

    @property
    def environments(self) -> Path:
        """Where the environments' folders are."""
        return self.folder / "environments"

    @property
    def names(self) -> list[str]:
        """The environments."""
        return sorted(path.parent.name for path in self.environments.glob("*/settings"))

    def namespace(self, environment: str) -> str:
        """What the environment's objects stand in."""
        return f"{self.prefix}-{environment}"

    def put(self, environment: str, release: Release) -> None:
        """Write a release as the release commit does."""
        folder = self.environments / environment / release.model
        (folder / "release").mkdir(parents=True, exist_ok=True)
        (folder / "kustomization.yaml").write_text(kustomization(release.model))
        for name, text in release.files().items():
            (folder / "release" / name).write_text(text)

    def choose(self, environment: str, components: Sequence[str]) -> None:
        """Let the environment's settings name these components, `platform` among them as it is on AWS."""
        chosen = ", ".join(name if name == "platform" else f"../../components/{name}" for name in components)
        if "platform" in components:
            platform = Platform.model_validate(platform_contract(environment, self.namespace(environment)))
            for name, text in files(platform).items():
                path = self.environments / environment / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        settings = self._settings(environment).read_text().replace(CANARY, "")
        kind = "kind: Component\n"
        self._settings(environment).write_text(settings.replace(kind, f"{kind}components: [{chosen}]\n"))

    def patch(self, environment: str, patch: str) -> None:
        """Let the environment's settings end in one more patch."""
        with self._settings(environment).open("a") as file:
            file.write(patch)

    def _settings(self, environment: str) -> Path:
        return self.environments / environment / "settings/kustomization.yaml"

    def model(self, environment: str, model: str) -> list[Object]:
        """Everything that Argo CD would apply for one model."""
        return render(self.environments / environment / model)


def platform_contract(environment: str, namespace: str) -> Object:
    """What one environment on AWS stands on, as its contract says."""
    host = f"{environment}.example.com"
    database = {"port": 5432, "name": "x", "host": host, "secret": "x"}
    return {
        "environment": environment,
        "object_store": {
            "region": "eu-central-1",
            "buckets": {"predictions": f"{environment}-predictions", "zenml": "z", "data": "d", "evidence": "e"},
        },
        "registry": {"host": host, "source_host": host, "repositories": {}},
        "databases": {"mlflow": {"engine": "postgres", **database}, "zenml": {"engine": "mysql", **database}},
        "cluster": {"context": environment, "endpoint": f"https://{host}"},
        "namespaces": {"services": namespace, "pipelines": f"{namespace}-training", "tracking": "mlflow"},
        "identities": {"service_role": SERVICE_ROLE, "training_account": "training-{model}"},
    }


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization. Skips the test where there is no kubectl, not even the test cluster's."""
    program = shutil.which("kubectl") or equipment() / "kubectl"
    done = subprocess.run([program, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns"
    return list(yaml.safe_load_all(done.stdout))


def only(objects: Sequence[Object], kind: str, ending: str = "") -> Object:
    """The one object of this kind, and with this ending of its name where there are several."""
    (found,) = (it for it in objects if it["kind"] == kind and it["metadata"]["name"].endswith(ending))
    return found


def pod_templates(objects: Sequence[Object]) -> dict[str, Object]:
    """What pods are made from, by the kind and name of what makes them."""
    return {
        f"{it['kind']} {it['metadata']['name']}": it["spec"]["template"]
        for it in objects
        if "template" in it.get("spec", {})
    }


def containers(pod: Object) -> list[Object]:
    """All of a pod's, what runs beside the service among them."""
    return [*pod["containers"], *pod.get("initContainers", [])]


def from_admitted_registry(release: Release) -> Release:
    """The same release with its image in the registry that gitops/admission asks for."""
    documents = yaml.safe_load_all((CHECKOUT / "gitops/admission/parameters.yaml").read_text())
    parameters: Mapping[str, Any] = next(it for it in documents if it["kind"] == "ConfigMap")
    registry = parameters["data"]["registries"].split()[0]
    image = Image(name=f"{registry}/{release.image.name}", tag=release.image.tag, digest=release.image.digest)
    return release.model_copy(update={"image": image})
