"""The gatekeeper: raw NDJSON in; accepted records out, masked; refused ones into quarantine, masked, with the reasons.

Validates and masks in one streaming pass, so that personal data is never at rest between the two. Memory does not grow
with the input but for eight bytes a document. Decides nothing about a run: the acceptance rate is the caller's gate.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import importlib
import json
import multiprocessing
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json, to_jsonable_python

import bentos
from bakehouse.errors import DataError
from bentos.common.duplicate_names import DuplicateNames
from bentos.common.masking import masker

LONGEST_LINE = 1 << 20
"""Bytes of a line, its end included. A longer one is refused without being held in memory."""
BATCH_BYTES = 1 << 18
PIECE_BYTES = 4 << 20
MOST_REASONS = 20
DOCUMENT = "(document)"
UNKNOWN_NAME = "(unknown name)"

_POSITION = re.compile(r" at line \d+ column \d+")
_PLACE = re.compile(r"\.\d+(?=\.|$)")
_COUNTED = re.compile(r", not \d+$")
# Their messages may quote the value.
_TALKATIVE = frozenset({"value_error", "assertion_error", "union_tag_invalid"})


class Contract(Protocol):
    """What the gatekeeper needs of a room's contract module."""

    Record: type[BaseModel]

    @staticmethod
    def record_id(record: Any, /) -> str: ...

    @staticmethod
    def record_time(record: Any, /) -> datetime: ...


class Reason(BaseModel):
    """Why documents were refused: the field, list places left out (`lines[].quantity`), and the reason in words.

    `documents` is how many were refused for it, perhaps among other reasons; `first_line` is the first of them, from 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    reason: str
    documents: int
    first_line: int


class AcceptanceReport(BaseModel):
    """What came in, what was let in, and why the rest was not. Holds no value of any document but two times.

    `documents` counts lines, blank ones too; `acceptance_rate` is 0 where there are none. `duplicates` are refused.
    `earliest` and `latest` are the times of accepted records.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: int
    accepted: int
    rejected: int
    duplicates: int
    acceptance_rate: float
    earliest: datetime | None
    latest: datetime | None
    reasons: tuple[Reason, ...]


def admit(
    lines: BinaryIO, contract: Contract, key: bytes, accepted: BinaryIO, quarantine: BinaryIO, now: datetime
) -> AcceptanceReport:
    """Read NDJSON from `lines` to its end; write accepted records, masked with `key`, and refused ones, each in order.

    A quarantined line says `line` (from 1), `bytes`, `reasons` (field and reason each), and `record`, masked; where it
    is no JSON and so can't be masked, it is not copied, and `digest` is its keyed HMAC-SHA256. `now` is what "in the
    future" is relative to.
    """
    judge = _Judge(contract, key, now)
    ledger = _Ledger(accepted, quarantine)
    source = _lines(lines, key)
    while (verdicts := judge.verdicts(source, BATCH_BYTES)).lines:
        ledger.enter(verdicts)
    return ledger.report()


def admit_file(
    path: Path, contract: Contract, key: bytes, accepted: Path, quarantine: Path, now: datetime, workers: int = 1
) -> AcceptanceReport:
    """`admit` for files, on as many processes as `workers`; what it writes is the same to the byte for any number.

    Raises `DataError` where a file can't be opened.
    """
    with ExitStack() as files:
        source = files.enter_context(_opened(path, "rb"))
        let_in = files.enter_context(_opened(accepted, "wb"))
        kept_out = files.enter_context(_opened(quarantine, "wb"))
        if workers <= 1:
            return admit(source, contract, key, let_in, kept_out, now)
        ledger = _Ledger(let_in, kept_out)
        # Spawned, not forked: the caller may have threads, and a fork would copy their locks as they happen to be.
        pool = files.enter_context(
            ProcessPoolExecutor(
                workers,
                multiprocessing.get_context("spawn"),
                _begin,
                (list(bentos.__path__), cast(Any, contract).__name__, key, now),
            )
        )
        waiting: deque[Future[_Verdicts]] = deque()
        for start, end in _pieces(source):
            waiting.append(pool.submit(_judge_piece, path, start, end))
            if len(waiting) > 2 * workers:
                ledger.enter(waiting.popleft().result())
        for verdicts in waiting:
            ledger.enter(verdicts.result())
        return ledger.report()


