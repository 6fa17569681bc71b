"""The files of a batch: NDJSON, CSV and Parquet as ranges that are read apart, and their rows as JSON documents.

A range holds whole rows and is never read whole, so memory does not grow with a file. What a row means is the
contract's business; here a row is the bytes of one document.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from bakehouse.errors import DataError
from bentos.common import raw_lines
from bentos.common.raw_lines import Line

Format = Literal["ndjson", "csv", "parquet"]

FORMATS: Mapping[str, Format] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
PART_BYTES = 16 << 20
BATCH_BYTES = 2 << 20
BATCH_ROWS = 1_024
CHUNK = 1 << 20
_NEWLINE = ord("\n")

csv.field_size_limit(raw_lines.LONGEST)


class InputFile(BaseModel):
    """One file of a batch. `md5` is the hash under which DVC would keep it."""

    model_config = ConfigDict(frozen=True)

    path: Path
    size: NonNegativeInt
    md5: str


class Part(BaseModel):
    """A range of one file: bytes `start` to `end`, or row groups in Parquet. `first_row` is the number of its first
    row in the file, from 1; a CSV's header is no row."""

    model_config = ConfigDict(frozen=True)

    number: NonNegativeInt
    path: Path
    format: Format
    start: NonNegativeInt
    end: NonNegativeInt
    first_row: PositiveInt
    rows: NonNegativeInt


class Plan(BaseModel):
    """How a batch falls into parts. The same files give the same plan on any machine."""

    model_config = ConfigDict(frozen=True)

    data_version: str
    files: tuple[InputFile, ...]
    parts: tuple[Part, ...]


def plan(paths: Sequence[Path], data_version: str | None = None, part_bytes: int = PART_BYTES) -> Plan:
    """Count each file's rows, hash it, and divide it into parts of about `part_bytes` (Parquet: of whole row groups).
    The data version, where none is given, is what DVC calls the file, or the folder of these files.

    Raises `DataError` where a file is missing, empty, or of a format that is none of `FORMATS`, and where two have one
    name, by which alone an answer says where its row is.
    """
    names = [path.name for path in paths]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"More than one file is named {', '.join(repeated)}.", "Name each once, and differently.")
    files: list[InputFile] = []
    parts: list[Part] = []
    for path in paths:
        kind = FORMATS.get(path.suffix.lower())
        if kind is None:
            raise DataError(f"{path} is of no format that can be scored.", f"Name it {', '.join(FORMATS)}.")
        try:
            ranges = list(_RANGES[kind](path, part_bytes))
            files.append(InputFile(path=path, size=path.stat().st_size, md5=_digest(path)))
        except (OSError, pa.ArrowException, csv.Error) as error:
            raise DataError(f"{path} can't be read: {str(error).splitlines()[0]}.") from error
        first = 1
        for start, end, rows in ranges:
            parts.append(
                Part(number=len(parts), path=path, format=kind, start=start, end=end, first_row=first, rows=rows)
            )
            first += rows
    if not any(part.rows for part in parts):
        raise DataError(f"{', '.join(path.name for path in paths)}: there are no rows to score.")
    return Plan(data_version=data_version or _version(files), files=tuple(files), parts=tuple(parts))


def _version(files: Sequence[InputFile]) -> str:
    """DVC's name of one file is its md5; of several, that of their list as it writes it."""
    if len(files) == 1:
        return files[0].md5
    ordered = sorted(files, key=lambda file: file.path.name)
    listed = [{"md5": file.md5, "relpath": file.path.name} for file in ordered]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _row_groups(path: Path, part_bytes: int) -> Iterator[tuple[int, int, int]]:
    footer = pq.read_metadata(path)
    start = rows = size = 0
    for group in range(footer.num_row_groups):
        meta = footer.row_group(group)
        rows += meta.num_rows
        size += meta.total_byte_size
        if size >= part_bytes or group == footer.num_row_groups - 1:
            yield start, group + 1, rows
            start, rows, size = group + 1, 0, 0


