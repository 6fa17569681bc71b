"""Train, dev and test hold every record once; time never runs backwards between them; a hash never moves a record."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakehouse.errors import DataError
from bentos.common.estimator import Split
from bentos.common.room import load_room
from steps.split import PARTS, by_hash, by_time, split_file
from tests.masked_orders import write_masked

START = datetime(2010, 12, 1, tzinfo=UTC)
BY_TIME = Split(by="time", train=0.6, dev=0.2)
BY_HASH = Split(by="hash", train=0.6, dev=0.2)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200))
def test_no_record_is_earlier_than_one_of_an_earlier_part(minutes: list[int]) -> None:
    times = [START + timedelta(minutes=minute) for minute in minutes]
    parts = [PARTS.index(part) for part in by_time(times, BY_TIME)]
    ordered = sorted(zip(times, parts, strict=True))
    assert [part for _, part in ordered] == sorted(parts)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50))
def test_records_of_one_moment_stay_together(minutes: list[int]) -> None:
    times = [START + timedelta(minutes=minute) for minute in minutes]
    assert len(set(zip(times, by_time(times, BY_TIME), strict=True))) == len(set(times))


def test_a_split_by_time_has_the_stated_shares() -> None:
    times = [START + timedelta(minutes=minute) for minute in range(100)]
    assert Counter(by_time(times, BY_TIME)) == {"train": 60, "dev": 20, "test": 20}


def test_a_split_by_hash_has_about_the_stated_shares() -> None:
    counts = Counter(by_hash([f"order {number}" for number in range(5_000)], BY_HASH))
    assert counts["train"] / 5_000 == pytest.approx(0.6, abs=0.03)
    assert counts["dev"] / 5_000 == pytest.approx(0.2, abs=0.03)


def test_a_record_stays_in_its_part_by_hash_whatever_else_arrives() -> None:
    some = [f"order {number}" for number in range(100)]
    more = [f"earlier {number}" for number in range(50)] + some
    assert by_hash(more, BY_HASH)[50:] == by_hash(some, BY_HASH)


def test_every_line_of_real_orders_is_in_one_part_unchanged(tmp_path: Path) -> None:
    masked = write_masked(tmp_path / "masked.ndjson", 1, 2)
    parts = split_file(load_room("orders"), masked, tmp_path)
    lines = [line for part in parts for line in part.read_bytes().splitlines(keepends=True)]
    assert Counter(lines) == Counter(masked.read_bytes().splitlines(keepends=True))


def test_too_few_records_for_three_parts_are_an_error(tmp_path: Path) -> None:
    masked = write_masked(tmp_path / "masked.ndjson", 1)
    masked.write_bytes(masked.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(DataError, match="leave the train set empty"):
        split_file(load_room("orders"), masked, tmp_path)
