"""That the workflows start no loop of their own, and what `check-promotion` asks the forge: its scripts really run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops import holds
from gitops.environment import Place
from gitops.promotion import commit_release, promote
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.gitops_world import World, release

PRODUCTION = Place("production", "orders")


def workflow(checkout: Path, name: str) -> dict[str, Any]:
    loaded: dict[Any, Any] = yaml.safe_load((checkout / ".github/workflows" / name).read_text())
    return {"on" if key is True else key: value for key, value in loaded.items()}  # YAML 1.1 reads `on` as true


def triggered(patterns: list[str], path: str) -> bool:
    """Whether a path filter lets a path through, by the rules of GitHub's filter patterns."""
    rules = {"**": ".*", "*": "[^/]*"}
    for pattern in patterns:
        assert not re.search(r"[?+\[\]!]", pattern), f"{pattern}: this test knows * and ** only"
        said = "".join(rules.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", pattern))
        if re.fullmatch(said, path):
            return True
    return False


@pytest.fixture
def written(world: World) -> list[str]:
    """Every path that releases, promotions, rollbacks and holds have written."""
    repository = GitopsRepository.open()
    commit_release(repository, "staging", release(1))
    promote(repository, "orders", "production", proposals=world.bodies)
    commit_release(repository, "staging", release(2, champion=1))
    promote(repository, "orders", "production", proposals=world.bodies)
    roll_back(repository, PRODUCTION)
    holds.lift(repository, PRODUCTION)
    root = world.git("rev-list", "--max-parents=0", "main")
    return sorted(set(world.git("log", "--format=", "--name-only", f"{root}..main").split()))


def test_a_release_commit_starts_no_training(checkout: Path, written: list[str]) -> None:
    on = workflow(checkout, "train.yml")["on"]
    assert PRODUCTION.hold in written
    assert PRODUCTION.document in written
    for event in ("push", "pull_request"):
        assert triggered(on[event]["paths"], "bentos/orders/estimator.py")
        assert [path for path in written if triggered(on[event]["paths"], path)] == []


def committing() -> list[str]:
    """The workflows of which a job may push to the repository."""
    checkout = Path(__file__).resolve().parents[2]
    names = [path.name for path in sorted((checkout / ".github/workflows").glob("*.yml"))]
    return [name for name in names if any(map(_may_push, workflow(checkout, name)["jobs"].values()))]


def _may_push(job: dict[str, Any]) -> bool:
    return bool(job["permissions"]) and job["permissions"].get("contents") == "write"


@pytest.mark.parametrize("name", committing())
def test_a_workflow_that_commits_is_started_by_no_release_commit(name: str, checkout: Path, written: list[str]) -> None:
    on = workflow(checkout, name)["on"]
    for event in ("push", "pull_request", "pull_request_target", "workflow_run", "schedule"):
        if event in on:
            assert [path for path in written if triggered(on[event]["paths"], path)] == [], event


def test_the_workflows_that_may_commit_are_known(checkout: Path) -> None:
    assert {"train.yml", "promote.yml", "rollback.yml"} <= set(committing())


@pytest.mark.parametrize(
    ("chosen", "changed", "trained"),
    [
        ("", "data/cakes/more.ndjson", ["cakes"]),
        ("", "steps/train.py", ["cakes", "orders"]),
        ("", "data/other/more.ndjson", []),
        ("orders", "data/cakes/more.ndjson", ["orders"]),
    ],
)
def test_training_takes_the_model_that_a_person_names_else_what_changed(
    chosen: str, changed: str, trained: list[str], checkout: Path, world: World
) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    text, clone = listing(checkout), clone_with_rooms(world, changed)
    outputs = run(text, clone, CHOSEN=chosen, BASE="HEAD^")
    assert outputs == f"models={json.dumps(trained, separators=(',', ':'))}\n"


@pytest.mark.parametrize("name", ["nosuch", ".*"])
def test_training_refuses_a_model_that_is_none(name: str, checkout: Path, world: World) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(listing(checkout), clone_with_rooms(world, "steps/train.py"), CHOSEN=name, BASE="HEAD^")
    assert b"there are: cakes, orders" in refused.value.stdout


def listing(checkout: Path) -> str:
    """The script of train.yml that says which models are trained."""
    steps = workflow(checkout, "train.yml")["jobs"]["models"]["steps"]
    (found,) = [it["run"] for it in steps if it.get("id") == "touched"]
    return str(found)


def clone_with_rooms(world: World, changed: str) -> Path:
    """A clone of two rooms whose last commit has changed one file."""
    GitopsRepository.open()
    clone = world.clone()
    for path in ("bentos/cakes/problem.yaml", "bentos/orders/problem.yaml", changed):
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text("")
        world.git("add", ".", at=clone)
        world.git("commit", "--quiet", "--allow-empty", "--message", path, at=clone)
    return clone


def script(checkout: Path, step: str) -> str:
    steps = workflow(checkout, "check-promotion.yml")["jobs"]["check"]["steps"]
    (found,) = [it["run"] for it in steps if step in (it.get("id"), it.get("name"))]
    return str(found)


def run(text: str, folder: Path, **variables: str) -> str:
    """Run a step's script as a runner does; what it wrote to GITHUB_OUTPUT."""
    outputs = folder / "outputs"
    outputs.write_text("")
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],
        cwd=folder,
        env={**os.environ, "GITHUB_OUTPUT": str(outputs), "RUNNER_TEMP": str(folder), **variables},
        check=True,
        capture_output=True,
    )
    return outputs.read_text()


