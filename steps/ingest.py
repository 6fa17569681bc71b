"""Ingest: find the batches, keep them as one data version, and hand on nothing but a pointer."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from zenml import step

from bakehouse import workspace
from bakehouse.errors import DataError
from steps import data_pointers, data_versions
from steps.data_pointers import SUFFIX
from steps.data_versions import DataVersion


@step
def ingest(model: str, batches: list[str]) -> tuple[Annotated[DataVersion, "data"], Annotated[str, "data_version"]]:
    """The batches as one data version, kept by DVC where later steps, here or elsewhere, fetch it by its hash; and the
    hash alone."""
    data = data_versions.keep(model, gather(model, batches, workspace.root()))
    return data, data.version


def gather(model: str, batches: Sequence[str], root: Path) -> list[Path]:
    """What `find` finds, and from DVC's remote the batches of which only the `.dvc` file is there."""
    pointers: dict[Path, None] = {}
    named = []
    for batch in batches:
        alone = [path for path in _matching(f"{batch}{SUFFIX}", root) if not path.with_name(path.stem).exists()]
        pointers |= dict.fromkeys(alone)
        if not alone or _files(batch, root):
            named.append(batch)
    return find(named, root) + [data_pointers.fetch(model, pointer) for pointer in pointers]


def find(batches: Sequence[str], root: Path) -> list[Path]:
    """The files that paths and patterns name, seen from `root`, in order, each once; `.dvc` files are none of them.

    Raises `DataError` that lists every name that leads to no file.
    """
    found: dict[Path, None] = {}
    missing = []
    for batch in batches:
        files = _files(batch, root)
        if not files:
            missing.append(batch)
        found |= dict.fromkeys(files)
    if missing:
        raise DataError(
            f"No file is there for {', '.join(missing)}.", f"Correct `batches`; paths are seen from {root}."
        )
    return list(found)


def _files(pattern: str, root: Path) -> list[Path]:
    return [path for path in _matching(pattern, root) if path.suffix != SUFFIX]


def _matching(pattern: str, root: Path) -> list[Path]:
    names = sorted(glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207  Path.glob refuses absolute ones
    return [root / name for name in names if (root / name).is_file()]
