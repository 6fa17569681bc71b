"""Masked records are read whole, or the line that is none is named without its value."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from bakehouse.errors import DataError
from bentos.common import ndjson


class Record(BaseModel):
    name: str
    size: int


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    path.write_text('{"name": "b", "size": 1}\n{"name": "a\\u2028", "size": 2}')
    assert ndjson.read(path, Record) == [Record(name="b", size=1), Record(name="a\u2028", size=2)]


def test_a_line_that_is_no_record_is_named_by_number_and_field_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    path.write_text('{"name": "a", "size": 1}\n{"name": "b", "size": "sesame"}\n')
    with pytest.raises(DataError, match=r"records.ndjson, line 2 is no Record: size: ") as raised:
        ndjson.read(path, Record)
    assert "sesame" not in str(raised.value)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    path.touch()
    with pytest.raises(DataError, match="holds no records"):
        ndjson.read(path, Record)
