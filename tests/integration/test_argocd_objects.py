"""What an operator applies to Argo CD for an environment: rendered from its parameters, as narrow as a release is."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.environment import kustomization
from tests.gitops_world import release
from tests.manifests import render

Objects = dict[tuple[str, str], dict[str, Any]]
ENVIRONMENTS = ("staging", "production")
PLACEHOLDERS = {"repository", "branch", "cluster", "namespace", "environment", "applications", "releases", "delivery"}
CANARY = "../../components/canary"


def rendered(folder: Path) -> Objects:
    """Every object of a kustomization, by kind and name."""
    return {(it["kind"], it["metadata"]["name"]): it for it in render(folder)}


@pytest.fixture
def copy(checkout: Path, tmp_path: Path) -> Path:
    """The checkout's environments and Argo CD's objects, to change."""
    for folder in ("environments", "gitops/argocd"):
        shutil.copytree(checkout / folder, tmp_path / folder)
    return tmp_path


def leaves(value: object) -> set[str]:
    """Every string in a document."""
    if isinstance(value, dict):
        return set().union(*map(leaves, value.values()), set())
    if isinstance(value, list):
        return set().union(*map(leaves, value), set())
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_rendered_with_nothing_left_to_fill_in(checkout: Path, environment: str) -> None:
    objects = rendered(checkout / "environments" / environment / "argocd")
    name = f"bakehouse-{environment}"
    assert set(objects) == {
        ("AppProject", name),
        ("AppProject", f"{name}-delivery"),
        ("Application", name),
        ("ApplicationSet", name),
    }
    for it in objects.values():
        assert not leaves(it["spec"]) & PLACEHOLDERS


def test_an_operator_changes_where_things_are_in_one_file(copy: Path) -> None:
    """Repository, branch, cluster and namespace are in every place that needs them."""
    path = copy / "environments/staging/argocd/parameters.yaml"
    document = yaml.safe_load(path.read_text())
    document["data"] |= {
        "repository": "ssh://git@git.example/ml/releases.git",
        "branch": "live",
        "cluster": "https://other.example:6443",
        "namespace": "models",
    }
    path.write_text(yaml.safe_dump(document))
    objects = rendered(copy / "environments/staging/argocd")
    project = objects["AppProject", "bakehouse-staging"]["spec"]
    applications = objects["ApplicationSet", "bakehouse-staging"]["spec"]
    template = applications["template"]["spec"]
    git = applications["generators"][0]["git"]
    assert project["sourceRepos"] == [git["repoURL"]] == [template["source"]["repoURL"]]
    assert project["sourceRepos"] == ["ssh://git@git.example/ml/releases.git"]
    assert git["revision"] == template["source"]["targetRevision"] == "live"
    assert project["destinations"] == [template["destination"]]
    assert project["destinations"] == [{"server": "https://other.example:6443", "namespace": "models"}]
    assert git["files"] == [{"path": "environments/staging/*/release/release.json"}]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_applications_go_where_their_environments_settings_put_their_models(checkout: Path, environment: str) -> None:
    """The namespace stands in the settings, where kustomize needs it, and in the parameters, where Argo CD does."""
    settings = yaml.safe_load((checkout / f"environments/{environment}/settings/kustomization.yaml").read_text())
    (destination,) = rendered(checkout / "environments" / environment / "argocd")[
        "AppProject", f"bakehouse-{environment}"
    ]["spec"]["destinations"]
    assert destination["namespace"] == settings["namespace"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_project_takes_the_kinds_that_a_release_has_and_no_others(copy: Path, environment: str) -> None:
    """With a canary and without."""
    (project,) = (
        it
        for (kind, name), it in rendered(copy / "environments" / environment / "argocd").items()
        if kind == "AppProject" and not name.endswith("-delivery")
    )
    settings = copy / "environments" / environment / "settings/kustomization.yaml"
    kinds = released_kinds(copy, environment)
    document = yaml.safe_load(settings.read_text())
    document["components"] = [*document.get("components", ()), CANARY]
    settings.write_text(yaml.safe_dump(document))
    kinds |= released_kinds(copy, environment)
    allowed = {(entry["group"], entry["kind"]) for entry in project["spec"]["namespaceResourceWhitelist"]}
    assert allowed == kinds
    assert project["spec"]["clusterResourceWhitelist"] == []


def released_kinds(copy: Path, environment: str) -> set[tuple[str, str]]:
    """Group and kind of every object that a release of a model renders to."""
    folder = copy / "environments" / environment / "orders"
    (folder / "release").mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").write_text(kustomization("orders"))
    for name, text in release(1).files().items():
        (folder / "release" / name).write_text(text)
    versions = {(it["apiVersion"], it["kind"]) for it in rendered(folder).values()}
    return {(version.partition("/")[0] if "/" in version else "", kind) for version, kind in versions}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_role_may_edit(checkout: Path, environment: str) -> None:
    """In any project: every right is to look, to sync, or to pause; and every role belongs to a group."""
    for (kind, name), it in rendered(checkout / "environments" / environment / "argocd").items():
        if kind != "AppProject":
            continue
        for role in it["spec"]["roles"]:
            assert role["groups"]
            for policy in role["policies"]:
                p, who, what, action, where, effect = (part.strip() for part in policy.split(","))
                assert (p, who, where, effect) == ("p", f"proj:{name}:{role['name']}", f"{name}/*", "allow")
                assert (what, action) in {
                    ("applications", "get"),
                    ("applications", "sync"),
                    ("applications", "action/argoproj.io/Application/toggle-auto-sync"),
                    ("logs", "get"),
                }


def test_an_application_looks_only_at_what_its_folder_is_made_from(copy: Path) -> None:
    """Every folder that a release's kustomization reads, with each component, is in manifest-generate-paths."""
    template = rendered(copy / "environments/staging/argocd")["ApplicationSet", "bakehouse-staging"]["spec"]["template"]
    named = template["metadata"]["annotations"]["argocd.argoproj.io/manifest-generate-paths"].split(";")
    model = copy / "environments/staging/orders"
    watched = [copy / path[1:] if path.startswith("/") else (model / path).resolve() for path in named]
    read = {model / "release", model}
    for file in (kustomization("orders"), (copy / "environments/staging/settings/kustomization.yaml").read_text()):
        base = model if "namePrefix" in file else copy / "environments/staging/settings"
        document = yaml.safe_load(file)
        read |= {(base / path).resolve() for path in (*document.get("resources", ()), *document.get("components", ()))}
    read |= {copy / "environments/components"}
    assert not [path for path in read if not any(path.is_relative_to(folder) for folder in watched)]
    assert not [path for path in (copy / "environments/production").iterdir() if path in watched]


