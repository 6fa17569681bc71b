"""What a set of masked records looks like in numbers: which record is which, and of each field its types, how often it
is filled, and its values. Holds values in memory for counting only; what is told of them is for the comparison.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
from pydantic import BaseModel

_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}


class Contract(Protocol):
    """What is needed of a room's contract module."""

    Masked: type[BaseModel]

    @staticmethod
    def record_id(record: Any, /) -> str: ...


@dataclass
class FieldProfile:
    """A field, wherever in the records it stands. `asked` is how many objects could have had it; an array counts as the
    number of its items."""

    types: set[str] = field(default_factory=set)
    asked: int = 0
    filled: int = 0
    words: Counter[str] = field(default_factory=Counter)
    numbers: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of objects in which the field is neither absent nor null."""
        return self.filled / self.asked if self.asked else 0.0


@dataclass(frozen=True)
class Profile:
    """Records by id, each with a hash of all that it says, and the fields by their paths (`lines[].quantity`). The
    hashes are of this process alone."""

    records: Mapping[str, int]
    fields: Mapping[str, FieldProfile]


def profile_records(masked: Path, contract: Contract) -> Profile:
    """Read the masked NDJSON of the gatekeeper once. Memory grows with the number of values."""
    records: dict[str, int] = {}
    fields: defaultdict[str, FieldProfile] = defaultdict(FieldProfile)
    objects: Counter[str] = Counter()
    with masked.open("rb") as lines:
        for line in lines:
            records[contract.record_id(contract.Masked.model_validate_json(line))] = hash(line)
            _enter(orjson.loads(line), "", fields, objects)
    for path, one in fields.items():
        one.asked = objects[path.rpartition(".")[0]]
    return Profile(records, dict(fields))


def _enter(document: dict[str, Any], path: str, fields: defaultdict[str, FieldProfile], objects: Counter[str]) -> None:
    objects[path] += 1
    for name, value in document.items():
        _enter_value(value, f"{path}.{name}" if path else name, fields, objects)


def _enter_value(value: Any, path: str, fields: defaultdict[str, FieldProfile], objects: Counter[str]) -> None:
    one = fields[path]
    if value is None:
        one.types.add("null")
        return
    one.types.add(_TYPES[type(value)])
    one.filled += 1
    match value:
        case str() | bool():
            one.words[str(value)] += 1
        case int() | float():
            one.numbers.append(float(value))
        case list():
            one.numbers.append(float(len(value)))
            for item in value:
                if isinstance(item, dict):
                    _enter(item, f"{path}[]", fields, objects)
                else:
                    objects[path] += 1
                    _enter_value(item, f"{path}[]", fields, objects)
        case dict():
            _enter(value, path, fields, objects)
