"""Which code is running, as the real git says it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from steps.code_version import code_version


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "code.py").write_text("one\n")
    (folder / ".gitignore").write_text("ignored/\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "First")
    return folder


def test_a_clean_checkout_is_its_commit(repository: Path) -> None:
    (repository / "ignored").mkdir()
    (repository / "ignored" / "state").write_text("what git ignores takes no part")
    found = code_version(repository)
    assert (found.commit, found.dirty, found.diff) == (git(repository, "rev-parse", "HEAD"), False, None)


def test_a_changed_file_makes_it_dirty_and_equal_changes_have_equal_digests(repository: Path) -> None:
    (repository / "code.py").write_text("two\n")
    first = code_version(repository)
    (repository / "code.py").write_text("three\n")
    second = code_version(repository)
    git(repository, "add", ".")
    staged = code_version(repository)
    (repository / "code.py").write_text("two\n")
    assert first.dirty
    assert first.diff != second.diff
    assert staged == second
    assert code_version(repository).diff == first.diff


def test_a_new_file_takes_part_by_name_and_content(repository: Path) -> None:
    (repository / "new.py").write_text("one\n")
    first = code_version(repository)
    (repository / "new.py").write_text("two\n")
    second = code_version(repository)
    (repository / "new.py").rename(repository / "newer.py")
    assert len({first.diff, second.diff, code_version(repository).diff, None}) == 4


def test_the_working_tree_and_its_index_are_left_as_they_were(repository: Path) -> None:
    (repository / "code.py").touch()
    before = (repository / ".git" / "index").read_bytes()
    code_version(repository)
    assert (repository / ".git" / "index").read_bytes() == before


def test_a_checkout_without_a_commit_or_without_git_is_unversioned(tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    git(tmp_path / "fresh", "init", "--quiet")
    assert code_version(tmp_path / "fresh").commit == "unversioned"
    (tmp_path / "plain").mkdir()
    assert code_version(tmp_path / "plain").commit == "unversioned"
    assert code_version(tmp_path / "plain").dirty