def _line_ranges(path: Path, part_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Ranges of whole lines with how many there are in each."""
    with path.open("rb") as source:
        start = position = rows = 0
        last = _NEWLINE
        while chunk := source.read(CHUNK):
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == _NEWLINE)
            last = chunk[-1]
            taken = 0
            while position + len(chunk) - start >= part_bytes:
                place = int(np.searchsorted(ends, max(0, start + part_bytes - position - 1)))
                if place >= len(ends):
                    break
                end = position + int(ends[place]) + 1
                yield start, end, rows + place + 1 - taken
                start, rows, taken = end, 0, place + 1
            rows += len(ends) - taken
            position += len(chunk)
        if position > start:
            yield start, position, rows + (last != _NEWLINE)


def _csv_ranges(path: Path, part_bytes: int) -> Iterator[tuple[int, int, int]]:
    """The same of a CSV's rows, without its header."""
    _header(path)
    ends = _row_ends(path)
    start = next(ends, 0)
    rows = end = 0
    for end in ends:
        rows += 1
        if end - start >= part_bytes:
            yield start, end, rows
            start, rows = end, 0
    if rows:
        yield start, end, rows


def _row_ends(path: Path) -> Iterator[int]:
    """The place behind each row of a CSV, its header's first. The csv module itself says which quotation marks and line
    ends are text, so that its reader finds the same rows in every range. In Latin-1 a byte is a character."""
    with path.open(encoding="latin-1", newline="") as text:
        place = len(codecs.BOM_UTF8)
        if text.read(place).encode("latin-1") != codecs.BOM_UTF8:
            place = text.seek(0)

        def lines() -> Iterator[str]:
            nonlocal place
            for line in text:
                place += len(line)
                yield line

        for _ in csv.reader(lines()):
            yield place


_RANGES: Mapping[Format, Callable[[Path, int], Iterator[tuple[int, int, int]]]] = {
    "ndjson": _line_ranges,
    "csv": _csv_ranges,
    "parquet": _row_groups,
}


def _header(path: Path) -> list[str]:
    """A CSV's first row, which names its columns."""
    with path.open("rb") as source:
        row = source.read(next(_row_ends(path), 0))
    try:
        return next(csv.reader(io.StringIO(row.decode("utf-8-sig"), newline="")), [])
    except UnicodeDecodeError as error:
        raise DataError("The header of the CSV is not in UTF-8.", "Save the file in UTF-8.") from error


def columns(path: Path) -> list[str] | None:
    """The names of a table's columns; None of NDJSON, whose documents name what they hold."""
    kind = FORMATS[path.suffix.lower()]
    if kind == "ndjson":
        return None
    if kind == "parquet":
        return list(pq.read_schema(path).names)
    return _header(path)


def documents(part: Part, request: type[BaseModel], key: bytes, size: int = BATCH_BYTES) -> Iterator[list[Line]]:
    """The rows of `part` as JSON documents, in lists of about `size` bytes. `key` digests lines too long to keep.

    An NDJSON row is its line as it stands. In CSV a dot leads into an object (`customer.country`); a cell is the text
    itself where the contract takes text there, else JSON; an empty cell says nothing. A null in Parquet is null where
    the contract takes one, else it says nothing.
    """
    if part.format == "ndjson":
        yield from _lines(part, key, size)
        return
    batch: list[Line] = []
    held = 0
    for document in _cells(part, request) if part.format == "csv" else _columns(part, request):
        batch.append(document)
        held += len(document)
        if held >= size:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _lines(part: Part, key: bytes, size: int) -> Iterator[list[Line]]:
    """A part is longer than planned only where a line is, and that one is not read whole."""
    with part.path.open("rb") as source:
        source.seek(part.start)
        left = part.end - part.start
        if left > 2 * PART_BYTES:
            for line in raw_lines.read(source, key):
                yield [line]
                if source.tell() >= part.end:
                    return
        # readlines stops after the line that takes it beyond its hint; a hint of 0 would be none.
        while left > 0 and (lines := source.readlines(min(size, left - 1)) if left > 1 else [source.readline()]):
            left -= sum(map(len, lines))
            yield [line if len(line) <= raw_lines.LONGEST else raw_lines.overlong(line, key) for line in lines]


def _columns(part: Part, request: type[BaseModel]) -> Iterator[bytes]:
    left_out = {
        name
        for name, schema in request.model_json_schema().get("properties", {}).items()
        if not request.model_fields[name].is_required() and not _takes("null", schema, {})
    }
    file = pq.ParquetFile(part.path)
    for batch in file.iter_batches(BATCH_ROWS, row_groups=range(part.start, part.end)):
        for row in batch.to_pylist():
            for name in left_out:
                if row.get(name) is None:
                    row.pop(name, None)
            yield orjson.dumps(row, default=str, option=orjson.OPT_UTC_Z)


def _cells(part: Part, request: type[BaseModel]) -> Iterator[bytes]:
    schema = request.model_json_schema()
    places = [(name.split("."), _takes_text(name.split("."), schema)) for name in _header(part.path)]
    with part.path.open("rb") as source:
        source.seek(part.start)
        text = io.TextIOWrapper(
            io.BufferedReader(_Range(source, part.end)), encoding="utf-8", errors="surrogateescape", newline=""
        )
        try:
            for row in csv.reader(text):
                yield _document(row, places)
        except csv.Error as error:
            raise DataError(f"{part.path} is no CSV from row {part.first_row} on: {error}.") from error


def _document(row: Sequence[str], places: Sequence[tuple[list[str], bool]]) -> bytes:
    """A row of cells as a document. One of another number of cells than the header has is a list, which no contract
    takes; bytes that are no UTF-8 stay what they were, for the gatekeeper to say so."""
    if not row:
        return b""
    if len(row) != len(places):
        return orjson.dumps([len(row)])
    document: dict[str, Any] = {}
    for cell, (path, text) in zip(row, places, strict=True):
        if not cell:
            continue
        holder = document
        for name in path[:-1]:
            holder = holder.setdefault(name, {})
        holder[path[-1]] = cell if text else _value(cell)
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        return json.dumps(document, ensure_ascii=False).encode(errors="surrogateescape")


def _value(cell: str) -> Any:
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


def _takes_text(path: Sequence[str], schema: Mapping[str, Any]) -> bool:
    """Whether the contract takes text at `path`, or knows nothing of it."""
    definitions = schema.get("$defs", {})
    found: Mapping[str, Any] | None = schema
    for name in path:
        inside = [part.get("properties", {}).get(name) for part in _alternatives(found or {}, definitions)]
        found = next((part for part in inside if part is not None), None)
    if found is None:
        return True
    anything = all({"type", "enum", "const"}.isdisjoint(part) for part in _alternatives(found, definitions))
    return anything or _takes("string", found, definitions)


def _takes(kind: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    for part in _alternatives(schema, definitions):
        constants = part.get("enum", [part["const"]] if "const" in part else [])
        if part.get("type") == kind or (kind == "string" and any(isinstance(value, str) for value in constants)):
            return True
    return False


def _alternatives(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        yield from _alternatives(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
        return
    yield schema
    for part in (*schema.get("anyOf", ()), *schema.get("allOf", ()), *schema.get("oneOf", ())):
        yield from _alternatives(part, definitions)


class _Range(io.RawIOBase):
    """A file from where it stands up to `end`, as a file of its own."""

    def __init__(self, source: BinaryIO, end: int) -> None:
        self._source = source
        self._left = end - source.tell()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._source.read(min(self._left, len(buffer)))
        buffer[: len(read)] = read
        self._left -= len(read)
        return len(read)