def test_nothing_waits_for_a_rollout(copy: Path) -> None:
    """A sync that waits holds up the revert: no hook, and one wave, in all that a release renders to."""
    for environment in ENVIRONMENTS:
        released_kinds(copy, environment)
        for it in rendered(copy / "environments" / environment / "orders").values():
            assert not [name for name in it["metadata"]["annotations"] if re.search(r"/(hook|sync-wave)$", name)]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_smoke_job_ends_by_itself_and_after_the_rollout_may(copy: Path, environment: str) -> None:
    released_kinds(copy, environment)
    objects = rendered(copy / "environments" / environment / "orders")
    job, deployment = objects["Job", "orders-smoke"]["spec"], objects["Deployment", "orders-bento"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    (seconds,) = (float(word.partition("=")[2]) for word in container["args"] if word.startswith("--seconds="))
    assert 300 <= deployment["progressDeadlineSeconds"] < seconds < job["activeDeadlineSeconds"] < 600
    assert job["backoffLimit"] == 0
    assert container["image"] == release(1).image.reference
    assert objects["Service", "orders-bento"]["spec"]["ports"][0]["port"] == 80
    assert container["args"][0].format(model="orders") == "http://orders-bento"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_requests_never_reach_the_smoke_jobs_pod(copy: Path, environment: str) -> None:
    """Neither the Service nor the disruption budget nor the service's network policy selects it."""
    released_kinds(copy, environment)
    objects = rendered(copy / "environments" / environment / "orders")
    labels = objects["Job", "orders-smoke"]["spec"]["template"]["metadata"]["labels"]
    budget = objects["PodDisruptionBudget", "orders-bento"]["spec"]["selector"]["matchLabels"]
    policy = objects["NetworkPolicy", "orders-bento"]["spec"]["podSelector"]["matchLabels"]
    for selector in (objects["Service", "orders-bento"]["spec"]["selector"], budget, policy):
        assert not selector.items() <= labels.items(), json.dumps(selector)
    assert objects["NetworkPolicy", "orders-smoke"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_installation_takes_no_administrator_and_names_no_secret(checkout: Path) -> None:
    objects = rendered(checkout / "gitops/argocd/installation")
    settings = objects["ConfigMap", "argocd-cm"]["data"]
    assert settings["admin.enabled"] == "false"
    access = objects["ConfigMap", "argocd-rbac-cm"]["data"]
    assert access["policy.default"] == ""
    assert "role:admin" not in access["policy.csv"]
    assert not [kind for kind, _ in objects if kind == "Secret"]
