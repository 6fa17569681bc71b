"""That the workflows start no loop of their own, and what `check-promotion` asks the forge: its scripts really run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gitops import holds
from gitops.environment import Place
from gitops.promotion import commit_release, promote
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.gitops_world import World, release
from tests.workflows import evaluated, names, program, run, step, workflow

PRODUCTION = Place("production", "orders")


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


def test_a_release_commit_starts_no_training(written: list[str]) -> None:
    on = workflow("train.yml")["on"]
    assert PRODUCTION.hold in written
    assert PRODUCTION.document in written
    for event in ("push", "pull_request"):
        assert triggered(on[event]["paths"], "bentos/orders/estimator.py")
        assert [path for path in written if triggered(on[event]["paths"], path)] == []


def committing() -> list[str]:
    """The workflows of which a job may push to the repository."""
    return [name for name in names() if any(map(_may_push, workflow(name)["jobs"].values()))]


def _may_push(job: dict[str, Any]) -> bool:
    return bool(job["permissions"]) and job["permissions"].get("contents") == "write"


@pytest.mark.parametrize("name", committing())
def test_a_workflow_that_commits_is_started_by_no_release_commit(name: str, written: list[str]) -> None:
    on = workflow(name)["on"]
    for event in ("push", "pull_request", "pull_request_target", "workflow_run", "schedule"):
        if event in on:
            assert [path for path in written if triggered(on[event]["paths"], path)] == [], event


def test_the_workflows_that_may_commit_are_known() -> None:
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
    chosen: str, changed: str, trained: list[str], world: World
) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    text, clone = listing(), clone_with_rooms(world, changed)
    outputs = run(text, clone, CHOSEN=chosen, BASE="HEAD^")
    assert outputs == f"models={json.dumps(trained, separators=(',', ':'))}\n"


@pytest.mark.parametrize("name", ["nosuch", ".*"])
def test_training_refuses_a_model_that_is_none(name: str, world: World) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(listing(), clone_with_rooms(world, "steps/train.py"), CHOSEN=name, BASE="HEAD^")
    assert b"there are: cakes, orders" in refused.value.stdout


def listing() -> str:
    """The script of train.yml that says which models are trained."""
    return str(step("train.yml", "models", "touched")["run"])


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


def script(called: str) -> str:
    return str(step("check-promotion.yml", "check", called)["run"])


IDS = {"ada": 1, "grace": 2, "linus": 3, "mallory": 4, "promoter[bot]": 9}
# GitHub says `write` of who maintains a repository, and `read` of who triages there.
PERMISSIONS = {"ada": "write", "grace": "admin", "linus": "write", "mallory": "read"}


def user(login: str) -> dict[str, Any]:
    return {"login": login, "id": IDS[login], "type": "Bot" if login.endswith("[bot]") else "User"}


def review(login: str, state: str, commit: str = "new", at: int = 1) -> dict[str, Any]:
    # As GitHub says of a member whose membership is private.
    said = {"user": user(login), "author_association": "CONTRIBUTOR", "state": state, "commit_id": commit}
    return {**said, "submitted_at": f"2026-01-01T00:00:{at:02}Z"}


def made(author: str, committer: str = "", known: bool = False) -> dict[str, Any]:
    """A commit as the workflow `promote` makes it, or one by an address whose account GitHub finds."""
    both = {"author": author, "committer": committer or author}
    address = "{login}@example.org" if known else "{number}+{login}@users.noreply.github.com"
    identities = {role: {"email": address.format(login=it, number=IDS[it])} for role, it in both.items()}
    return {"commit": identities, **{role: user(login) if known else None for role, login in both.items()}}


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
        ([review("mallory", "APPROVED")], 0),
        ([review("ada", "COMMENTED")], 0),
        ([review("promoter[bot]", "APPROVED")], 0),
        ([{**review("ada", "APPROVED"), "user": None}], 0),
    ],
)
def test_an_approval_counts_once_for_each_who_may_write_and_for_what_would_be_merged_only(
    reviews: list[dict[str, Any]], approvals: int, tmp_path: Path
) -> None:
    assert asked(tmp_path, reviews=reviews) == [f"approvals={approvals}"]


@pytest.mark.parametrize(
    ("commits", "approvals"),
    [
        ([], 2),
        ([made("ada")], 1),
        ([made("ada", known=True)], 1),
        ([made("linus", committer="ada")], 1),
        ([made("linus"), made("ada")], 1),
        ([made("grace"), made("ada")], 0),
        ([{"commit": {"author": {"email": None}, "committer": None}, "author": None, "committer": None}], 2),
    ],
)
def test_who_started_a_promotion_or_made_a_commit_of_it_does_not_approve_it(
    commits: list[dict[str, Any]], approvals: int, tmp_path: Path
) -> None:
    reviews = [review("ada", "APPROVED"), review("grace", "APPROVED")]
    assert asked(tmp_path, reviews=reviews, commits=commits) == [f"approvals={approvals}"]


def test_who_opened_a_pull_request_does_not_approve_it(tmp_path: Path) -> None:
    assert asked(tmp_path, reviews=[review("ada", "APPROVED")], by="ada") == ["approvals=0"]


def test_the_commits_that_promote_makes_name_the_account_that_started_it() -> None:
    variables = workflow("promote.yml")["jobs"]["promote"]["env"]
    for role in ("AUTHOR", "COMMITTER"):
        email = evaluated(variables[f"GIT_{role}_EMAIL"], github={"actor": "ada", "actor_id": IDS["ada"]})
        assert email == made("ada")["commit"][role.lower()]["email"]


def test_reviews_on_a_second_page_count(tmp_path: Path) -> None:
    """Each page is a document of its own where `gh` doesn't join them."""
    pages = "".join(json.dumps([review(login, "APPROVED")]) for login in ("ada", "grace"))
    assert asked(tmp_path, reviews=pages) == ["approvals=2"]


