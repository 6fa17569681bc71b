"""The files of a batch: how they fall into parts, and the documents that their rows become."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from bakehouse.errors import DataError
from bentos.common import raw_lines
from bentos.common.raw_lines import Overlong
from bentos.common.scoring_files import Plan, columns, documents, plan

KEY = b"k" * 32
ROWS = [{"name": f'row {number}\nof\tmany, "quoted" ümläut', "count": number} for number in range(1, 301)]


class Place(BaseModel):
    city: str | None = None
    floor: int | None = None


class Anything(BaseModel):
    """Knows no column, so every cell is text."""


class Request(BaseModel):
    name: str
    count: int
    time: datetime | None = None
    place: Place | None = None
    tags: list[str] = []
    anything: Annotated[Any, "kept"] = None


def ndjson(path: Path, end: str = "\n") -> Path:
    path.write_text("\n".join(map(json.dumps, ROWS)) + end)
    return path


def table(path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["name", "count"])
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=70)
    return path


def read(planned: Plan) -> list[Any]:
    return [
        json.loads(document) if isinstance(document, bytes) else document
        for part in planned.parts
        for batch in documents(part, Request, KEY)
        for document in batch
    ]


def csv_of(path: Path, text: str | bytes) -> list[Any]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(plan([path]))


@pytest.mark.parametrize("part_bytes", [1, 97, 5_000, 1 << 20])
@pytest.mark.parametrize("write", [ndjson, table, parquet])
def test_each_row_is_in_one_part_and_has_its_number(write: Any, part_bytes: int, tmp_path: Path) -> None:
    suffix = {"ndjson": "ndjson", "table": "csv", "parquet": "parquet"}[write.__name__]
    planned = plan([write(tmp_path / f"batch.{suffix}")], part_bytes=part_bytes)
    assert read(planned) == ROWS
    for part in planned.parts:
        held = [json.loads(row) for batch in documents(part, Request, KEY) for row in batch if isinstance(row, bytes)]
        assert [row["count"] for row in held] == list(range(part.first_row, part.first_row + part.rows))
    assert len(planned.parts) == 1 if part_bytes == 1 << 20 else len(planned.parts) > 1


def test_a_last_line_without_an_end_is_a_row(tmp_path: Path) -> None:
    planned = plan([ndjson(tmp_path / "batch.ndjson", end="")], part_bytes=5_000)
    assert read(planned) == ROWS
    assert sum(part.rows for part in planned.parts) == len(ROWS)


def test_documents_come_in_lists_that_do_not_grow_with_the_file(tmp_path: Path) -> None:
    (part,) = plan([ndjson(tmp_path / "batch.ndjson")]).parts
    sizes = [sum(map(len, batch)) for batch in documents(part, Request, KEY, size=1_000)]  # type: ignore[arg-type]
    assert len(sizes) > 10
    assert max(sizes) < 1_200


def test_a_line_too_long_to_keep_is_its_length_and_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "batch.ndjson"
    path.write_bytes(b'{"name":"a","count":1}\n"' + b"x" * raw_lines.LONGEST + b'"\n{"name":"b","count":2}\n')
    first, second, third = read(plan([path]))
    assert (first["count"], third["count"]) == (1, 2)
    assert isinstance(second, Overlong)
    assert second.length == raw_lines.LONGEST + 3


def test_a_cell_is_text_where_the_contract_takes_text_and_json_elsewhere(tmp_path: Path) -> None:
    found = csv_of(tmp_path / "a.csv", 'name,count,tags,anything\n12,7,"[""x""]",007\n')
    assert found == [{"name": "12", "count": 7, "tags": ["x"], "anything": "007"}]


def test_a_dot_in_a_columns_name_leads_into_an_object(tmp_path: Path) -> None:
    found = csv_of(tmp_path / "a.csv", "name,place.city,place.floor\na,7,3\nb,,\n")
    assert found == [{"name": "a", "place": {"city": "7", "floor": 3}}, {"name": "b"}]


def test_a_row_with_more_cells_than_the_header_is_no_object(tmp_path: Path) -> None:
    assert csv_of(tmp_path / "a.csv", "name,count\na,1,2\n") == [[3]]


def test_a_byte_order_mark_is_no_part_of_the_first_columns_name(tmp_path: Path) -> None:
    assert csv_of(tmp_path / "a.csv", b"\xef\xbb\xbfname,count\r\na,1\r\n") == [{"name": "a", "count": 1}]


def test_a_cell_that_is_not_utf_8_is_left_for_the_gatekeeper_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("name,count\nü,1\n".encode("latin-1"))
    ((document,),) = documents(plan([path]).parts[0], Request, KEY)
    assert document == b'{"name": "\xfc", "count": 1}'


def test_a_null_of_parquet_is_left_out_where_the_contract_takes_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    row = {"name": "a", "count": 1, "tags": None, "place": None, "time": datetime(2026, 1, 2, tzinfo=UTC)}
    pq.write_table(pa.Table.from_pylist([row, {**row, "tags": ["x"]}]), path)
    first, second = read(plan([path]))
    assert first == {"name": "a", "count": 1, "place": None, "time": "2026-01-02T00:00:00Z"}
    assert second["tags"] == ["x"]


STRAY = [
    'name,count\n5" pipe,1\nb,2\n',
    'name,count\n"5"" pipe",1\n6" x 7" pipe,2\nc,3\n',
    'name,count\n"a"b" c,1\n"d\ne",2\n',
    'name,5" pipe\na,1\n',
    "name,count\ra,1\rb,2\r",
    "name,count\na\rb,2\n",
    '\ufeff"na\nme",count\na,1',
    'name,count\n\na,"1\n2',
]


@pytest.mark.parametrize("text", STRAY)
@pytest.mark.parametrize("part_bytes", [1, 1 << 20])
def test_a_quotation_mark_opens_a_cell_only_at_its_start(text: str, part_bytes: int, tmp_path: Path) -> None:
    assert_read_as_csv_does(text.encode(), part_bytes, tmp_path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.text(alphabet='",\n\ra;\u00fc', max_size=30),
    rows=st.text(alphabet='",\n\ra;\u00fc', min_size=1, max_size=60),
    part_bytes=st.integers(1, 40),
)
def test_rows_of_a_csv_are_those_of_the_csv_module(header: str, rows: str, part_bytes: int, tmp_path: Path) -> None:
    """Whatever its quotation marks and line ends are, however it is divided."""
    assert_read_as_csv_does(f"{header}\n{rows}".encode(), part_bytes, tmp_path)


def assert_read_as_csv_does(content: bytes, part_bytes: int, folder: Path) -> None:
    path = folder / "batch.csv"
    path.write_bytes(content)
    with path.open(encoding="utf-8-sig", newline="") as text:
        header, *rows = csv.reader(text)
    if not rows:
        with pytest.raises(DataError, match="no rows"):
            plan([path], part_bytes=part_bytes)
        return
    assert columns(path) == header
    planned = plan([path], part_bytes=part_bytes)
    first = 1
    for part in planned.parts:
        held = [row for batch in documents(part, Anything, KEY) for row in batch]
        expected = [document_of(row, header) for row in rows[first - 1 : first - 1 + part.rows]]
        assert (part.first_row, [json.loads(row) if row else None for row in held]) == (first, expected)  # type: ignore[arg-type]
        first += part.rows
    assert first - 1 == len(rows)


def document_of(row: list[str], header: list[str]) -> Any:
    if not row:
        return None
    if len(row) != len(header):
        return [len(row)]
    return {name: cell for name, cell in zip(header, row, strict=True) if cell}


def test_one_file_has_the_version_that_dvc_gives_it(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "batch.ndjson")
    assert plan([path]).data_version == hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324  DVC's own
    assert plan([path], "2026-11").data_version == "2026-11"


def test_several_files_have_the_version_that_training_gives_them(tmp_path: Path) -> None:
    from steps import data_versions

    paths = [ndjson(tmp_path / "b.ndjson"), ndjson(tmp_path / "a.ndjson", end="")]
    assert plan(paths).data_version == data_versions.keep("orders", paths).version


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xlsx", b"x", "no format"),
        ("a.ndjson", b"", "no rows"),
        ("a.csv", b"name,count\n", "no rows"),
        ("a.parquet", b"PAR1 and no more", "can't be read"),
        ("a.csv", b"n\xfcme,count\na,1\n", "not in UTF-8"),
    ],
)
def test_a_file_that_can_not_be_scored_is_named_with_the_reason(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        plan([tmp_path / name])


def test_two_files_of_one_name_are_refused_whatever_their_version_is_called(tmp_path: Path) -> None:
    """An answer says by the name alone of which file its row is."""
    (tmp_path / "b").mkdir()
    paths = [ndjson(tmp_path / "a.ndjson"), ndjson(tmp_path / "b" / "a.ndjson")]
    for version in (None, "2026-11"):
        with pytest.raises(DataError, match=r"More than one file is named a\.ndjson"):
            plan(paths, version)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone.ndjson"):
        plan([tmp_path / "gone.ndjson"])
