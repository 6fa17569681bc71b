"""How a pull request is opened: by a `gh` that notes what it was asked, on real git behind a forge's address."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakehouse.errors import ReleaseError
from gitops.clone import Clone
from gitops.environment import Place
from gitops.promotion import Promotion, commit_release, promote
from gitops.promotion_check import check
from gitops.pull_request import forge
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.conftest import Asked
from tests.gitops_world import NO_CONDITIONS, SETTINGS, World, commit_files, release

URL = "https://forge.example/bakery/releases.git"
ADDRESS = "https://forge.example/bakery/releases/pull/7"
TOKEN = "not-a-token"
GH = f"""#!{sys.executable}
import json, os, pathlib, sys
folder = pathlib.Path(__file__).parent
with (folder / "asked").open("a") as stream:
    print(json.dumps({{"arguments": sys.argv[1:], "prompt": os.environ.get("GH_PROMPT_DISABLED")}}), file=stream)
failing = folder / "failing"
if failing.exists() and failing.read_text() == " ".join(sys.argv[1:3]):
    print("GraphQL: something is wrong", file=sys.stderr)
    sys.exit(1)
if sys.argv[1:3] == ["pr", "list"]:
    print((folder / "open").read_text())
if sys.argv[1:3] == ["pr", "create"]:
    print("{ADDRESS}")
