"""`.dvc` files beside batches: what git holds of a batch, in DVC's own format, whether or not it holds the batch too.

Writes them, and has the zone fetch what only they name. DVC's commands read them as their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, Field

from bakehouse.errors import DataError
from gitops import git
from steps import data_versions
from steps.data_versions import DataVersion

SUFFIX = ".dvc"


class Out(BaseModel):
    """What a `.dvc` file says of its batch."""

    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    size: int
    path: str


class Pointer(BaseModel):
    """A `.dvc` file of one batch."""

    outs: Annotated[list[Out], Field(min_length=1, max_length=1)]


def add(model: str, batches: Sequence[Path]) -> DataVersion:
    """Keep the batches in the remote, and write a `.dvc` file beside each. A batch that git does not hold is ignored
    by it from now on, as `dvc add` would have it: raw data is personal data, unless somebody decided otherwise.

    Raises `DataError` where a batch is missing or empty, where two have one name, or where the remote can't be reached.
    """
    if missing := [str(batch) for batch in batches if not batch.is_file()]:
        raise DataError(f"No file is there for {', '.join(missing)}.", "Name batches that are there.")
    kept = data_versions.keep(model, batches)
    known = {file.path: file for file in kept.files}
    for batch in batches:
        file = known[batch.name]
        _pointer(batch).write_text(
            f"outs:\n- md5: {file.md5}\n  size: {file.size}\n  hash: md5\n  path: {batch.name}\n"
        )
        _ignore(batch.resolve())
    return kept


def fetch(model: str, pointer: Path) -> Path:
    """The batch that a `.dvc` file names, in the data zone: raw data comes to stand nowhere else.

    Raises `DataError` where it is no `.dvc` file of a batch, or the remote has no such batch.
    """
    try:
        (out,) = Pointer.model_validate(yaml.safe_load(pointer.read_text())).outs
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{pointer} is no .dvc file of one batch.", "Restore it from git.") from error
    return data_versions.fetch_file(model, pointer.stem, out.md5)


def _pointer(batch: Path) -> Path:
    return batch.with_name(batch.name + SUFFIX)


def _ignore(batch: Path) -> None:
    """Have git ignore a batch that it does not hold."""
    try:
        held = git.run(batch.parent, "ls-files", "--", batch.name)
        ignored = held or git.run(batch.parent, "status", "--porcelain", "--ignored", "--", batch.name).startswith(
            b"!!"
        )
    except git.GitError:
        return  # no working tree, so nothing that could be committed
    if not ignored:
        with batch.with_name(".gitignore").open("a") as names:
            names.write(f"/{batch.name}\n")
