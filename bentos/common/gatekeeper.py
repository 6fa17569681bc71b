"""The gatekeeper: raw NDJSON in; accepted records out, masked; refused ones into quarantine, masked, with the reasons.

Validates and masks in one streaming pass, so that personal data is never at rest between the two. Memory does not grow
with the input but for eight bytes a document. Decides nothing about a run: the acceptance rate is the caller's gate.
"""

from __future__ import annotations

import importlib
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

import bentos
from bakehouse.errors import DataError
from bentos.common.judging import DOCUMENT, Contract, Judge, Refusal, Verdicts, refused
from bentos.common.raw_lines import Line, pieces, read

__all__ = ["AcceptanceReport", "Contract", "Reason", "admit", "admit_files"]

BATCH_BYTES = 1 << 18
PIECE_BYTES = 4 << 20


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
    return _admitted(read(lines, key), Judge(contract, key, now), _Ledger(accepted, quarantine))


def admit_files(
    paths: Iterable[Path],
    contract: Contract,
    key: bytes,
    accepted: Path,
    quarantine: Path,
    now: datetime,
    workers: int = 1,
) -> AcceptanceReport:
    """`admit` for files, on as many processes as `workers`; what it writes is the same to the byte for any number.

    The files are one input: an id that is in two of them is a duplicate, and lines are counted through them all. A
    file's last line ends with the file. Raises `DataError` where a file can't be opened.
    """
    with ExitStack() as files:
        ledger = _Ledger(files.enter_context(_opened(accepted, "wb")), files.enter_context(_opened(quarantine, "wb")))
        if workers <= 1:
            return _admitted(_lines(paths, key), Judge(contract, key, now), ledger)
        # Spawned, not forked: the caller may have threads, and a fork would copy their locks as they happen to be.
        pool = files.enter_context(
            ProcessPoolExecutor(
                workers,
                multiprocessing.get_context("spawn"),
                _begin,
                (list(bentos.__path__), cast(Any, contract).__name__, key, now),
            )
        )
        waiting: deque[Future[Verdicts]] = deque()
        for path, start, end in _ranges(paths):
            waiting.append(pool.submit(_judge_piece, path, start, end))
            if len(waiting) > 2 * workers:
                ledger.enter(waiting.popleft().result())
        for verdicts in waiting:
            ledger.enter(verdicts.result())
        return ledger.report()


def _admitted(lines: Iterator[Line], judge: Judge, ledger: _Ledger) -> AcceptanceReport:
    while (verdicts := judge.verdicts(lines, BATCH_BYTES)).lines:
        ledger.enter(verdicts)
    return ledger.report()


def _lines(paths: Iterable[Path], key: bytes) -> Iterator[Line]:
    for path in paths:
        with _opened(path, "rb") as source:
            yield from read(source, key)


def _ranges(paths: Iterable[Path]) -> Iterator[tuple[Path, int, int]]:
    for path in paths:
        with _opened(path, "rb") as source:
            for start, end in pieces(source, PIECE_BYTES):
                yield path, start, end


_worker: Judge
_worker_key: bytes


def _begin(packages: list[str], contract: str, key: bytes, now: datetime) -> None:
    global _worker, _worker_key  # noqa: PLW0603  a pool's initializer has no other place to leave what tasks need
    bentos.__path__[:] = packages
    _worker = Judge(cast(Contract, importlib.import_module(contract)), key, now)
    _worker_key = key


def _judge_piece(path: Path, start: int, end: int) -> Verdicts:
    with path.open("rb") as source:
        source.seek(start)
        return _worker.verdicts(read(source, _worker_key), end - start)


def _opened(path: Path, mode: str) -> BinaryIO:
    try:
        return cast(BinaryIO, path.open(mode))
    except OSError as error:
        raise DataError(f"{path} can't be opened: {error.strerror or error}.") from error


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

    def enter(self, verdicts: Verdicts) -> None:
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
    def _again(verdicts: Verdicts, index: int) -> Refusal:
        reasons = [(DOCUMENT, "An earlier line has the same id")]
        return refused(
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