"""


@dataclass(frozen=True)
class Gh:
    """The program, and what it was asked."""

    folder: Path

    def asked(self) -> list[list[str]]:
        file = self.folder / "asked"
        rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        assert all(row["prompt"] == "1" for row in rows)
        return [row["arguments"] for row in rows]

    def open_already(self, *pulls: dict[str, Any]) -> None:
        (self.folder / "open").write_text(json.dumps(pulls))

    def fails(self, command: str) -> None:
        (self.folder / "failing").write_text(command)


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gh:
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "gh").write_text(GH)
    (folder / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    made = Gh(folder)
    made.open_already()
    return made


@pytest.fixture
def repository(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitopsRepository:
    """The world's repository, behind a forge's address."""
    GitopsRepository.open()
    settings = tmp_path / "gitconfig"
    settings.write_text(f'[url "{world.bare}"]\n\tinsteadOf = {URL}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("BAKEHOUSE_GITOPS_URL", URL)
    return GitopsRepository.open()


def promoted(world: World, repository: GitopsRepository) -> Promotion:
    return promote(repository, "orders", "production", open_pr=True, proposals=world.bodies)


def test_a_promotion_for_review_is_pushed_and_its_pull_request_opened(
    world: World, repository: GitopsRepository, gh: Gh
) -> None:
    commit_release(repository, "staging", release(1, policy="review"))
    done = promoted(world, repository)
    assert (done.action, done.pull_request) == ("proposed", ADDRESS)
    assert world.git("rev-parse", done.branch) == done.commit
    listed, created = gh.asked()
    where = ["--repo", "forge.example/bakery/releases"]
    assert listed[:4] == ["pr", "list", *where]
    assert created == [
        *("pr", "create", *where, "--base", "main", "--head", "promote/orders-1-to-production"),
        *("--title", "Promote orders 1 to production", "--body-file", str(done.body)),
    ]
    assert "CODEOWNERS" in Path(created[-1]).read_text()


def test_an_automatic_promotion_is_left_to_the_forge_to_merge_at_that_very_commit(
    world: World, repository: GitopsRepository, gh: Gh
) -> None:
    commit_release(repository, "staging", release(1, policy="automatic"))
    head = repository.fetch()
    done = promoted(world, repository)
    assert done.action == "proposed"
    assert repository.fetch() == head
    assert gh.asked()[-1] == ["pr", "merge", ADDRESS, "--auto", "--rebase", "--match-head-commit", done.commit]
    assert "Nobody has to agree" in _body(done)


def test_an_environment_that_asks_for_approvals_waits_for_them_whatever_the_model_says(
    world: World, repository: GitopsRepository, gh: Gh
) -> None:
    commit_release(repository, "staging", release(1, policy="automatic"))
    commit_files(repository, {SETTINGS: f"{NO_CONDITIONS}approvals: 2\n"})
    done = promoted(world, repository)
    assert "2 approvals must be given" in _body(done)
    assert gh.asked()[-1][:2] == ["pr", "create"]


def _body(done: Promotion) -> str:
    assert done.body is not None
    return done.body.read_text()


def test_run_again_it_brings_the_open_pull_request_up_to_date(
    world: World, repository: GitopsRepository, gh: Gh
) -> None:
    commit_release(repository, "staging", release(1, policy="review"))
    promoted(world, repository)
    gh.open_already({"url": ADDRESS, "isCrossRepository": False})
    again = promoted(world, repository)
    assert (again.action, again.pull_request) == ("already proposed", ADDRESS)
    assert gh.asked()[-1][:3] == ["pr", "edit", ADDRESS]


def test_a_forks_branch_of_the_same_name_is_neither_edited_nor_merged(
    world: World, repository: GitopsRepository, gh: Gh
) -> None:
    gh.open_already({"url": "https://forge.example/bakery/releases/pull/6", "isCrossRepository": True})
    commit_release(repository, "staging", release(1, policy="automatic"))
    done = promoted(world, repository)
    assert done.pull_request == ADDRESS
    assert not [words for words in gh.asked() if any("pull/6" in word for word in words)]


def test_where_gh_is_missing_the_branch_is_pushed_and_it_says_what_to_type(
    world: World, repository: GitopsRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_release(repository, "staging", release(1, policy="review"))
    git = next(Path(folder) / "git" for folder in os.environ["PATH"].split(":") if (Path(folder) / "git").exists())
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(alone))
    with pytest.raises(ReleaseError) as raised:
        promoted(world, repository)
    assert "The program gh was not found" in str(raised.value)
    assert (
        "by hand: gh pr create --repo forge.example/bakery/releases --base main --head promote/orders-1-to-production"
        " --title 'Promote orders 1 to production' --body-file "
    ) in str(raised.value)
    assert repository.at(repository.fetch()) is not None
    assert repository.proposal("promote/orders-1-to-production") is not None


@pytest.mark.parametrize("command", ["pr list", "pr create", "pr merge"])
def test_what_gh_complains_of_is_said_and_the_next_run_finishes(
    world: World, repository: GitopsRepository, gh: Gh, command: str
) -> None:
    commit_release(repository, "staging", release(1, policy="automatic"))
    gh.fails(command)
    with pytest.raises(ReleaseError, match=f"`gh {command}` failed: GraphQL: something is wrong"):
        promoted(world, repository)
    gh.fails("")
    assert promoted(world, repository).pull_request == ADDRESS


def test_an_answer_of_gh_that_is_none_is_an_error(world: World, repository: GitopsRepository, gh: Gh) -> None:
    commit_release(repository, "staging", release(1))
    (gh.folder / "open").write_text("no JSON")
    with pytest.raises(ReleaseError, match="`gh pr list` answered what can't be read"):
        promoted(world, repository)


def test_a_folder_is_no_forge_and_nothing_is_pushed(world: World, gh: Gh) -> None:
    own = GitopsRepository.open()
    commit_release(own, "staging", release(1))
    with pytest.raises(ReleaseError, match="There is no forge at .*Leave --open-pr away"):
        promoted(world, own)
    assert gh.asked() == []
    assert world.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://forge.example/bakery/releases", "forge.example/bakery/releases"),
        ("https://forge.example/bakery/releases.git", "forge.example/bakery/releases"),
        (f"https://x:{TOKEN}@forge.example/bakery/releases.git/", "forge.example/bakery/releases"),
        ("git@forge.example:bakery/releases.git", "forge.example/bakery/releases"),
        ("ssh://git@forge.example:2222/bakery/releases.git", "forge.example/bakery/releases"),
    ],
)
def test_the_repository_is_named_as_gh_names_it(url: str, repository: str) -> None:
    assert forge(url, "main").repository == repository


@pytest.mark.parametrize("url", ["/srv/releases.git", "../releases", "file:///srv/releases.git", "releases", ""])
def test_an_address_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(ReleaseError, match="no forge"):
        forge(url, "main")


def test_the_command_tells_the_pull_requests_address(
    world: World, repository: GitopsRepository, gh: Gh, bakehouse: Asked
) -> None:
    commit_release(repository, "staging", release(1, policy="review"))
    said = bakehouse.json("promote", "orders", "--to", "production", "--open-pr")
    assert said["pull_request"] == ADDRESS


def test_a_rollback_of_a_protected_branch_is_a_pull_request_that_the_check_lets_pass(
    world: World, repository: GitopsRepository, gh: Gh
) -> None:
    place = Place("production", "orders")
    for version in (1, 2):
        commit_release(repository, "staging", release(version, champion=version - 1 or None))
        promote(repository, "orders", "production", proposals=world.bodies)
    head = repository.fetch()
    done = roll_back(repository, place, reason="it answers *nonsense*", proposals=world.bodies)
    assert (done.action, done.model_version, done.away_from) == ("proposed", 1, 2)
    assert repository.fetch() == head, "nothing may land before the merge"
    assert done.request is not None
    assert world.git("rev-parse", done.request.branch) == done.commit
    _, created, merged = gh.asked()
    assert created[:2] == ["pr", "create"]
    assert created[-4:] == ["--title", "Roll back orders in production to 1", "--body-file", str(done.request.body)]
    assert merged == ["pr", "merge", ADDRESS, "--auto", "--rebase", "--match-head-commit", done.commit]
    assert "`it answers *nonsense*`" in done.request.body.read_text()

    (found,) = check(Clone(world.clone(), "origin/main"), f"origin/{done.request.branch}")
    assert (found.kind, found.model_version) == ("rollback", 1)
    assert all(gate.passed for gate in found.gates)

    gh.open_already({"url": ADDRESS, "isCrossRepository": False})
    again = roll_back(repository, place, proposals=world.bodies)
    assert (again.commit, again.request and again.request.address) == (done.commit, ADDRESS)


def test_a_release_that_was_taken_out_twice_is_brought_back_by_two_requests(
    world: World, repository: GitopsRepository, gh: Gh
) -> None:
    place = Place("production", "orders")
    commit_release(repository, "staging", release(1))
    promote(repository, "orders", "production", proposals=world.bodies)
    for _ in range(2):
        commit_files(repository, {place.document: None, place.pin: None}, "Take it out")
        done = roll_back(repository, place, proposals=world.bodies)
        assert done.request is not None
        world.git("fetch", ".", f"{done.request.branch}:main")
        assert repository.fetch() == done.commit


def test_a_rollback_request_that_gh_refuses_says_what_to_type(
    world: World, repository: GitopsRepository, gh: Gh
) -> None:
    for version in (1, 2):
        commit_release(repository, "staging", release(version, champion=version - 1 or None))
        promote(repository, "orders", "production", proposals=world.bodies)
    gh.fails("pr create")
    with pytest.raises(ReleaseError, match="something is wrong.*is pushed") as caught:
        roll_back(repository, Place("production", "orders"), proposals=world.bodies)
    assert "gh pr create" in str(caught.value.hint)


def test_what_only_waits_for_its_merge_is_not_said_to_be_undone_before(
    world: World, repository: GitopsRepository, gh: Gh, bakehouse: Asked
) -> None:
    commit_release(repository, "staging", release(1))
    promote(repository, "orders", "production", proposals=world.bodies)
    commit_release(repository, "staging", release(2, champion=1))
    assert "Once merged, to undo it: bakehouse rollback orders --env production --to 1" in bakehouse(
        "promote", "orders", "--to", "production", "--open-pr"
    )
    assert "\nTo undo it: bakehouse rollback orders --env production --to 1" in bakehouse(
        "promote", "orders", "--to", "production"
    )
    assert f"goes back to orders 1 when this is merged: {ADDRESS}" in bakehouse(
        "rollback", "orders", "--env", "production", "--open-pr"
    )
