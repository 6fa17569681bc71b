"""The GitOps repository through real git: how it is made, changed, and what it says when something is wrong."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from bakehouse.errors import BakehouseError, ReleaseError
from gitops.commits import Change
from gitops.repository import RETRY_SECONDS, GitopsRepository, Snapshot
from tests.gitops_world import World, commit_files

NOTE = "environments/staging/settings/note.txt"


def test_the_laptops_own_repository_starts_from_the_environments_of_the_checkout(world: World) -> None:
    snapshot = GitopsRepository.open().at()
    assert snapshot.text("environments/staging/settings/kustomization.yaml") == "kind: Component\n"
    assert all(path.startswith("environments/") for path in snapshot.files)
    assert world.git("rev-list", "--count", "main") == "1"


def test_the_committed_environments_count_where_the_checkout_is_in_git(world: World) -> None:
    settings = world.checkout / "environments/staging/settings/kustomization.yaml"
    world.git("init", "--quiet", ".", at=world.checkout)
    world.git("add", ".", at=world.checkout)
    world.git("commit", "--quiet", "-m", "Start", at=world.checkout)
    settings.write_text("not committed\n")
    assert GitopsRepository.open().at().text("environments/staging/settings/kustomization.yaml") == "kind: Component\n"


def test_a_commit_lands_with_its_files_body_and_trailers(world: World) -> None:
    repository = GitopsRepository.open()
    start = repository.head()
    made = repository.commit(lambda _: Change("Note it", {NOTE: b"one\n"}, {"Model": "orders"}, "Because."))
    assert made is not None
    assert (made.subject, made.trailers, made.parents) == ("Note it", {"Model": "orders"}, (start,))
    assert world.git("show", f"main:{NOTE}") == "one"
    assert world.git("log", "-1", "--format=%B") == "Note it\n\nBecause.\n\nModel: orders"


def test_a_plan_that_changes_nothing_makes_no_commit(world: World) -> None:
    repository = GitopsRepository.open()
    head = repository.head()
    assert repository.commit(lambda _: None) is None
    assert repository.fetch() == head


def test_a_commit_that_lost_a_race_elsewhere_is_planned_anew_on_the_new_head(world: World) -> None:
    seen: list[str] = []
    other = GitopsRepository.open()

    def plan(snapshot: Snapshot) -> Change:
        seen.append(snapshot.revision)
        if len(seen) == 1:
            commit_files(other, {"environments/production/settings/note.txt": "theirs"})
        return Change("Mine", {NOTE: b"mine"})

    made = GitopsRepository.open().commit(plan, watch=["environments/staging"])
    assert made is not None
    assert made.parents == (seen[1],)
    assert world.git("show", "main:environments/production/settings/note.txt") == "theirs"


def test_a_commit_that_lost_a_race_for_its_own_folder_names_the_winner(world: World) -> None:
    other = GitopsRepository.open()

    def plan(snapshot: Snapshot) -> Change:
        if NOTE not in snapshot.files:
            commit_files(other, {NOTE: "theirs"}, "Theirs was first")
        return Change("Mine", {NOTE: b"mine"})

    with pytest.raises(ReleaseError, match=r"Lost the race for environments/staging to .*Theirs was first"):
        GitopsRepository.open().commit(plan, watch=["environments/staging"])
    assert world.git("show", f"main:{NOTE}") == "theirs"


def test_a_lost_race_is_no_failure_where_the_winner_did_the_same(world: World) -> None:
    other = GitopsRepository.open()

    def plan(snapshot: Snapshot) -> Change | None:
        if NOTE in snapshot.files:
            return None
        commit_files(other, {NOTE: "same"})
        return Change("Mine", {NOTE: b"same"})

    assert GitopsRepository.open().commit(plan, watch=["environments/staging"]) is None


def test_stale_locks_of_a_killed_run_do_not_stop_the_next(world: World) -> None:
    repository = GitopsRepository.open()
    repository.fetch()
    commit_files(GitopsRepository.open(), {NOTE: "new"})
    for lock in ("refs/heads/main.lock", "packed-refs.lock", "config.lock"):
        (repository.cache / lock).touch()
    assert repository.at(repository.fetch()).text(NOTE) == "new"


@pytest.mark.parametrize("damage", ["empty", "garbage", "objects"])
def test_a_damaged_cache_is_made_again(world: World, damage: str) -> None:
    repository = GitopsRepository.open()
    repository.fetch()
    if damage == "empty":
        for file in repository.cache.rglob("*"):
            if file.is_file():
                file.unlink()
    elif damage == "garbage":
        (repository.cache / "HEAD").write_text("garbage")
    else:
        for file in (repository.cache / "objects").rglob("*"):
            if file.is_file():
                file.unlink()
    commit_files(GitopsRepository.open(), {NOTE: "new"})
    again = GitopsRepository.open()
    assert again.at(again.fetch()).text(NOTE) == "new"


def test_the_users_hooks_and_signing_are_left_out_of_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction", "post-commit"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f"[core]\n\thooksPath = {hooks}\n[commit]\n\tgpgSign = true\n[push]\n\tgpgSign = true\n"
        "[user]\n\tname = Grace Hopper\n\temail = grace@example.org\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    made = commit_files(GitopsRepository.open(), {NOTE: "new"})
    assert made.author == "Grace Hopper <grace@example.org>"


def test_a_machine_without_an_identity_commits_as_bakehouse(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    repository = GitopsRepository.open()
    assert commit_files(repository, {NOTE: "new"}).author == "Bakehouse <bakehouse@localhost>"
    assert repository.identity() == "Bakehouse <bakehouse@localhost>"


def test_a_foreign_git_dir_in_the_environment_is_ignored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert commit_files(GitopsRepository.open(), {NOTE: "new"}).subject == "By hand"


def test_a_repository_that_is_missing_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no git repository at .*nowhere.*BAKEHOUSE_GITOPS_URL"):
        GitopsRepository.open(str(tmp_path / "nowhere")).fetch()


def test_a_branch_that_is_missing_is_named(world: World) -> None:
    GitopsRepository.open().fetch()
    with pytest.raises(ReleaseError, match="no branch release.*BAKEHOUSE_GITOPS_BRANCH"):
        GitopsRepository.open(str(world.bare), "release").fetch()


def test_a_host_that_is_out_of_reach_is_named_without_the_password(world: World) -> None:
    with pytest.raises(ReleaseError, match="can't be reached") as raised:
        GitopsRepository.open("http://ada:secret@127.0.0.1:9/releases.git").fetch()
    assert "secret" not in str(raised.value)


def test_a_repository_that_refuses_says_what_it_said(world: World) -> None:
    repository = GitopsRepository.open()
    head = repository.head()
    hook = world.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho main is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(ReleaseError, match="refused the commit.*hook declined"):
        commit_files(repository, {NOTE: "new"})
    assert repository.fetch() == head


def test_a_repository_that_may_not_be_written_says_so(world: World) -> None:
    repository = GitopsRepository.open()
    repository.fetch()
    unwritable = world.bare / "objects"
    unwritable.rename(world.bare / "elsewhere")
    unwritable.write_text("")
    with pytest.raises(ReleaseError):
        commit_files(repository, {NOTE: "new"})


def test_an_unknown_revision_is_named(world: World) -> None:
    with pytest.raises(ReleaseError, match="no revision v9"):
        GitopsRepository.open().at("v9")


def test_an_unknown_revision_is_named_also_where_it_is_a_whole_commit_name(world: World) -> None:
    unknown = "0123456789" * 4
    with pytest.raises(ReleaseError, match=f"no revision {unknown}.*`bakehouse history` lists the commits"):
        GitopsRepository.open().at(unknown)


def test_every_commit_of_the_branch_is_found_by_its_whole_name(world: World) -> None:
    repository = GitopsRepository.open()
    start = repository.head()
    made = commit_files(repository, {NOTE: "new"})
    assert repository.at(start).text(NOTE) is None
    assert GitopsRepository.open().at(made.sha).text(NOTE) == "new"


def test_nothing_but_the_branch_and_proposals_is_ever_pushed(world: World) -> None:
    repository = GitopsRepository.open()
    commit_files(repository, {NOTE: "new"})
    repository.propose(Change("Maybe", {NOTE: b"maybe"}), "promote/orders-2-to-production")
    refs = world.git("for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/heads/main", "refs/heads/promote/orders-2-to-production"]


def test_a_proposal_never_replaces_another(world: World) -> None:
    repository = GitopsRepository.open()
    first = repository.propose(Change("First", {NOTE: b"first"}), "promote/x")
    commit_files(repository, {"environments/production/settings/note.txt": "moved on"})
    with pytest.raises(ReleaseError, match="branch promote/x exists already"):
        repository.propose(Change("Second", {NOTE: b"second"}), "promote/x")
    assert world.git("rev-parse", "promote/x") == first.sha


def test_a_branch_that_a_proposals_name_cannot_stand_beside_is_named(world: World) -> None:
    repository = GitopsRepository.open()
    repository.fetch()
    world.git("branch", "promote", "main")
    with pytest.raises(ReleaseError, match="can't have a branch promote/x.*in its way.*Rename or delete"):
        repository.propose(Change("Maybe", {NOTE: b"maybe"}), "promote/x")


def test_a_lock_that_stays_is_named_soon_rather_than_taken_for_a_race(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.repository._HELD_SECONDS", 0.5)
    repository = GitopsRepository.open()
    head = repository.fetch()
    lock = world.bare / "refs/heads/main.lock"
    lock.touch()
    started = time.monotonic()
    with pytest.raises(ReleaseError, match=r"is locked: .*main\.lock.*remove it"):
        commit_files(repository, {NOTE: "new"})
    assert time.monotonic() - started < RETRY_SECONDS / 2
    lock.unlink()
    assert repository.fetch() == head


def test_a_lock_that_is_held_for_a_moment_is_waited_for(world: World) -> None:
    repository = GitopsRepository.open()
    repository.fetch()
    lock = world.bare / "refs/heads/main.lock"
    lock.touch()
    later = threading.Timer(1.0, lock.unlink)
    later.start()
    assert commit_files(repository, {NOTE: "new"}).subject == "By hand"
    later.join()


def test_git_that_hangs_ends_with_what_it_started_which_would_hold_the_cache(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second try finds the cache free."""
    transport = tmp_path / "bin" / "git-remote-slow"
    transport.parent.mkdir()
    transport.write_text("#!/bin/sh\nexec sleep 600\n")
    transport.chmod(0o755)
    monkeypatch.setenv("PATH", str(transport.parent), prepend=os.pathsep)
    monkeypatch.setattr("gitops.git.NETWORK_TIMEOUT_SECONDS", 2.0)
    monkeypatch.setattr("gitops.repository._LOCK_SECONDS", 10.0)
    repository = GitopsRepository.open("slow::anywhere")
    for _ in range(2):
        with pytest.raises(ReleaseError, match="did not answer within 2 s"):
            repository.fetch()


def test_a_file_whose_name_is_no_utf8_is_written_and_kept(world: World) -> None:
    repository = GitopsRepository.open()
    name = os.fsdecode(b"environments/staging/settings/caf\xe9.txt")
    commit_files(repository, {name: "coffee"})
    commit_files(repository, {NOTE: "new"}, f"Beside {name}")
    assert repository.at(repository.fetch()).text(name) == "coffee"


def test_two_first_uses_at_once_make_one_repository(world: World, checkout: Path) -> None:
    import sys

    code = "from gitops.repository import GitopsRepository as G; print(G.open().head())"
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=checkout, text=True) for _ in range(6)]
    heads = {process.communicate()[0].strip() for process in running}
    assert len(heads) == 1
    assert not list(world.bare.parent.glob("gitops.git.*"))


def test_a_checkout_without_environments_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bentos").mkdir()
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(tmp_path))
    with pytest.raises(BakehouseError, match="no folder environments"):
        GitopsRepository.open()
