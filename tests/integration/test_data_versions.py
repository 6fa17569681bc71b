"""Raw batches as data versions, with the real DVC."""

from __future__ import annotations

import hashlib
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakehouse.errors import DataError
from steps import data_pointers, data_versions
from steps.ingest import gather
from tests import unmeasured

FIRST = b'{"a":1}\n{"a":2}\n'
SECOND = b'{"a":3}\n\n{"a":4}'


@pytest.fixture
def batches(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "batches"
    folder.mkdir()
    (folder / "one.ndjson").write_bytes(FIRST)
    (folder / "two.ndjson").write_bytes(SECOND)
    return [folder / "one.ndjson", folder / "two.ndjson"]


def test_a_version_says_of_each_file_its_hash_its_size_and_its_documents(batches: list[Path]) -> None:
    kept = data_versions.keep("orders", batches)
    assert [(file.path, file.size, file.documents) for file in kept.files] == [
        ("one.ndjson", len(FIRST), 2),
        ("two.ndjson", len(SECOND), 3),
    ]
    assert [file.md5 for file in kept.files] == [
        hashlib.md5(content, usedforsecurity=False).hexdigest() for content in (FIRST, SECOND)
    ]
    assert kept.version.endswith(".dir")
    assert kept.documents == 5


def test_the_same_content_has_the_same_version_and_other_content_another(batches: list[Path]) -> None:
    both = data_versions.keep("orders", batches)
    one = data_versions.keep("orders", batches[:1])
    assert data_versions.keep("orders", batches[::-1]) == both
    assert one.version != both.version


def test_every_version_can_be_read_again_byte_for_byte(batches: list[Path]) -> None:
    both = data_versions.keep("orders", batches)
    one = data_versions.keep("orders", batches[:1])
    assert [file.read_bytes() for file in data_versions.files(both)] == [FIRST, SECOND]
    assert [file.read_bytes() for file in data_versions.files(one)] == [FIRST]


def test_what_is_lost_here_is_fetched_from_the_remote(batches: list[Path], state: Path) -> None:
    kept = data_versions.keep("orders", batches)
    for lost in (".dvc", "orders"):
        shutil.rmtree(state / "data" / lost)
    assert [file.read_bytes() for file in data_versions.files(kept)] == [FIRST, SECOND]


def test_what_is_lost_everywhere_is_an_error_that_names_the_version(batches: list[Path], state: Path) -> None:
    kept = data_versions.keep("orders", batches)
    shutil.rmtree(state / "data")
    with pytest.raises(DataError, match=kept.version):
        data_versions.files(kept)


def test_a_teams_remote_is_used_where_one_is_named(
    batches: list[Path], state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEHOUSE_DATA_REMOTE", str(tmp_path / "team"))
    kept = data_versions.keep("orders", batches)
    shutil.rmtree(state)
    assert [file.read_bytes() for file in data_versions.files(kept)] == [FIRST, SECOND]


def test_a_changed_working_copy_is_put_right_before_it_is_read(batches: list[Path]) -> None:
    kept = data_versions.keep("orders", batches)
    first = data_versions.files(kept)[0]
    first.unlink()
    first.write_bytes(b'{"a":"tampered"}\n')
    assert data_versions.files(kept)[0].read_bytes() == FIRST


def test_the_zone_is_its_owners_alone_and_the_batches_are_left_as_they_were(batches: list[Path], state: Path) -> None:
    data_versions.keep("orders", batches)
    assert stat.S_IMODE((state / "data").stat().st_mode) == 0o700
    assert [batch.read_bytes() for batch in batches] == [FIRST, SECOND]
    assert all(batch.stat().st_nlink == 1 and batch.stat().st_mode & stat.S_IWUSR for batch in batches)


def test_an_empty_batch_is_refused_by_name(batches: list[Path]) -> None:
    batches[1].write_bytes(b"")
    with pytest.raises(DataError, match=r"The batch two\.ndjson is empty\."):
        data_versions.keep("orders", batches)


def test_two_batches_of_one_name_are_refused(batches: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other" / "one.ndjson"
    other.parent.mkdir()
    other.write_bytes(SECOND)
    with pytest.raises(DataError, match=r"More than one batch is named one\.ndjson"):
        data_versions.keep("orders", [*batches, other])


def test_what_a_killed_run_left_half_copied_is_removed_by_the_next(batches: list[Path], state: Path) -> None:
    left = state / "data" / "orders" / "incoming-0123"
    left.mkdir(parents=True)
    (left / "one.ndjson").write_bytes(FIRST[:5])
    (left.parent / "incoming-0123.dvc").write_text("outs:\n")
    data_versions.keep("orders", batches)
    assert not list(left.parent.glob("incoming-*"))


def test_a_line_across_two_chunks_is_counted_once(batches: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_versions, "CHUNK", 3)
    assert [file.documents for file in data_versions.keep("orders", batches).files] == [2, 3]


@pytest.fixture
def tree(tmp_path: Path, checkout: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git working tree with the checkout's DVC configuration, its state where a checkout has it, and one batch that
    git holds."""
    tree = tmp_path / "tree"
    (tree / "data").mkdir(parents=True)
    shutil.copytree(checkout / ".dvc", tree / ".dvc", ignore=shutil.ignore_patterns("tmp"))
    (tree / "data" / "one.ndjson").write_bytes(FIRST)
    (tree / ".gitignore").write_text(".bakehouse/\n")
    for arguments in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", "-C", tree, *arguments], check=True)
    monkeypatch.setenv("BAKEHOUSE_STATE", str(tree / ".bakehouse"))
    return tree


def dvc(tree: Path, *arguments: str) -> str:
    """DVC's own command, as typed in the tree."""
    command = [str(Path(sys.executable).parent / "dvc"), *arguments]
    return subprocess.run(
        command, cwd=tree, env=unmeasured.environment(), check=True, capture_output=True, text=True
    ).stdout


def ignored(tree: Path, name: str) -> bool:
    command = ["git", "-C", str(tree), "check-ignore", "--quiet", name]
    return subprocess.run(command, check=False).returncode == 0


def test_every_batch_that_ships_has_a_dvc_file_that_names_its_bytes(checkout: Path) -> None:
    """`bakehouse data add MODEL FILE` writes it."""
    shipped = sorted((checkout / "data").glob("*/*.ndjson"))
    shipped = [batch for batch in shipped if batch.parent.name != "processed"]
    assert shipped
    for batch in shipped:
        (out,) = yaml.safe_load(batch.with_name(f"{batch.name}.dvc").read_text())["outs"]
        content = batch.read_bytes()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        assert out == {"md5": digest, "size": len(content), "hash": "md5", "path": batch.name}


def test_dvc_itself_knows_a_batch_that_git_holds_too_and_brings_it_back(tree: Path) -> None:
    batch = tree / "data" / "one.ndjson"
    data_pointers.add("orders", [batch])
    assert "up to date" in dvc(tree, "status")
    batch.write_bytes(SECOND)
    assert "modified" in dvc(tree, "status")
    batch.unlink()
    shutil.rmtree(tree / ".bakehouse" / "data" / ".dvc" / "cache")
    dvc(tree, "pull", "data/one.ndjson.dvc")
    assert batch.read_bytes() == FIRST
    assert not ignored(tree, "data/one.ndjson")


def test_a_batch_that_git_does_not_hold_is_ignored_by_it_and_its_dvc_file_is_not(tree: Path) -> None:
    (tree / "data" / "two.ndjson").write_bytes(SECOND)
    for _ in range(2):
        data_pointers.add("orders", [tree / "data" / "two.ndjson"])
    assert ignored(tree, "data/two.ndjson")
    assert not ignored(tree, "data/two.ndjson.dvc")
    assert (tree / "data" / ".gitignore").read_text() == "/two.ndjson\n"


def test_a_run_fetches_the_batches_of_which_only_the_dvc_file_is_there(tree: Path) -> None:
    """In a colleague's clone one batch comes with git, the other from the remote, and not into the tree."""
    (tree / "data" / "two.ndjson").write_bytes(SECOND)
    kept = data_pointers.add("orders", [tree / "data" / "one.ndjson", tree / "data" / "two.ndjson"])
    (tree / "data" / "two.ndjson").unlink()
    for lost in (".dvc", "orders"):
        shutil.rmtree(tree / ".bakehouse" / "data" / lost)
    for named in (["data/*.ndjson"], ["data/*"], ["data/one.ndjson", "data/two.ndjson"]):
        found = gather("orders", named, tree)
        assert [path.read_bytes() for path in found] == [FIRST, SECOND]
        assert data_versions.keep("orders", found) == kept
    assert not (tree / "data" / "two.ndjson").exists()


def test_a_dvc_file_whose_batch_is_lost_is_an_error_that_names_it(tree: Path) -> None:
    (tree / "data" / "gone.ndjson.dvc").write_text(f"outs:\n- md5: {'a' * 32}\n  size: 1\n  path: gone.ndjson\n")
    with pytest.raises(DataError, match=rf"fetch the batch gone\.ndjson \(md5 {'a' * 32}\)"):
        gather("orders", ["data/gone.ndjson"], tree)


@pytest.mark.parametrize("content", ["", "outs: []", "outs:\n- md5: ../../etc\n  size: 1\n  path: x\n", "a: [", "\xff"])
def test_what_is_no_dvc_file_of_a_batch_is_said(content: str, tree: Path) -> None:
    (tree / "data" / "odd.ndjson.dvc").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=r"odd\.ndjson\.dvc is no \.dvc file of one batch"):
        gather("orders", ["data/odd.ndjson"], tree)


def test_a_batch_that_is_missing_is_not_added(tree: Path) -> None:
    with pytest.raises(DataError, match=r"No file is there for .*gone\.ndjson"):
        data_pointers.add("orders", [tree / "data" / "one.ndjson", tree / "data" / "gone.ndjson"])
    assert not list((tree / "data").glob("*.dvc"))


@pytest.fixture
def bucket(s3: Any) -> str:
    """A bucket, and the environment that a client of it has."""
    s3.create_bucket(Bucket="data")
    return "data"


def test_on_s3_a_data_version_and_a_batch_survive_the_loss_of_everything_here(
    bucket: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoint and credentials are those that every AWS client reads from its environment."""
    import boto3

    monkeypatch.setenv("BAKEHOUSE_DATA_REMOTE", f"s3://{bucket}/team")
    kept = data_pointers.add("orders", [tree / "data" / "one.ndjson"])
    keys = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(keys) == sorted(f"team/files/md5/{md5[:2]}/{md5[2:]}" for md5 in (kept.version, kept.files[0].md5))
    shutil.rmtree(tree / ".bakehouse")
    (tree / "data" / "one.ndjson").unlink()
    assert [file.read_bytes() for file in data_versions.files(kept)] == [FIRST]
    shutil.rmtree(tree / ".bakehouse")
    assert [path.read_bytes() for path in gather("orders", ["data/one.ndjson"], tree)] == [FIRST]
    assert not (tree / ".bakehouse" / "data" / "remote").exists()


def test_a_bucket_that_is_not_there_is_an_error_that_says_what_could_not_be_kept(
    bucket: str, batches: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEHOUSE_DATA_REMOTE", f"s3://{bucket}-elsewhere/team")
    with pytest.raises(DataError, match="DVC can't keep data version"):
        data_versions.keep("orders", batches)
