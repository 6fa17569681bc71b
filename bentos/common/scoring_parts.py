"""The answers to a batch on disk: one Parquet file for each part, beside it what was refused, at the end a manifest.

A part is there whole or not at all, and the folder has its name only when every part is in it. Knows neither Dask nor
who asked.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, PositiveInt
from pydantic_core import to_json

from bakehouse.errors import DataError
from bentos.common.judging import Refusal
from bentos.common.masking import masking_key
from bentos.common.room import load_room
from bentos.common.scoring import MODEL_VERSION, Scored, Scorer
from bentos.common.scoring_files import InputFile, Part, Plan, documents

GROUP_ROWS = 65_536
GRAPH = "_model.onnx"
JOB = "_job.json"
LOCK = "_lock"
MANIFEST = "_SUCCESS"
QUARANTINE = "_quarantine"
_FOOTER = b"bakehouse"


class Job(BaseModel):
    """What every part of one scoring has in common. `folder` holds the graph, and takes the parts."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    model_version: PositiveInt
    model_digest: str
    data_version: str
    folder: Path
    keep: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


class PartReport(BaseModel):
    """What became of one part; it stands in the footer of its file. `reasons` are field and words, and how many rows
    were refused for them."""

    model_config = ConfigDict(frozen=True)

    file: str
    rows: int
    scored: int
    reasons: tuple[tuple[str, str, int], ...]


class ScoredFile(BaseModel):
    """One file of a batch as it was when it was scored."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: int
    md5: str


class Report(BaseModel):
    """The manifest: what was scored by what, into which files, and what was refused and why."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    model_version: int
    model_digest: str
    data_version: str
    keep: tuple[str, ...]
    ignore: tuple[str, ...]
    files: tuple[ScoredFile, ...]
    rows: int
    scored: int
    refused: int
    reasons: tuple[tuple[str, str, int], ...]
    parts: tuple[PartReport, ...]


@contextmanager
def owned(job: Job, plan: Plan, target: Path) -> Iterator[Report | None]:
    """Make the folder, or take up what a killed run left of the same scoring; one run at a time. Yields the manifest
    where `target` holds the finished scoring already, and then there is nothing left to do.

    Raises `DataError` where another run is at work, where it was begun on other files, or where something else has the
    name `target`.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"Another run is writing {job.folder}.", "Wait for it, or end it.") from error
        # Asked under the lock: whoever held it before may have published a moment ago.
        if target.exists():
            (job.folder / LOCK).unlink(missing_ok=True)
            with suppress(OSError):
                job.folder.rmdir()
            yield _published(job, plan, target)
            return
        wanted = _described(job, plan)
        described = job.folder / JOB
        if described.exists() and described.read_text() != wanted:
            raise DataError(
                f"{job.folder} was begun with other files or settings.",
                "Remove it, or put back what it was begun with.",
            )
        _replace(described, wanted.encode())
        yield None


def _published(job: Job, plan: Plan, target: Path) -> Report:
    try:
        report = Report.model_validate_json((target / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{target} is no finished scoring.", "Remove it, or name another output.") from error
    held = {
        "files": set(report.files) == set(map(_scored_file, plan.files)),
        "model file": report.model_digest == job.model_digest,
        "names to keep": report.keep == job.keep,
        "names to ignore": report.ignore == job.ignore,
    }
    if others := [name for name, is_same in held.items() if not is_same]:
        raise DataError(
            f"{target} was scored with other {' and other '.join(others)}.",
            "Remove it to have it scored again, or name another output or data_version.",
        )
    return report


def done(job: Job, plan: Plan) -> dict[int, PartReport]:
    """The parts that are there already, by number. A file that can't be read is none."""
    found = {}
    for part in plan.parts:
        path = job.folder / _name(part)
        if path.exists():
            try:
                found[part.number] = PartReport.model_validate_json(pq.read_metadata(path).metadata[_FOOTER])
            except (pa.ArrowException, KeyError, ValueError):
                path.unlink(missing_ok=True)
    return found


