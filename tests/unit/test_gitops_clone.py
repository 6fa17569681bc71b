"""A clone as it stands: what a branch would be merged to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bakehouse.errors import ReleaseError
from gitops.clone import Clone
from gitops.commits import Change
from gitops.repository import GitopsRepository
from tests.gitops_world import World, commit_files

SETTINGS = "environments/staging/settings"


@pytest.fixture
def clone(world: World) -> Clone:
    """The base and the branch promote/x have a commit each that the other has not."""
    repository = GitopsRepository.open()
    repository.propose(Change("Theirs", {f"{SETTINGS}/theirs.txt": b"theirs"}), "promote/x")
    commit_files(repository, {f"{SETTINGS}/ours.txt": "ours"})
    return Clone(world.clone(), "origin/main")


def test_what_a_branch_would_be_merged_to_has_both_sides(clone: Clone) -> None:
    files = clone.merged("origin/promote/x").files
    assert {f"{SETTINGS}/theirs.txt", f"{SETTINGS}/ours.txt"} <= set(files)


def test_a_git_that_can_not_merge_is_not_taken_for_a_contradiction(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older git knows no `merge-tree --write-tree`."""
    older = tmp_path / "older" / "git"
    older.parent.mkdir()
    refusal = "echo 'usage: git merge-tree <base-tree> <branch1> <branch2>' >&2; exit 129"
    real = shutil.which("git")
    older.write_text(f'#!/bin/sh\ncase " $* " in *" merge-tree "*) {refusal};; esac\nexec {real} "$@"\n')
    older.chmod(0o755)
    monkeypatch.setenv("PATH", str(older.parent), prepend=os.pathsep)
    with pytest.raises(ReleaseError, match=r"usage: git merge-tree.*needs git 2\.38 or newer"):
        clone.merged("origin/promote/x")


def test_histories_that_share_nothing_are_no_contradiction_either(world: World, clone: Clone) -> None:
    world.git("switch", "--quiet", "--orphan", "another", at=clone.cache)
    world.git("commit", "--quiet", "--allow-empty", "--message", "Start", at=clone.cache)
    with pytest.raises(ReleaseError, match="unrelated histories"):
        clone.merged("another")
