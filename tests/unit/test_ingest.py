"""Which files the batches of a run configuration name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakehouse.errors import DataError
from steps.ingest import find


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("orders/b-1.ndjson", "orders/b-2.ndjson", "orders/deep/b-3.ndjson"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    return tmp_path


def test_paths_are_seen_from_the_checkout_and_patterns_are_expanded_in_order(root: Path) -> None:
    found = find(["orders/b-2.ndjson", "orders/*.ndjson"], root)
    assert found == [root / "orders/b-2.ndjson", root / "orders/b-1.ndjson"]
    assert find(["**/b-3.ndjson"], root) == [root / "orders/deep/b-3.ndjson"]


def test_an_absolute_path_is_taken_as_it_is(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.ndjson"
    elsewhere.write_text("{}\n")
    assert find([str(elsewhere)], root / "orders") == [elsewhere]


def test_every_name_that_leads_to_no_file_is_listed(root: Path) -> None:
    with pytest.raises(DataError, match=r"No file is there for orders/gone\.ndjson, new/\*\."):
        find(["orders/gone.ndjson", "orders/b-1.ndjson", "new/*"], root)


def test_a_folder_is_no_batch(root: Path) -> None:
    with pytest.raises(DataError, match="No file is there for orders/deep"):
        find(["orders/deep"], root)