def score_part(job: Job, part: Part) -> PartReport:
    """Score one part into its file, and what it refuses into quarantine. Doing it twice writes the same once, also at
    one time: a Dask cluster goes on with the tasks of a client that was killed."""
    loaded = scorer(job)
    fixed: dict[str, str | int] = {
        "file": part.path.name,
        MODEL_VERSION: job.model_version,
        "data_version": job.data_version,
    }
    schema = pa.schema(
        [
            pa.field("file", pa.dictionary(pa.int32(), pa.string())),
            pa.field("row", pa.int64()),
            *loaded.schema,
            pa.field(MODEL_VERSION, pa.int64()),
            pa.field("data_version", pa.dictionary(pa.int32(), pa.string())),
        ]
    )
    target = job.folder / _name(part)
    partial = _partial(target)
    quarantine: list[bytes] = []
    reasons: Counter[tuple[str, str]] = Counter()
    row, scored, waiting = part.first_row, 0, []
    texts = [
        field.name for field in schema if not pa.types.is_primitive(field.type) and not pa.types.is_nested(field.type)
    ]
    with pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=texts) as writer:
        for batch in documents(part, loaded.request, masking_key()):
            answered = loaded.score(batch)
            waiting.append(_table(answered, row, fixed, schema))
            quarantine += [_refused(part, row, refusal) for refusal in answered.refusals]
            reasons.update(reason for refusal in answered.refusals for reason in refusal.reasons)
            row += answered.rows
            scored += len(answered.places)
            if sum(map(len, waiting)) >= GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
        if row - part.first_row != part.rows:
            raise DataError(
                f"{part.path.name} has {row - part.first_row} rows from row {part.first_row} on, not {part.rows}.",
                "It was changed meanwhile: run again.",
            )
        report = PartReport(
            file=target.name,
            rows=part.rows,
            scored=scored,
            reasons=tuple((field, words, count) for (field, words), count in reasons.items()),
        )
        writer.add_key_value_metadata({_FOOTER: report.model_dump_json().encode()})
    if quarantine:
        (job.folder / QUARANTINE).mkdir(exist_ok=True)
        _replace(job.folder / QUARANTINE / f"{target.stem}.ndjson", b"".join(quarantine))
    # Last, for its name is what says that the part is done.
    _settle(partial, target)
    return report


def publish(job: Job, plan: Plan, reports: Sequence[PartReport], target: Path) -> Report:
    """Write the manifest, and give the folder its name, without what nobody finished. Raises `DataError` where no row
    was scored at all."""
    reasons: Counter[tuple[str, str]] = Counter()
    for part in reports:
        for field, words, count in part.reasons:
            reasons[field, words] += count
    rows, scored = sum(part.rows for part in reports), sum(part.scored for part in reports)
    report = Report(
        **job.model_dump(include={"model", "model_version", "model_digest", "data_version", "keep", "ignore"}),
        files=tuple(map(_scored_file, plan.files)),
        rows=rows,
        scored=scored,
        refused=rows - scored,
        reasons=tuple((field, words, count) for (field, words), count in reasons.most_common()),
        parts=tuple(reports),
    )
    if not scored:
        field, words, count = report.reasons[0]
        raise DataError(
            f"The contract of {job.model} takes none of the {rows} rows; {count} for {field}: {words}.",
            f"Look into {job.folder / QUARANTINE}, and at keep and ignore.",
        )
    _replace(job.folder / MANIFEST, (report.model_dump_json(indent=2) + "\n").encode())
    for left in job.folder.rglob(".*.partial"):
        left.unlink(missing_ok=True)
    job.folder.rename(target)
    # Last, for until the folder has its name another run must find it owned, and begun on these files.
    for name in (GRAPH, JOB, LOCK):
        (target / name).unlink(missing_ok=True)
    return report


@lru_cache(maxsize=1)
def scorer(job: Job) -> Scorer:
    """Loaded once in each process, whatever it scores the parts of."""
    return Scorer(
        load_room(job.model),
        job.folder / GRAPH,
        job.model_digest,
        job.model_version,
        masking_key(),
        job.keep,
        job.ignore,
    )


def _described(job: Job, plan: Plan) -> str:
    return json.dumps({"job": job.model_dump(mode="json"), "plan": plan.model_dump(mode="json")}, indent=1) + "\n"


def _name(part: Part) -> str:
    return f"part-{part.number:05d}.parquet"


def _table(answered: Scored, row: int, fixed: dict[str, str | int], schema: pa.Schema) -> pa.Table:
    count = len(answered.places)
    columns = {
        "row": pa.array([row + place for place in answered.places], pa.int64()),
        **dict(zip(answered.answers.column_names, answered.answers.columns, strict=True)),
    }
    for name, value in fixed.items():
        column = pa.repeat(value, count)
        columns[name] = column.dictionary_encode() if isinstance(value, str) else column.cast(pa.int64())
    return pa.Table.from_arrays([columns[field.name] for field in schema], schema=schema)


def _refused(part: Part, row: int, refusal: Refusal) -> bytes:
    document = {"file": part.path.name, "row": row + refusal.place, **refusal.document}
    return to_json(document, inf_nan_mode="strings") + b"\n"


def _scored_file(file: InputFile) -> ScoredFile:
    return ScoredFile(name=file.path.name, size=file.size, md5=file.md5)


def _partial(target: Path) -> Path:
    """A name that no other writer has, on whatever machine and in whatever thread."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")


def _replace(target: Path, content: bytes) -> None:
    partial = _partial(target)
    partial.write_bytes(content)
    _settle(partial, target)


def _settle(partial: Path, target: Path) -> None:
    """Give a written file its name once its bytes are on the disk."""
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(target)