def test_the_label_alone_lets_a_rolled_back_version_in(tmp_path: Path) -> None:
    assert asked(tmp_path, labels=("other", "allow-rolled-back")) == ["approvals=0", "allowed=yes"]


def test_in_the_merge_queue_the_pull_request_is_the_one_that_the_queue_names(tmp_path: Path) -> None:
    asked(tmp_path, NUMBER="", QUEUED="refs/heads/gh-readonly-queue/main/pr-12-0a1b2c")
    assert (tmp_path / "asked").read_text().splitlines()[0] == "api repos/bakery/releases/pulls/12"


def test_a_forge_that_does_not_answer_fails_the_check(tmp_path: Path) -> None:
    reviews = [review("ada", "APPROVED"), review("linus", "APPROVED")]
    with pytest.raises(subprocess.CalledProcessError):
        asked(tmp_path, reviews=reviews, permissions={"ada": "write"})


def asked(
    folder: Path,
    *,
    reviews: Sequence[dict[str, Any]] | str = (),
    commits: Sequence[dict[str, Any]] = (),
    labels: tuple[str, ...] = (),
    by: str = "promoter[bot]",
    permissions: Mapping[str, str] = PERMISSIONS,
    **variables: str,
) -> list[str]:
    """What the step that asks the forge gives to the next one."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    answers = folder / "answers"
    answers.mkdir()
    pull = {"head": {"sha": "new"}, "labels": [{"name": name} for name in labels], "user": user(by)}
    (answers / "pull").write_text(json.dumps(pull))
    (answers / "commits").write_text(json.dumps(list(commits)))
    (answers / "reviews").write_text(reviews if isinstance(reviews, str) else json.dumps(list(reviews)))
    for login, permission in permissions.items():
        (answers / login).write_text(permission)
    script_of_gh = f"""
        echo "$@" >>"{folder}/asked"
        for argument; do
          case $argument in
            */collaborators/*) login=${{argument#*/collaborators/}}; cat "{answers}/${{login%/permission}}" ;;
            */commits) cat "{answers}/commits" ;;
            */reviews) cat "{answers}/reviews" ;;
            */pulls/*) cat "{answers}/pull" ;;
            *) true ;;
          esac || exit 1
        done"""
    program(folder, "gh", script_of_gh)
    settings = {"NUMBER": "7", "QUEUED": "", "GITHUB_REPOSITORY": "bakery/releases", **variables}
    return run(script("forge"), folder, PATH=f"{folder}:{os.environ['PATH']}", **settings).split()


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
def test_it_looks_closer_where_a_release_is_touched(path: str, touched: bool, tmp_path: Path) -> None:
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
    said = run(script("releases"), tmp_path, BASE="HEAD^1")
    assert ("touched=true" in said.split()) == touched


@pytest.mark.parametrize("code", [0, 1])
def test_the_run_ends_as_the_check_does_and_its_summary_is_no_markdown(code: int, tmp_path: Path) -> None:
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
    text = script("Check it")
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
