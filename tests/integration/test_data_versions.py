"""Raw batches as data versions, with the real DVC."""

from __future__ import annotations

import hashlib
import shutil
import stat
from pathlib import Path

import pytest

from bakehouse.errors import DataError
from steps import data_versions

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
