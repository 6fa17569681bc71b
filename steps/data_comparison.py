"""What changed between two data versions: files, records, acceptance, schema and distributions.

Both are judged and masked by the model's contract as it is now, so that only the data differs. What is told are names
of fields, counts and statistics: never a value of a record, nor an id.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from bakehouse import workspace
from bentos.common import gatekeeper
from bentos.common.gatekeeper import AcceptanceReport
from bentos.common.masking import masking_key
from bentos.common.room import Room, load_room
from steps import data_versions
from steps.data_profile import Contract, FieldProfile, Profile, profile_records
from steps.data_references import Reference

MODERATE, LARGE = 0.1, 0.25
"""The usual reading of the population stability index, e.g. in N. Siddiqi, Credit Risk Scorecards, 2006."""
CHANCE = 0.01
MOST_WORDS = 50
BINS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """A data version as the gatekeeper sees it now; files by name, with their bytes' MD5."""

    version: str
    said: str
    files: Mapping[str, str]
    acceptance: AcceptanceReport


@dataclass(frozen=True)
class Records:
    """How many accepted records only one side has, and how many both have under one id: the same, or not."""

    added: int
    removed: int
    changed: int
    same: int


@dataclass(frozen=True)
class FieldChange:
    """A field's types in old and new, none where it never stands, and the share of objects that have it filled."""

    name: str
    old_types: tuple[str, ...]
    new_types: tuple[str, ...]
    old_filled: float
    new_filled: float


@dataclass(frozen=True)
class Shift:
    """How far a field's values moved: the population stability index, and the chance of as much or more between two
    samples of one population, by Kolmogorov-Smirnov for numbers and by the chi-squared test for words. `kind` says what
    was compared: of an array the number of its items, of free text its length. Means are of numbers and lengths."""

    name: str
    kind: Literal["numbers", "items", "words", "lengths"]
    old_mean: float | None
    new_mean: float | None
    psi: float
    p_value: float

    @property
    def verdict(self) -> str:
        """`large` or `moderate` where the index says so and chance does not explain it; else empty."""
        if self.p_value >= CHANCE or self.psi < MODERATE:
            return ""
        return "large" if self.psi >= LARGE else "moderate"


@dataclass(frozen=True)
class DataComparison:
    """All that differs. `fields` are those whose types or filling changed, `shifts` all that can be compared, the
    farthest first."""

    model: str
    old: Side
    new: Side
    records: Records
    fields: tuple[FieldChange, ...]
    shifts: tuple[Shift, ...]

    @property
    def files(self) -> dict[str, str]:
        """Each file that is not the same on both sides, and whether it was added, removed or changed."""
        old, new = self.old.files, self.new.files
        words = {(False, True): "added", (True, False): "removed", (True, True): "changed"}
        names = sorted({*old, *new})
        return {name: words[name in old, name in new] for name in names if old.get(name) != new.get(name)}


def compare(old: Reference, new: Reference) -> DataComparison:
    """Fetch both data versions and compare them. Raises `DataError` where one can't be had any more."""
    room = load_room(old.model)
    (before, was), (after, became) = (_seen(room, reference) for reference in (old, new))
    common = was.records.keys() & became.records.keys()
    same = sum(was.records[name] == became.records[name] for name in common)
    records = Records(
        added=len(became.records) - len(common),
        removed=len(was.records) - len(common),
        changed=len(common) - same,
        same=same,
    )
    shifts = sorted(_shifts(was, became), key=lambda shift: (-shift.psi, shift.name))
    return DataComparison(room.name, before, after, records, tuple(_fields(was, became)), tuple(shifts))


def _seen(room: Room, reference: Reference) -> tuple[Side, Profile]:
    files = data_versions.fetch(room.name, reference.version)
    folder = workspace.scratch("data-diff")
    masked, quarantine = folder / "masked.ndjson", folder / "quarantine.ndjson"
    try:
        report = gatekeeper.admit_files(
            files, cast(gatekeeper.Contract, room.contract), masking_key(), masked, quarantine, datetime.now(UTC)
        )
        profile = profile_records(masked, cast(Contract, room.contract))
    finally:
        shutil.rmtree(folder)
    return Side(reference.version, reference.said, {path.name: _md5(path) for path in files}, report), profile


def _md5(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fields(old: Profile, new: Profile) -> Iterator[FieldChange]:
    for name in sorted({*old.fields, *new.fields}):
        before, after = (side.fields.get(name, FieldProfile()) for side in (old, new))
        if before.types != after.types or before.share != after.share:
            yield FieldChange(name, tuple(sorted(before.types)), tuple(sorted(after.types)), before.share, after.share)


def _shifts(old: Profile, new: Profile) -> Iterator[Shift]:
    for name in sorted(old.fields.keys() & new.fields.keys()):
        before, after = old.fields[name], new.fields[name]
        if before.numbers and after.numbers:
            kind: Literal["items", "numbers"] = "items" if "array" in before.types else "numbers"
            yield _numbers(name, kind, np.array(before.numbers), np.array(after.numbers))
        elif before.words and after.words:
            if len(before.words.keys() | after.words.keys()) <= MOST_WORDS:
                yield _words(name, before.words, after.words)
            else:
                yield _numbers(name, "lengths", _lengths(before.words), _lengths(after.words))


def _lengths(words: Mapping[str, int]) -> Floats:
    return np.repeat(np.array([len(word) for word in words], dtype=np.float64), list(words.values()))


def _numbers(name: str, kind: Literal["items", "numbers", "lengths"], old: Floats, new: Floats) -> Shift:
    from scipy.stats import ks_2samp

    distinct = np.unique(np.concatenate((old, new)))
    # Few values are bins of their own; many are put into bins that hold a tenth of the old ones each.
    edges = distinct if len(distinct) <= MOST_WORDS else np.unique(np.quantile(old, np.arange(1, BINS) / BINS))
    counted = [np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) for values in (old, new)]
    p_value = float(ks_2samp(old, new, method="asymp").pvalue)
    return Shift(name, kind, float(old.mean()), float(new.mean()), _psi(*counted), p_value)


def _words(name: str, old: Mapping[str, int], new: Mapping[str, int]) -> Shift:
    from scipy.stats import chi2_contingency

    known = sorted(old.keys() | new.keys())
    counted = [np.array([side.get(word, 0) for word in known]) for side in (old, new)]
    p_value = float(chi2_contingency(np.array(counted)).pvalue) if len(known) > 1 else 1.0
    return Shift(name, "words", None, None, _psi(*counted), p_value)


def _psi(old: NDArray[np.int64], new: NDArray[np.int64]) -> float:
    """The population stability index, which is the Kullback-Leibler divergence there and back. Each bin counts half a
    value more than it has, so that an empty one does not make it infinite."""
    from scipy.special import rel_entr

    used = (old + new) > 0
    p, q = ((counts[used] + 0.5) / (counts[used] + 0.5).sum() for counts in (old, new))
    return float(rel_entr(p, q).sum() + rel_entr(q, p).sum())
