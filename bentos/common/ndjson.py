"""Reading NDJSON files of masked records, one pydantic model a line. Admits and rejects nothing: the gatekeeper did."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bakehouse.errors import DataError

Masked = TypeVar("Masked", bound=BaseModel)


def read(path: Path, kind: type[Masked]) -> list[Masked]:
    """The records of `path`. Raises `DataError` naming the line that is not a `kind`, or an empty file."""
    records: list[Masked] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                records.append(kind.model_validate_json(line))
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                field = ".".join(str(part) for part in first["loc"]) or "the document"
                raise DataError(
                    f"{path.name}, line {number} is no {kind.__name__}: {field}: {first['msg']}."
                ) from error
    if not records:
        raise DataError(f"{path.name} holds no records.")
    return records