def review(login: str, state: str, commit: str = "new", association: str = "MEMBER", at: int = 1) -> dict[str, Any]:
    return {
        "author": {"login": login},
        "authorAssociation": association,
        "state": state,
        "submittedAt": f"2026-01-01T00:00:{at:02}Z",
        "commit": {"oid": commit},
    }


@pytest.mark.parametrize(
    ("reviews", "approvals"),
    [
        ([], 0),
        ([review("ada", "APPROVED"), review("grace", "APPROVED")], 2),
        ([review("ada", "APPROVED"), review("ada", "APPROVED", at=2)], 1),
        ([review("ada", "APPROVED"), review("ada", "COMMENTED", at=2)], 1),
        ([review("ada", "APPROVED", at=2), review("ada", "CHANGES_REQUESTED", at=1)], 1),
        ([review("ada", "CHANGES_REQUESTED", at=2), review("ada", "APPROVED", at=1)], 0),
        ([review("ada", "DISMISSED")], 0),
        ([review("ada", "APPROVED", commit="old")], 0),
        ([review("mallory", "APPROVED", association="NONE")], 0),
        ([review("mallory", "APPROVED", association="CONTRIBUTOR")], 0),
        ([review("ada", "COMMENTED")], 0),
    ],
)
def test_an_approval_counts_once_for_each_member_and_for_what_would_be_merged_only(
    reviews: list[dict[str, Any]], approvals: int, checkout: Path, tmp_path: Path
) -> None:
    assert asked(checkout, tmp_path, {"headRefOid": "new", "labels": [], "reviews": reviews}) == [
        f"approvals={approvals}"
    ]


def test_the_label_alone_lets_a_rolled_back_version_in(checkout: Path, tmp_path: Path) -> None:
    pull = {"headRefOid": "new", "reviews": [], "labels": [{"name": "other"}, {"name": "allow-rolled-back"}]}
    assert asked(checkout, tmp_path, pull) == ["approvals=0", "allowed=yes"]


def test_in_the_merge_queue_the_pull_request_is_the_one_that_the_queue_names(checkout: Path, tmp_path: Path) -> None:
    pull = {"headRefOid": "new", "labels": [], "reviews": []}
    asked(checkout, tmp_path, pull, NUMBER="", QUEUED="refs/heads/gh-readonly-queue/main/pr-12-0a1b2c")
    assert (tmp_path / "asked").read_text().split()[:3] == ["pr", "view", "12"]


def asked(checkout: Path, folder: Path, pull: dict[str, Any], **variables: str) -> list[str]:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    (folder / "pull").write_text(json.dumps(pull))
    gh = folder / "gh"
    gh.write_text(f'#!/bin/sh\necho "$@" >"{folder}/asked"\ncat "{folder}/pull"\n')
    gh.chmod(0o755)
    settings = {"NUMBER": "7", "QUEUED": "", "GITHUB_REPOSITORY": "bakery/releases", **variables}
    return run(script(checkout, "forge"), folder, PATH=f"{folder}:{os.environ['PATH']}", **settings).split()


@pytest.mark.parametrize(
    ("path", "touched"),
    [
        ("environments/production/orders/release/release.json", True),
        ("environments/production/orders/release", True),
        ('environments/production/orders/release/a"b', True),
        ("environments/production/orders/hold.yaml", False),
        ("environments/production/settings/promotion.yaml", False),
        ("docs/environments/production/orders/release/release.json", False),
        ("README.md", False),
    ],
)
def test_it_looks_closer_where_a_release_is_touched(path: str, touched: bool, checkout: Path, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "Start")
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("changed")
    git("add", path)
    git("commit", "--quiet", "--message", "Change it")
    said = run(script(checkout, "releases"), tmp_path, BASE="HEAD^1")
    assert ("touched=true" in said.split()) == touched


@pytest.mark.parametrize("code", [0, 1])
def test_the_run_ends_as_the_check_does_and_its_summary_is_no_markdown(
    code: int, checkout: Path, tmp_path: Path
) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    gate = {"name": "only_release", "passed": not code, "figure": "also <b>**evil**"}
    answer = [{"kind": "promotion", "model": "orders", "environment": "production", "gates": [gate]}]
    (tmp_path / "answer").write_text(json.dumps(answer))
    bakehouse = tmp_path / "bakehouse"
    bakehouse.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/asked"\ncat "{tmp_path}/answer"\nexit {code}\n')
    bakehouse.chmod(0o755)
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("")
    summary = tmp_path / "summary"
    variables = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "GITHUB_WORKSPACE": "/somewhere",
        "GITHUB_STEP_SUMMARY": str(summary),
        "CHECKED_BASE": "f" * 40,
        "APPROVALS": "2",
        "ALLOWED": "yes",
    }
    text = script(checkout, "Check it")
    if code:
        with pytest.raises(subprocess.CalledProcessError) as raised:
            run(text, tmp_path, **variables)
        assert raised.value.returncode == code
    else:
        run(text, tmp_path, **variables)
    assert (tmp_path / "asked").read_text().split() == [
        *("release", "check", "--clone", "/somewhere/judged", "--base", "f" * 40, "--head", "HEAD"),
        *("--approvals", "2", "--allow-rolled-back", "--json"),
    ]
    lines = summary.read_text().splitlines()
    assert lines[1].strip() == f"{'MISSED' if code else 'passed'} only_release: also <b>**evil**"
    assert all(line.startswith("    ") for line in lines)
