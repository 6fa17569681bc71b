"""Ingest: find the batches, keep them as one data version, and hand on nothing but a pointer."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from zenml import step

from bakehouse import workspace
from bakehouse.errors import DataError
from steps import data_versions
from steps.data_versions import DataVersion


@step
def ingest(model: str, batches: list[str]) -> tuple[Annotated[DataVersion, "data"], Annotated[str, "data_version"]]:
    """The batches as one data version, kept by DVC where later steps, here or elsewhere, fetch it by its hash; and the
    hash alone."""
    data = data_versions.keep(model, find(batches, workspace.root()))
    return data, data.version


def find(batches: Sequence[str], root: Path) -> list[Path]:
    """The files that paths and patterns name, seen from `root`, in order, each once.

    Raises `DataError` that lists every name that leads to no file.
    """
    found: dict[Path, None] = {}
    missing = []
    for batch in batches:
        files = [Path(path) for path in sorted(glob.glob(batch, root_dir=root, recursive=True))]  # noqa: PTH207  Path.glob refuses absolute ones
        files = [root / path for path in files if (root / path).is_file()]
        if not files:
            missing.append(batch)
        found |= dict.fromkeys(files)
    if missing:
        raise DataError(
            f"No file is there for {', '.join(missing)}.", f"Correct `batches`; paths are seen from {root}."
        )
    return list(found)
