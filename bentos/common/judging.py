"""What becomes of raw lines: accepted and masked, or refused with the reasons. The rules of the gatekeeper.

Keeps nothing from one call to the next, so that any process may judge any lines. Whether an id came before is not asked
here, and nothing is written.
"""

from __future__ import annotations

import gc
import hmac
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from bentos.common import raw_lines
from bentos.common.duplicate_names import DuplicateNames
from bentos.common.masking import masker
from bentos.common.raw_lines import Line, Overlong, up_to

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
    def record_time(record: Any, /) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused line: its place among the lines of its verdicts, and its quarantine document but for the number."""

    place: int
    reasons: tuple[tuple[str, str], ...]
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What became of some successive lines. `places`, `ids` and `records` are of the accepted ones, in order."""

    lines: int
    places: Sequence[int]
    ids: Sequence[str]
    lengths: Sequence[int]
    records: Sequence[bytes]
    refusals: Sequence[Refusal]
    earliest: datetime | None
    latest: datetime | None


class Judge:
    """Turns lines into verdicts. Keeps nothing from one batch to the next, so any process may judge any batch."""

    def __init__(self, contract: Contract, key: bytes, now: datetime) -> None:
        self._contract = contract
        self._key = key
        self._context = {"now": now}
        self._adapter = TypeAdapter(contract.Record)
        self._duplicate_names = DuplicateNames(contract.Record)
        self._masker = masker(contract.Record, key)

    def verdicts(self, lines: Iterator[Line], size: int) -> Verdicts:
        """Judge the next of `lines`, up to the one with which they reach `size` bytes."""
        # A record is dozens of objects that die at once and in no cycle: collecting meanwhile finds nothing, slowly.
        # It is off for the whole process, so only for the one call: some milliseconds where a caller judges by itself.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._verdicts(lines, size)
        finally:
            if collecting:
                gc.enable()

    def _verdicts(self, lines: Iterator[Line], size: int) -> Verdicts:
        validate, find = self._adapter.validate_json, self._duplicate_names.find
        mask, context = self._masker.values, self._context
        record_id, record_time = self._contract.record_id, self._contract.record_time
        places, lengths, ids, times, records = [], [], [], [], []
        refusals: list[Refusal] = []
        place = -1
        for place, line in enumerate(up_to(size, lines)):
            if isinstance(line, Overlong):
                refusals.append(overlong(place, line))
                continue
            try:
                record = validate(line, context=context)
            except ValidationError as error:
                refusals.append(self.refusal(place, line, error))
                continue
            # Pydantic's own to_json takes three times as long, and writes the same.
            masked = orjson.dumps(mask(record), default=to_jsonable_python, option=orjson.OPT_UTC_Z)
            twice = find(line, record)
            if twice is not None:
                reasons = [(self._field((twice,)), "Name stands twice")]
                refusals.append(refused(place, len(line), reasons, record=orjson.loads(masked)))
                continue
            places.append(place)
            lengths.append(len(line))
            ids.append(record_id(record))
            times.append(record_time(record))
            records.append(masked)
        return Verdicts(
            lines=place + 1,
            places=places,
            ids=ids,
            lengths=lengths,
            records=records,
            refusals=refusals,
            earliest=min(filter(None, times), default=None),
            latest=max(filter(None, times), default=None),
        )

    def refusal(self, place: int, line: bytes, error: ValidationError) -> Refusal:
        """Why the contract refuses a line, and what may be kept of it."""
        faults = error.errors(include_url=False, include_input=False)
        unreadable = _unreadable(line, faults)
        if unreadable is not None:
            digest = hmac.digest(self._key, line, "sha256").hex()
            return refused(place, len(line), [(DOCUMENT, unreadable)], digest=digest)
        document = json.loads(line)
        kept = self._masker.mask_refused(document, [fault["loc"] for fault in faults])
        reasons = [(self._field(fault["loc"]), _words(fault)) for fault in faults]
        return refused(place, len(line), reasons, record=kept)

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


def refused(
    place: int,
    length: int,
    reasons: Sequence[tuple[str, str]],
    *,
    digest: str | None = None,
    record: Any = None,
) -> Refusal:
    """The refusal of the line at `place`, for `reasons` (field and words each), `MOST_REASONS` of them at most."""
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
    return Refusal(place, tuple(kinds), document)


def overlong(place: int, line: Overlong) -> Refusal:
    """The refusal of a line that is too long to keep."""
    reason = f"Longer than {raw_lines.LONGEST} bytes"
    return refused(place, line.length, [(DOCUMENT, reason)], digest=line.digest)