@dataclass(frozen=True, slots=True)
class _Overlong:
    """A line that was too long to keep."""

    length: int
    digest: str


_Line = bytes | _Overlong


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refused line: its place among the lines of its verdicts, and its quarantine document but for the number."""

    place: int
    reasons: tuple[tuple[str, str], ...]
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """What became of some successive lines. `places`, `ids` and `records` are of the accepted ones, in order."""

    lines: int
    places: Sequence[int]
    ids: Sequence[str]
    lengths: Sequence[int]
    records: Sequence[bytes]
    refusals: Sequence[_Refusal]
    earliest: datetime | None
    latest: datetime | None


class _Judge:
    """Turns lines into verdicts. Keeps nothing from one batch to the next, so any process may judge any batch."""

    def __init__(self, contract: Contract, key: bytes, now: datetime) -> None:
        self._contract = contract
        self._key = key
        self._context = {"now": now}
        self._adapter = TypeAdapter(contract.Record)
        self._duplicate_names = DuplicateNames(contract.Record)
        self._masker = masker(contract.Record, key)

    def verdicts(self, lines: Iterator[_Line], size: int) -> _Verdicts:
        """Judge the next of `lines`, up to the one with which they reach `size` bytes."""
        # A record is dozens of objects that die at once and in no cycle: collecting meanwhile finds nothing, slowly.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._verdicts(lines, size)
        finally:
            if collecting:
                gc.enable()

    def _verdicts(self, lines: Iterator[_Line], size: int) -> _Verdicts:
        validate, find = self._adapter.validate_json, self._duplicate_names.find
        mask, context = self._masker.values, self._context
        record_id, record_time = self._contract.record_id, self._contract.record_time
        places, lengths, ids, times, records = [], [], [], [], []
        refusals: list[_Refusal] = []
        place = -1
        for place, line in enumerate(_up_to(size, lines)):
            if isinstance(line, _Overlong):
                refusals.append(_overlong(place, line))
                continue
            try:
                record = validate(line, context=context)
            except ValidationError as error:
                refusals.append(self._refusal(place, line, error))
                continue
            # Pydantic's own to_json takes three times as long, and writes the same.
            masked = orjson.dumps(mask(record), default=to_jsonable_python, option=orjson.OPT_UTC_Z)
            twice = find(line, record)
            if twice is not None:
                refusals.append(_refused(place, len(line), [(twice, "Name stands twice")], record=orjson.loads(masked)))
                continue
            places.append(place)
            lengths.append(len(line))
            ids.append(record_id(record))
            times.append(record_time(record))
            records.append(masked)
        return _Verdicts(
            lines=place + 1,
            places=places,
            ids=ids,
            lengths=lengths,
            records=records,
            refusals=refusals,
            earliest=min(times, default=None),
            latest=max(times, default=None),
        )

    def _refusal(self, place: int, line: bytes, error: ValidationError) -> _Refusal:
        faults = error.errors(include_url=False, include_input=False)
        unreadable = _unreadable(line, faults)
        if unreadable is not None:
            digest = hmac.digest(self._key, line, "sha256").hex()
            return _refused(place, len(line), [(DOCUMENT, unreadable)], digest=digest)
        document = json.loads(line)
        kept = self._masker.mask_refused(document, [fault["loc"] for fault in faults])
        reasons = [(self._field(fault["loc"]), _words(fault)) for fault in faults]
        return _refused(place, len(line), reasons, record=kept)

    def _field(self, location: tuple[str | int, ...]) -> str:
        known = self._masker.names
        parts = [str(part) if isinstance(part, int) or part in known else UNKNOWN_NAME for part in location]
        return ".".join(parts) or DOCUMENT


def _unreadable(line: bytes, faults: Sequence[ErrorDetails]) -> str | None:
    """Why a line is no JSON document, None where it is one."""
    if faults[0]["type"] != "json_invalid":
        return None
    if not line.strip():
        return "Blank line"
    if line.startswith(b"\xef\xbb\xbf"):
        return "Opens with a byte-order mark; UTF-8 needs none"
    if b"\0" in line:
        return "Holds NUL bytes, so it is no text in UTF-8 (perhaps UTF-16)"
    try:
        line.decode()
    except UnicodeDecodeError:
        return "Not in UTF-8 (perhaps Latin-1)"
    return "Not JSON: " + _POSITION.sub("", faults[0]["ctx"]["error"])


def _words(fault: ErrorDetails) -> str:
    if fault["type"] in _TALKATIVE:
        return fault["type"].replace("_", " ").capitalize()
    return _COUNTED.sub("", fault["msg"])


def _refused(
    place: int,
    length: int,
    reasons: Sequence[tuple[str, str]],
    *,
    digest: str | None = None,
    record: Any = None,
) -> _Refusal:
    document: dict[str, Any] = {
        "bytes": length,
        "reasons": [{"field": field, "reason": reason} for field, reason in reasons[:MOST_REASONS]],
    }
    if len(reasons) > MOST_REASONS:
        document["more_reasons"] = len(reasons) - MOST_REASONS
    if digest is not None:
        document["digest"] = f"hmac-sha256:{digest}"
    if record is not None:
        document["record"] = record
    kinds = dict.fromkeys((_PLACE.sub("[]", field), reason) for field, reason in reasons)
    return _Refusal(place, tuple(kinds), document)


def _overlong(place: int, line: _Overlong) -> _Refusal:
    reason = f"Longer than {LONGEST_LINE} bytes"
    return _refused(place, line.length, [(DOCUMENT, reason)], digest=line.digest)


class _Ledger:
    """Writes verdicts in the order of their lines, finds ids that came before, and counts."""

    def __init__(self, accepted: BinaryIO, quarantine: BinaryIO) -> None:
        self._accepted_file = accepted
        self._quarantine_file = quarantine
        self._seen = _Seen()
        self._lines = self._accepted = self._duplicates = 0
        self._earliest: datetime | None = None
        self._latest: datetime | None = None
        self._reasons: dict[tuple[str, str], tuple[int, int]] = {}

    def enter(self, verdicts: _Verdicts) -> None:
        """Take the verdicts on the lines that follow those entered before."""
        repeated = self._seen.add(verdicts.ids)
        records, refusals = verdicts.records, verdicts.refusals
        if repeated:
            again = [self._again(verdicts, index) for index in repeated]
            refusals = sorted((*refusals, *again), key=lambda refusal: refusal.place)
            records = [record for index, record in enumerate(records) if index not in repeated]
        if records:
            self._accepted_file.write(b"\n".join(records) + b"\n")
        for refusal in refusals:
            line = self._lines + refusal.place + 1
            self._quarantine_file.write(to_json({"line": line, **refusal.document}, inf_nan_mode="strings") + b"\n")
            for reason in refusal.reasons:
                documents, first = self._reasons.get(reason, (0, line))
                self._reasons[reason] = (documents + 1, first)
        self._lines += verdicts.lines
        self._accepted += len(records)
        self._duplicates += len(repeated)
        self._earliest = min(filter(None, (self._earliest, verdicts.earliest)), default=None)
        self._latest = max(filter(None, (self._latest, verdicts.latest)), default=None)

    def report(self) -> AcceptanceReport:
        reasons = [
            Reason(field=field, reason=reason, documents=documents, first_line=first)
            for (field, reason), (documents, first) in self._reasons.items()
        ]
        if not self._lines:
            reasons = [Reason(field="(file)", reason="Empty file", documents=0, first_line=1)]
        return AcceptanceReport(
            documents=self._lines,
            accepted=self._accepted,
            rejected=self._lines - self._accepted,
            duplicates=self._duplicates,
            acceptance_rate=self._accepted / self._lines if self._lines else 0.0,
            earliest=self._earliest,
            latest=self._latest,
            reasons=tuple(sorted(reasons, key=lambda reason: (-reason.documents, reason.first_line))),
        )

    @staticmethod
    def _again(verdicts: _Verdicts, index: int) -> _Refusal:
        reasons = [(DOCUMENT, "An earlier line has the same id")]
        return _refused(
            verdicts.places[index], verdicts.lengths[index], reasons, record=orjson.loads(verdicts.records[index])
        )


class _Seen:
    """Which ids came before, at eight bytes each: their 64-bit SipHash, whose key Python draws for each process.

    Among ten million ids the chance that any two share a hash, and one is refused wrongly, is 1 in 400,000.
    """

    MOST_RECENT = 1 << 16

    def __init__(self) -> None:
        self._settled: NDArray[np.int64] = np.empty(0, np.int64)
        self._recent: set[int] = set()

    def add(self, ids: Sequence[str]) -> frozenset[int]:
        """Which of `ids`, by index, came before, in an earlier call or earlier among them."""
        hashes = [hash(name) for name in ids]
        fresh = set(hashes)
        known = self._known(hashes)
        repeated: set[int] = set(known)
        if len(fresh) < len(hashes) or not self._recent.isdisjoint(fresh):
            for index, number in enumerate(hashes):
                if number in self._recent:
                    repeated.add(index)
                self._recent.add(number)
        else:
            self._recent |= fresh
        if len(self._recent) > self.MOST_RECENT:
            settling = np.sort(np.fromiter(self._recent, np.int64, len(self._recent)))
            # Stable means timsort here, which merges the two sorted runs in linear time.
            self._settled = np.sort(np.concatenate((self._settled, settling)), kind="stable")
            self._recent = set()
        return frozenset(repeated)

    def _known(self, hashes: Sequence[int]) -> list[int]:
        if not len(self._settled):
            return []
        wanted = np.array(hashes, np.int64)
        found = np.searchsorted(self._settled, wanted)
        found[found == len(self._settled)] = 0
        return np.flatnonzero(self._settled[found] == wanted).tolist()


def _lines(source: BinaryIO, key: bytes) -> Iterator[_Line]:
    """The lines of `source`, those that are too long as their length and digest, with never more than two read parts
    in memory."""
    while line := source.readline(LONGEST_LINE):
        if line.endswith(b"\n") or len(line) < LONGEST_LINE or not (more := source.readline(LONGEST_LINE)):
            yield line
            continue
        length, digest = len(line), hmac.new(key, line, hashlib.sha256)
        while more:
            length += len(more)
            digest.update(more)
            more = b"" if more.endswith(b"\n") else source.readline(LONGEST_LINE)
        yield _Overlong(length, digest.hexdigest())


def _up_to(size: int, lines: Iterator[_Line]) -> Iterator[_Line]:
    """The next of `lines`, up to the one with which they reach `size` bytes."""
    for line in lines:
        yield line
        size -= line.length if isinstance(line, _Overlong) else len(line)
        if size <= 0:
            return


def _pieces(source: BinaryIO) -> Iterator[tuple[int, int]]:
    """Successive ranges of the file, each of whole lines."""
    size = source.seek(0, 2)
    start = 0
    while start < size:
        source.seek(min(start + PIECE_BYTES, size) - 1)
        while (part := source.readline(LONGEST_LINE)) and not part.endswith(b"\n"):
            pass
        end = source.tell()
        yield start, end
        start = end


_worker: _Judge
_worker_key: bytes


def _begin(packages: list[str], contract: str, key: bytes, now: datetime) -> None:
    global _worker, _worker_key  # noqa: PLW0603  a pool's initializer has no other place to leave what tasks need
    bentos.__path__[:] = packages
    _worker = _Judge(cast(Contract, importlib.import_module(contract)), key, now)
    _worker_key = key


def _judge_piece(path: Path, start: int, end: int) -> _Verdicts:
    with path.open("rb") as source:
        source.seek(start)
        return _worker.verdicts(_lines(source, _worker_key), end - start)


def _opened(path: Path, mode: str) -> BinaryIO:
    try:
        return cast(BinaryIO, path.open(mode))
    except OSError as error:
        raise DataError(f"{path} can't be opened: {error.strerror or error}.") from error
